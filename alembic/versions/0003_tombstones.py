"""Since when what is deleted in a checkpoint is deleted: for its purge."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tombstones",
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("element_id", sa.Text, nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("room_id", "element_id", name="pk_tombstones"),
        sa.ForeignKeyConstraint(
            ["room_id"], ["rooms.id"], name="fk_tombstones_room_id_rooms", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_tombstones_deleted", "tombstones", ["deleted_at", "room_id"])


def downgrade() -> None:
    op.drop_table("tombstones")
