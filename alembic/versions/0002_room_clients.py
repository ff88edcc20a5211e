"""Whose each Yjs client id is in a room.

Rooms from before have no rows: the first who edits under an id from now on owns it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "room_clients",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("client_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("is_relayed", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_room_clients_room_id_rooms", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("room_id", "client_id", name="pk_room_clients"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("room_clients")
