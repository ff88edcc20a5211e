"""Who may do what, and who did what: roles, members, links, accounts, tokens, the audit log, comments, keys.

Spelt out rather than taken from db/tables: a migration is history, the tables go on. Rooms that are there
keep their ways: who has the address of one may edit, and who made it is its owner. A version that does not
know of any of this goes on serving beside this one; it makes rooms without an owner, whose creator then
counts as one.
"""

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)

# The audit log takes new rows only, and its ends only move on; what left a chain may go (db/tables/audit.py).
KEPT = {
    "sqlite": (
        """CREATE TRIGGER audit_events_insert BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE (chain = NEW.chain AND seq = NEW.seq) OR id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit_events takes new rows only'); END""",
        """CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, 'audit_events takes new rows only'); END""",
        """CREATE TRIGGER audit_events_delete BEFORE DELETE ON audit_events
WHEN NOT EXISTS (SELECT 1 FROM audit_heads
WHERE chain = OLD.chain AND first_seq > OLD.seq)
BEGIN SELECT RAISE(ABORT, 'audit_events takes new rows only'); END""",
        """CREATE TRIGGER audit_heads_insert BEFORE INSERT ON audit_heads
WHEN EXISTS (SELECT 1 FROM audit_heads WHERE chain = NEW.chain)
BEGIN SELECT RAISE(IGNORE); END""",
        """CREATE TRIGGER audit_heads_update BEFORE UPDATE ON audit_heads
WHEN NEW.chain <> OLD.chain OR NEW.seq < OLD.seq
OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)
OR NEW.first_seq < OLD.first_seq OR (NEW.first_seq = OLD.first_seq AND NEW.first_hash <> OLD.first_hash)
OR (NEW.first_seq > OLD.first_seq AND NOT EXISTS (SELECT 1 FROM audit_events
WHERE chain = NEW.chain AND seq = NEW.seq AND action = 'audit.expire'))
BEGIN SELECT RAISE(ABORT, 'audit_heads only moves on'); END""",
        """CREATE TRIGGER audit_heads_delete BEFORE DELETE ON audit_heads
BEGIN SELECT RAISE(ABORT, 'audit_heads only moves on'); END""",
    ),
    "postgresql": (
        """CREATE FUNCTION kanvas_keep_audit_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF TG_OP = 'DELETE' THEN
IF EXISTS (SELECT 1 FROM audit_heads
WHERE chain = OLD.chain AND first_seq > OLD.seq) THEN RETURN OLD; END IF;
END IF;
RAISE EXCEPTION USING MESSAGE = 'audit_events takes new rows only'; END $$""",
        """CREATE TRIGGER audit_events_kept BEFORE UPDATE OR DELETE ON audit_events
FOR EACH ROW EXECUTE FUNCTION kanvas_keep_audit_events()""",
        """CREATE TRIGGER audit_events_whole BEFORE TRUNCATE ON audit_events
FOR EACH STATEMENT EXECUTE FUNCTION kanvas_keep_audit_events()""",
        """CREATE FUNCTION kanvas_keep_audit_heads() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF TG_OP = 'UPDATE' THEN
IF NOT (NEW.chain <> OLD.chain OR NEW.seq < OLD.seq
OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)
OR NEW.first_seq < OLD.first_seq OR (NEW.first_seq = OLD.first_seq AND NEW.first_hash <> OLD.first_hash)
OR (NEW.first_seq > OLD.first_seq AND NOT EXISTS (SELECT 1 FROM audit_events
WHERE chain = NEW.chain AND seq = NEW.seq AND action = 'audit.expire'))) THEN RETURN NEW; END IF;
END IF;
RAISE EXCEPTION USING MESSAGE = 'audit_heads only moves on'; END $$""",
        """CREATE TRIGGER audit_heads_kept BEFORE UPDATE OR DELETE ON audit_heads
FOR EACH ROW EXECUTE FUNCTION kanvas_keep_audit_heads()""",
        """CREATE TRIGGER audit_heads_whole BEFORE TRUNCATE ON audit_heads
FOR EACH STATEMENT EXECUTE FUNCTION kanvas_keep_audit_heads()""",
    ),
}


def upgrade() -> None:
    _extend()
    _make_people()
    _make_members()
    _make_records()
    op.execute(
        "INSERT INTO room_members (room_id, user_id, role, room_created_at, created_at) "
        "SELECT id, creator_id, 'owner', created_at, created_at FROM rooms"
    )


