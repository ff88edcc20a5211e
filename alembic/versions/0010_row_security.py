"""Whose each row is, as ROW LEVEL SECURITY of PostgreSQL; and "my rooms" newest first for who only was there.

Spelt out as ever: what db/policies.py says may go on, and then another migration follows (a test compares).
On SQLite the same policies are in the statements alone. A version that does not know of this goes on
serving beside this one: its connections say their name and nothing of whose they are, and are the system's.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
SYSTEM = (
    "current_setting('kanvas.system', true) = 'on' OR current_setting('kanvas.system', true) IS NULL "
    "AND current_setting('application_name') = 'kanvas'"
)
ME = "current_setting('kanvas.user', true)"
ADMIN = "current_setting('kanvas.admin', true) = 'on'"

OTHER_COLLATIONS = """
SELECT relname, attname FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
  AND attnum > 0 AND NOT attisdropped AND attcollation NOT IN (0, '"C"'::regcollation)
ORDER BY relname, attnum
"""

# What is asked of other tables.
FUNCTIONS = {
    "has_owner": (
        "EXISTS (SELECT 1 FROM room_members AS its_owner WHERE its_owner.room_id = of_room AND "
        "its_owner.role = 'owner')"
    ),
    "is_invited": (
        "EXISTS (SELECT 1 FROM invitations AS asked WHERE asked.room_id = of_room AND "
        "asked.closed_as IS NULL AND (asked.user_id = {ME} OR (EXISTS (SELECT 1 FROM users AS me "
        "WHERE me.id = {ME} AND me.email = asked.email))))"
    ),
    "is_member": (
        "EXISTS (SELECT 1 FROM room_members AS member WHERE member.room_id = of_room AND "
        "member.user_id = {ME} AND member.role IN ('viewer', 'commenter', 'editor', 'owner'))"
    ),
    "may_see": (
        "EXISTS (SELECT 1 FROM rooms AS its_room WHERE its_room.id = of_room AND "
        "(its_room.default_role IN ('viewer', 'commenter', 'editor') OR (EXISTS (SELECT 1 FROM "
        "room_members AS member WHERE member.room_id = its_room.id AND member.user_id = {ME} AND "
        "member.role IN ('viewer', 'commenter', 'editor', 'owner'))) OR its_room.creator_id = {ME} "
        "AND NOT (EXISTS (SELECT 1 FROM room_members AS its_owner WHERE its_owner.room_id = "
        "its_room.id AND its_owner.role = 'owner')) AND NOT (EXISTS (SELECT 1 FROM room_members AS "
        "member WHERE member.room_id = its_room.id AND member.user_id = {ME} AND member.role IN "
        "('viewer', 'commenter', 'editor', 'owner'))) OR {ADMIN}))"
    ),
    "may_comment": (
        "EXISTS (SELECT 1 FROM rooms AS its_room WHERE its_room.id = of_room AND "
        "(its_room.default_role IN ('commenter', 'editor') OR (EXISTS (SELECT 1 FROM room_members AS "
        "member WHERE member.room_id = its_room.id AND member.user_id = {ME} AND member.role IN "
        "('commenter', 'editor', 'owner'))) OR its_room.creator_id = {ME} AND NOT (EXISTS (SELECT 1 "
        "FROM room_members AS its_owner WHERE its_owner.room_id = its_room.id AND its_owner.role = "
        "'owner')) AND NOT (EXISTS (SELECT 1 FROM room_members AS member WHERE member.room_id = "
        "its_room.id AND member.user_id = {ME} AND member.role IN ('viewer', 'commenter', 'editor', "
        "'owner')))))"
    ),
    "may_edit": (
        "EXISTS (SELECT 1 FROM rooms AS its_room WHERE its_room.id = of_room AND "
        "(its_room.default_role IN ('editor') OR (EXISTS (SELECT 1 FROM room_members AS member WHERE "
        "member.room_id = its_room.id AND member.user_id = {ME} AND member.role IN ('editor', "
        "'owner'))) OR its_room.creator_id = {ME} AND NOT (EXISTS (SELECT 1 FROM room_members AS "
        "its_owner WHERE its_owner.room_id = its_room.id AND its_owner.role = 'owner')) AND NOT "
        "(EXISTS (SELECT 1 FROM room_members AS member WHERE member.room_id = its_room.id AND "
        "member.user_id = {ME} AND member.role IN ('viewer', 'commenter', 'editor', 'owner')))))"
    ),
    "may_share": (
        "EXISTS (SELECT 1 FROM rooms AS its_room WHERE its_room.id = of_room AND ((EXISTS (SELECT 1 "
        "FROM room_members AS member WHERE member.room_id = its_room.id AND member.user_id = {ME} "
        "AND member.role IN ('owner'))) OR its_room.creator_id = {ME} AND NOT (EXISTS (SELECT 1 FROM "
        "room_members AS its_owner WHERE its_owner.room_id = its_room.id AND its_owner.role = "
        "'owner')) AND NOT (EXISTS (SELECT 1 FROM room_members AS member WHERE member.room_id = "
        "its_room.id AND member.user_id = {ME} AND member.role IN ('viewer', 'commenter', 'editor', "
        "'owner'))) OR {ADMIN}))"
    ),
    "may_moderate": (
        "EXISTS (SELECT 1 FROM rooms AS its_room WHERE its_room.id = of_room AND ((EXISTS (SELECT 1 "
        "FROM room_members AS member WHERE member.room_id = its_room.id AND member.user_id = {ME} "
        "AND member.role IN ('owner'))) OR its_room.creator_id = {ME} AND NOT (EXISTS (SELECT 1 FROM "
        "room_members AS its_owner WHERE its_owner.room_id = its_room.id AND its_owner.role = "
        "'owner')) AND NOT (EXISTS (SELECT 1 FROM room_members AS member WHERE member.room_id = "
        "its_room.id AND member.user_id = {ME} AND member.role IN ('viewer', 'commenter', 'editor', "
        "'owner'))) OR {ADMIN}))"
    ),
    "may_audit": (
        "EXISTS (SELECT 1 FROM rooms AS its_room WHERE its_room.id = of_room AND ((EXISTS (SELECT 1 "
        "FROM room_members AS member WHERE member.room_id = its_room.id AND member.user_id = {ME} "
        "AND member.role IN ('owner'))) OR its_room.creator_id = {ME} AND NOT (EXISTS (SELECT 1 FROM "
        "room_members AS its_owner WHERE its_owner.room_id = its_room.id AND its_owner.role = "
        "'owner')) AND NOT (EXISTS (SELECT 1 FROM room_members AS member WHERE member.room_id = "
        "its_room.id AND member.user_id = {ME} AND member.role IN ('viewer', 'commenter', 'editor', "
        "'owner'))) OR {ADMIN}))"
    ),
}
# For each table who sees, inserts, updates, deletes; None: the server alone.
POLICIES: dict[str, tuple[str, str, str, str] | None] = {
    "assets": (
        ("assets.user_id = {ME} OR kanvas_may_see(assets.room_id)"),
        ("assets.user_id = {ME} AND kanvas_may_edit(assets.room_id)"),
        ("assets.user_id = {ME} OR kanvas_may_edit(assets.room_id) OR kanvas_may_moderate(assets.room_id)"),
        ("assets.user_id = {ME} OR kanvas_may_edit(assets.room_id) OR kanvas_may_moderate(assets.room_id)"),
    ),
    "audit_events": (
        ("audit_events.actor_id = {ME} OR kanvas_may_audit(audit_events.chain) OR {ADMIN}"),
        ("false"),
        ("false"),
        ("false"),
    ),
    "audit_heads": None,
    "canvas_states": None,
    "comment_mentions": (
        ("kanvas_may_see(comment_mentions.room_id)"),
        (
            "kanvas_may_comment(comment_mentions.room_id) AND (EXISTS (SELECT 1 FROM comments AS "
            "its_comment WHERE its_comment.id = comment_mentions.comment_id AND its_comment.room_id "
            "= comment_mentions.room_id))"
        ),
        ("false"),
        ("kanvas_may_comment(comment_mentions.room_id) OR kanvas_may_moderate(comment_mentions.room_id)"),
    ),
    "comment_reads": (
        ("comment_reads.user_id = {ME}"),
        (
            "comment_reads.user_id = {ME} AND kanvas_may_see(comment_reads.room_id) AND (EXISTS "
            "(SELECT 1 FROM comment_threads AS its_thread WHERE its_thread.id = "
            "comment_reads.thread_id AND its_thread.room_id = comment_reads.room_id))"
        ),
        ("comment_reads.user_id = {ME} AND kanvas_may_see(comment_reads.room_id)"),
        ("comment_reads.user_id = {ME}"),
    ),
    "comment_threads": (
        ("kanvas_may_see(comment_threads.room_id)"),
        ("comment_threads.created_by = {ME} AND kanvas_may_comment(comment_threads.room_id)"),
        ("kanvas_may_comment(comment_threads.room_id) OR kanvas_may_moderate(comment_threads.room_id)"),
        ("kanvas_may_moderate(comment_threads.room_id)"),
    ),
    "comments": (
        ("kanvas_may_see(comments.room_id)"),
        (
            "comments.author_id = {ME} AND kanvas_may_comment(comments.room_id) AND (EXISTS (SELECT "
            "1 FROM comment_threads AS its_thread WHERE its_thread.id = comments.thread_id AND "
            "its_thread.room_id = comments.room_id))"
        ),
        (
            "comments.author_id = {ME} AND kanvas_may_comment(comments.room_id) OR "
            "kanvas_may_moderate(comments.room_id)"
        ),
        (
            "comments.author_id = {ME} AND kanvas_may_comment(comments.room_id) OR "
            "kanvas_may_moderate(comments.room_id)"
        ),
    ),
    "data_keys": None,
    "idempotency_keys": (
        ("idempotency_keys.user_id = {ME}"),
        ("idempotency_keys.user_id = {ME}"),
        ("idempotency_keys.user_id = {ME}"),
        ("idempotency_keys.user_id = {ME}"),
    ),
    "invitations": (
        (
            "kanvas_may_share(invitations.room_id) OR invitations.user_id = {ME} OR (EXISTS (SELECT "
            "1 FROM users AS me WHERE me.id = {ME} AND me.email = invitations.email))"
        ),
        ("invitations.invited_by = {ME} AND kanvas_may_share(invitations.room_id)"),
        (
            "kanvas_may_share(invitations.room_id) OR invitations.user_id = {ME} OR (EXISTS (SELECT "
            "1 FROM users AS me WHERE me.id = {ME} AND me.email = invitations.email))"
        ),
        ("kanvas_may_share(invitations.room_id)"),
    ),
    "jobs": (
        ("jobs.user_id = {ME} OR {ADMIN}"),
        ("false"),
        ("{ADMIN}"),
        ("false"),
    ),
    "personal_tokens": (
        ("personal_tokens.user_id = {ME}"),
        ("personal_tokens.user_id = {ME}"),
        ("personal_tokens.user_id = {ME}"),
        ("personal_tokens.user_id = {ME}"),
    ),
    "quarantine": None,
    "renditions": (
        (
            "EXISTS (SELECT 1 FROM assets AS its_asset WHERE its_asset.id = renditions.asset_id AND "
            "kanvas_may_see(its_asset.room_id))"
        ),
        ("false"),
        ("false"),
        ("false"),
    ),
    "revocations": None,
    "room_clients": None,
    "room_exclusions": None,
    "room_heads": (
        ("kanvas_may_see(room_heads.room_id)"),
        ("kanvas_may_share(room_heads.room_id)"),
        ("false"),
        ("false"),
    ),
    "room_members": (
        ("room_members.user_id = {ME} OR kanvas_may_see(room_members.room_id)"),
        (
            "kanvas_may_share(room_members.room_id) OR room_members.user_id = {ME} AND "
            "room_members.role != 'owner' AND kanvas_is_invited(room_members.room_id)"
        ),
        ("kanvas_may_see(room_members.room_id)"),
        ("room_members.user_id = {ME} OR kanvas_may_share(room_members.room_id)"),
    ),
    "room_participants": (
        ("room_participants.user_id = {ME} OR kanvas_may_see(room_participants.room_id)"),
        ("room_participants.user_id = {ME} AND kanvas_may_see(room_participants.room_id)"),
        ("room_participants.user_id = {ME} AND kanvas_may_see(room_participants.room_id)"),
        ("false"),
    ),
    "room_updates": None,
    "rooms": (
        (
            "rooms.visibility = 'public' OR rooms.default_role IN ('viewer', 'commenter', 'editor') "
            "OR kanvas_is_member(rooms.id) OR rooms.creator_id = {ME} AND NOT "
            "kanvas_has_owner(rooms.id) AND NOT kanvas_is_member(rooms.id) OR {ADMIN} OR "
            "kanvas_is_invited(rooms.id)"
        ),
        ("rooms.creator_id = {ME}"),
        (
            "rooms.visibility = 'public' OR rooms.default_role IN ('viewer', 'commenter', 'editor') "
            "OR kanvas_is_member(rooms.id) OR rooms.creator_id = {ME} AND NOT "
            "kanvas_has_owner(rooms.id) AND NOT kanvas_is_member(rooms.id) OR {ADMIN} OR "
            "kanvas_is_invited(rooms.id)"
        ),
        ("false"),
    ),
    "share_links": (
        ("kanvas_may_share(share_links.room_id)"),
        ("share_links.created_by = {ME} AND kanvas_may_share(share_links.room_id)"),
        ("kanvas_may_share(share_links.room_id)"),
        ("kanvas_may_share(share_links.room_id)"),
    ),
    "sign_in_links": None,
    "tombstones": None,
    "uploads": (
        ("uploads.user_id = {ME} OR kanvas_may_see(uploads.room_id)"),
        ("uploads.user_id = {ME} AND kanvas_may_edit(uploads.room_id)"),
        ("uploads.user_id = {ME} OR kanvas_may_edit(uploads.room_id)"),
        (
            "uploads.user_id = {ME} OR kanvas_may_edit(uploads.room_id) OR "
            "kanvas_may_moderate(uploads.room_id)"
        ),
    ),
    "user_sessions": (
        ("user_sessions.user_id = {ME}"),
        ("user_sessions.user_id = {ME}"),
        ("user_sessions.user_id = {ME}"),
        ("user_sessions.user_id = {ME}"),
    ),
    "users": (
        ("true"),
        ("users.id = {ME}"),
        ("users.id = {ME}"),
        ("false"),
    ),
}


def upgrade() -> None:
    op.add_column("room_participants", sa.Column("room_created_at", AT, nullable=True))
    op.execute(
        "UPDATE room_participants SET room_created_at = "
        "(SELECT created_at FROM rooms WHERE rooms.id = room_participants.room_id)"
    )
    op.drop_index("ix_room_participants_user", "room_participants")
    op.create_index(
        "ix_room_participants_user", "room_participants", ["user_id", "room_created_at", "room_id"]
    )
    if op.get_bind().dialect.name == "postgresql":
        _sort_by_bytes()
        _build_walls()
        # what was just written would be taken for a few rows, and "my rooms" sorted
        for table in ("rooms", "room_members", "room_participants"):
            op.execute(f"ANALYZE {table}")


def _sort_by_bytes() -> None:
    # as env.py does at the end of all, when it is too late: a column that a policy reads keeps its type
    bind = op.get_bind()
    for table, column in bind.exec_driver_sql(OTHER_COLLATIONS).all():
        bind.exec_driver_sql(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE text COLLATE "C"')


def _build_walls() -> None:
    for name, body in FUNCTIONS.items():
        # not as text of SQLAlchemy's, for it takes := for a parameter
        op.get_bind().exec_driver_sql(
            f"CREATE FUNCTION kanvas_{name}(of_room text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ "
            "DECLARE said text := current_setting('kanvas.system', true); answer boolean; BEGIN "
            f"PERFORM set_config('kanvas.system', 'on', true); answer := {_spelt(body)}; "
            "PERFORM set_config('kanvas.system', coalesce(said, ''), true); RETURN answer; END $$"
        )
    for table, policy in POLICIES.items():
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        if policy is None:
            op.execute(f"CREATE POLICY kanvas_system ON {table} USING ({SYSTEM})")
            continue
        sees, inserts, updates, deletes = map(_somebodys, policy)
        op.execute(f"CREATE POLICY kanvas_sees ON {table} FOR SELECT USING ({sees})")
        op.execute(f"CREATE POLICY kanvas_inserts ON {table} FOR INSERT WITH CHECK ({inserts})")
        op.execute(f"CREATE POLICY kanvas_updates ON {table} FOR UPDATE USING ({updates}) WITH CHECK (true)")
        op.execute(f"CREATE POLICY kanvas_deletes ON {table} FOR DELETE USING ({deletes})")


def _spelt(clause: str) -> str:
    return clause.format(ME=ME, ADMIN=ADMIN)


def _somebodys(clause: str) -> str:
    return f"{SYSTEM} OR ({ME} <> '' AND ({_spelt(clause)}))"


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, policy in POLICIES.items():
            names = ("system",) if policy is None else ("sees", "inserts", "updates", "deletes")
            for name in names:
                op.execute(f"DROP POLICY kanvas_{name} ON {table}")
            op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        for name in FUNCTIONS:
            op.execute(f"DROP FUNCTION kanvas_{name}(text)")
    op.drop_index("ix_room_participants_user", "room_participants")
    op.create_index("ix_room_participants_user", "room_participants", ["user_id", "room_id"])
    op.drop_column("room_participants", "room_created_at")
