"""What the operator holds back: frozen rooms, and people kept out of rooms.

Spelt out rather than taken from db/tables.py: a migration is history, the tables go on. A version that does
not know of either goes on serving beside this one; it holds nobody back.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)
FROZEN = sa.text("frozen_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("rooms", sa.Column("frozen_at", AT, nullable=True))
    op.create_index("ix_rooms_frozen", "rooms", ["frozen_at"], sqlite_where=FROZEN, postgresql_where=FROZEN)
    op.create_table(
        "room_exclusions",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("until", AT, nullable=False),
        sa.PrimaryKeyConstraint("room_id", "user_id", name="pk_room_exclusions"),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_room_exclusions_room_id_rooms", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("room_exclusions")
    op.drop_index("ix_rooms_frozen", "rooms")
    op.drop_column("rooms", "frozen_at")