def _extend() -> None:
    op.add_column("users", sa.Column("email", sa.Text, nullable=True))
    op.add_column("users", sa.Column("is_admin", sa.Boolean, nullable=False, server_default=sa.text("false")))
    op.add_column("users", sa.Column("is_guest", sa.Boolean, nullable=False, server_default=sa.text("false")))
    op.add_column("users", sa.Column("alias_of", sa.Text, nullable=True))
    # with its check inline: SQLite adds no constraint to a table that is there
    op.execute(
        "ALTER TABLE rooms ADD COLUMN default_role TEXT DEFAULT 'editor' NOT NULL "
        "CONSTRAINT ck_rooms_default_role "
        "CHECK (default_role IN ('none', 'viewer', 'commenter', 'editor'))"
    )
    op.add_column(
        "rooms", sa.Column("shows_viewers", sa.Boolean, nullable=False, server_default=sa.text("true"))
    )
    op.add_column("rooms", sa.Column("access_at", AT, nullable=True))
    op.add_column("canvas_states", sa.Column("key_id", sa.Text, nullable=True))
    op.add_column("room_updates", sa.Column("key_id", sa.Text, nullable=True))
    op.create_index(
        "ix_users_alias_of",
        "users",
        ["alias_of"],
        sqlite_where=sa.text("alias_of IS NOT NULL"),
        postgresql_where=sa.text("alias_of IS NOT NULL"),
    )
    op.create_index("ix_users_email", "users", ["email"], unique=True)
    op.create_index(
        "ix_users_admin",
        "users",
        ["is_admin"],
        sqlite_where=sa.text("is_admin IS 1"),
        postgresql_where=sa.text("is_admin IS true"),
    )
    op.create_index(
        "ix_rooms_access",
        "rooms",
        ["access_at"],
        sqlite_where=sa.text("access_at IS NOT NULL"),
        postgresql_where=sa.text("access_at IS NOT NULL"),
    )


