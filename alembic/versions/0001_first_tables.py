"""The first tables: users, rooms and their journal, remembered answers.

Spelt out rather than taken from db/tables.py: a migration is history, the tables go on. op.f() keeps a
check's name from being put through the naming convention a second time.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("seen_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_table(
        "rooms",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("title_folded", sa.Text, nullable=False),
        sa.Column("visibility", sa.Text, nullable=False),
        sa.Column("schema", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("revision", sa.Integer, nullable=False, server_default=sa.text("1")),
        sa.Column("creator_id", sa.Text, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("updated_at", AT, nullable=False),
        sa.Column("deleted_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_rooms"),
        sa.ForeignKeyConstraint(["creator_id"], ["users.id"], name="fk_rooms_creator_id_users"),
        sa.CheckConstraint("visibility IN ('public', 'unlisted')", name=op.f("ck_rooms_visibility")),
        sa.CheckConstraint("schema IN ('canvas', 'open')", name=op.f("ck_rooms_schema")),
    )
    live, trashed = sa.text("deleted_at IS NULL"), sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "ix_rooms_listing",
        "rooms",
        ["visibility", "created_at", "id"],
        sqlite_where=live,
        postgresql_where=live,
    )
    op.create_index("ix_rooms_creator", "rooms", ["creator_id", "created_at", "id"])
    op.create_index("ix_rooms_trash", "rooms", ["deleted_at"], sqlite_where=trashed, postgresql_where=trashed)

    op.create_table(
        "room_heads",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("checkpoint_seq", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("room_id", name="pk_room_heads"),
        _of_room("room_heads"),
        sa.CheckConstraint("checkpoint_seq >= 0 AND checkpoint_seq <= seq", name=op.f("ck_room_heads_order")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "room_participants",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("first_seen_at", AT, nullable=False),
        sa.Column("last_seen_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("room_id", "user_id", name="pk_room_participants"),
        _of_room("room_participants"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_room_participants_user_id_users", ondelete="CASCADE"
        ),
        sa.CheckConstraint("role IN ('owner', 'editor', 'viewer')", name=op.f("ck_room_participants_role")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_room_participants_user", "room_participants", ["user_id", "room_id"])
    op.create_table(
        "canvas_states",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("room_id", name="pk_canvas_states"),
        _of_room("canvas_states"),
    )
    op.create_table(
        "room_updates",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("update_bytes", sa.LargeBinary, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("room_id", "seq", name="pk_room_updates"),
        _of_room("room_updates"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("request_hash", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created", "idempotency_keys", ["created_at"])


def _of_room(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["room_id"], ["rooms.id"], name=f"fk_{table}_room_id_rooms", ondelete="CASCADE"
    )


def downgrade() -> None:
    for table in (
        "idempotency_keys",
        "room_updates",
        "canvas_states",
        "room_participants",
        "room_heads",
        "rooms",
        "users",
    ):
        op.drop_table(table)