def _make_people() -> None:
    op.create_table(
        "sign_in_links",
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("guest_id", sa.Text, nullable=True),
        sa.Column("next_path", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("used_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name="pk_sign_in_links"),
    )
    op.create_index("ix_sign_in_links_expires", "sign_in_links", ["expires_at"])
    op.create_table(
        "user_sessions",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("seen_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_user_sessions"),
    )
    op.create_index("ix_user_sessions_expires", "user_sessions", ["expires_at"])
    op.create_index("ix_user_sessions_user", "user_sessions", ["user_id", "seen_at"])
    op.create_table(
        "personal_tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=True),
        sa.Column("last_used_at", AT, nullable=True),
        sa.Column("last_used_from", sa.Text, nullable=True),
        sa.Column("revoked_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_personal_tokens"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_personal_tokens_user_id_users", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_personal_tokens_hash", "personal_tokens", ["token_hash"], unique=True)
    op.create_index("ix_personal_tokens_user", "personal_tokens", ["user_id", "created_at"])


def _make_members() -> None:
    op.create_table(
        "room_members",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("link_id", sa.Text, nullable=True),
        sa.Column("own_role", sa.Text, nullable=True),
        sa.Column("invited_by", sa.Text, nullable=True),
        sa.Column("room_created_at", AT, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("room_id", "user_id", name="pk_room_members"),
        sa.CheckConstraint(
            "role IN ('owner', 'editor', 'commenter', 'viewer')", name=op.f("ck_room_members_role")
        ),
        sa.CheckConstraint(
            "own_role IN ('editor', 'commenter', 'viewer')", name=op.f("ck_room_members_own_role")
        ),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_room_members_room_id_rooms", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_room_members_user_id_users", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_room_members_invited_by",
        "room_members",
        ["invited_by"],
        sqlite_where=sa.text("invited_by IS NOT NULL"),
        postgresql_where=sa.text("invited_by IS NOT NULL"),
    )
    op.create_index(
        "ix_room_members_link",
        "room_members",
        ["link_id"],
        sqlite_where=sa.text("link_id IS NOT NULL"),
        postgresql_where=sa.text("link_id IS NOT NULL"),
    )
    op.create_index("ix_room_members_user", "room_members", ["user_id", "room_created_at", "room_id"])
    op.create_index(
        "uq_room_members_owner",
        "room_members",
        ["room_id"],
        unique=True,
        sqlite_where=sa.text("role = 'owner'"),
        postgresql_where=sa.text("role = 'owner'"),
    )
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=True),
        sa.Column("user_id", sa.Text, nullable=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=True),
        sa.Column("invited_by", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.Column("closed_as", sa.Text, nullable=True),
        sa.Column("closed_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.CheckConstraint(
            "closed_as IN ('accepted', 'declined', 'withdrawn')", name=op.f("ck_invitations_closed_as")
        ),
        sa.CheckConstraint("role IN ('editor', 'commenter', 'viewer')", name=op.f("ck_invitations_role")),
        sa.CheckConstraint("(email IS NULL) <> (user_id IS NULL)", name=op.f("ck_invitations_who")),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_invitations_room_id_rooms", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_invitations_email", "invitations", ["email", "created_at"])
    op.create_index("ix_invitations_room", "invitations", ["room_id", "created_at"])
    op.create_index("ix_invitations_token", "invitations", ["token_hash"], unique=True)
    op.create_index("ix_invitations_user", "invitations", ["user_id", "created_at"])
    op.create_table(
        "share_links",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=True),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=True),
        sa.Column("max_uses", sa.Integer, nullable=True),
        sa.Column("uses", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("revoked_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_share_links"),
        sa.CheckConstraint("role IN ('editor', 'commenter', 'viewer')", name=op.f("ck_share_links_role")),
        sa.CheckConstraint("max_uses IS NULL OR uses <= max_uses", name=op.f("ck_share_links_uses")),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_share_links_room_id_rooms", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_share_links_room", "share_links", ["room_id", "created_at"])
    op.create_index("ix_share_links_token", "share_links", ["token_hash"], unique=True)


def _make_records() -> None:
    op.create_table(
        "data_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("master_id", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("retired_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_data_keys"),
    )
    op.create_table(
        "audit_events",
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("at", AT, nullable=False),
        sa.Column("actor_id", sa.Text, nullable=False),
        sa.Column("actor_name", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("chain", "seq", name="pk_audit_events"),
        sa.CheckConstraint("result IN ('done', 'refused')", name=op.f("ck_audit_events_result")),
        sa.CheckConstraint("seq >= 1", name=op.f("ck_audit_events_seq")),
    )
    op.create_index("ix_audit_events_action", "audit_events", ["action", "at"])
    op.create_index("ix_audit_events_actor", "audit_events", ["actor_id", "at"])
    op.create_index("ix_audit_events_at", "audit_events", ["at", "id"])
    op.create_index("ix_audit_events_id", "audit_events", ["id"], unique=True)
    op.create_table(
        "audit_heads",
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False, server_default=sa.text("1")),
        sa.Column("first_hash", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("chain", name="pk_audit_heads"),
        sa.CheckConstraint("first_seq >= 1 AND first_seq <= seq + 1", name=op.f("ck_audit_heads_order")),
    )
    for statement in KEPT[op.get_bind().dialect.name]:
        op.execute(statement)
    op.create_table(
        "comment_threads",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("x", sa.Float, nullable=True),
        sa.Column("y", sa.Float, nullable=True),
        sa.Column("element_id", sa.Text, nullable=True),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.Column("resolved_at", AT, nullable=True),
        sa.Column("resolved_by", sa.Text, nullable=True),
        sa.Column("deleted_at", AT, nullable=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comment_threads"),
        sa.CheckConstraint("(x IS NULL) = (y IS NULL)", name=op.f("ck_comment_threads_point")),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_comment_threads_room_id_rooms", ondelete="CASCADE"
        ),
    )
    op.create_index(
        "ix_comment_threads_deleted",
        "comment_threads",
        ["deleted_at"],
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index("ix_comment_threads_room", "comment_threads", ["room_id", "revision"], unique=True)
    op.create_table(
        "comments",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("author_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("edited_at", AT, nullable=True),
        sa.Column("deleted_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_comments"),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_comments_room_id_rooms", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["thread_id"],
            ["comment_threads.id"],
            name="fk_comments_thread_id_comment_threads",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_comments_room", "comments", ["room_id"])
    op.create_index("ix_comments_thread", "comments", ["thread_id", "created_at", "id"])
    op.create_table(
        "comment_mentions",
        sa.Column("comment_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("comment_id", "user_id", name="pk_comment_mentions"),
        sa.ForeignKeyConstraint(
            ["comment_id"],
            ["comments.id"],
            name="fk_comment_mentions_comment_id_comments",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_comment_mentions_room_id_rooms", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_comment_mentions_room", "comment_mentions", ["room_id"])
    op.create_index("ix_comment_mentions_user", "comment_mentions", ["user_id", "room_id"])
    op.create_table(
        "comment_reads",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("read_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("thread_id", "user_id", name="pk_comment_reads"),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_comment_reads_room_id_rooms", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["thread_id"],
            ["comment_threads.id"],
            name="fk_comment_reads_thread_id_comment_threads",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_comment_reads_room", "comment_reads", ["room_id"])
    op.create_index("ix_comment_reads_user", "comment_reads", ["user_id", "room_id"])


def downgrade() -> None:
    if op.get_bind().execute(sa.text("SELECT 1 FROM data_keys LIMIT 1")).first() is not None:
        # without them what is sealed is lost for ever, and an older version takes it for damaged
        raise CommandError(
            "documents and files may be encrypted, and the older version has no keys; with the keys type "
            "`kanvas keys rotate --to plain` and `kanvas keys retire` first"
        )
    op.drop_table("comment_reads")
    op.drop_table("comment_mentions")
    op.drop_table("comments")
    op.drop_table("comment_threads")
    op.drop_table("audit_heads")
    op.drop_table("audit_events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION kanvas_keep_audit_heads()")
        op.execute("DROP FUNCTION kanvas_keep_audit_events()")
    op.drop_table("data_keys")
    op.drop_table("share_links")
    op.drop_table("invitations")
    op.drop_table("room_members")
    op.drop_table("personal_tokens")
    op.drop_table("user_sessions")
    op.drop_table("sign_in_links")
    op.drop_index("ix_rooms_access", "rooms")
    op.drop_index("ix_users_alias_of", "users")
    op.drop_index("ix_users_email", "users")
    op.drop_index("ix_users_admin", "users")
    op.drop_column("room_updates", "key_id")
    op.drop_column("canvas_states", "key_id")
    op.drop_column("rooms", "access_at")
    op.drop_column("rooms", "shows_viewers")
    op.drop_column("rooms", "default_role")
    op.drop_column("users", "alias_of")
    op.drop_column("users", "is_guest")
    op.drop_column("users", "is_admin")
    op.drop_column("users", "email")
