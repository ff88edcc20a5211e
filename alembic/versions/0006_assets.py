"""Assets: what is stored, what is on its way, and the smaller forms of images.

Spelt out rather than taken from db/tables.py: a migration is history, the tables go on.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

AT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("parts_id", sa.Text, nullable=True),
        sa.Column("part_bytes", sa.BigInteger, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("expires_at", AT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_uploads_room_id_rooms"),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_uploads_size")),
    )
    op.create_index("ix_uploads_room", "uploads", ["room_id", "sha256", "user_id", "size_bytes"])
    op.create_index("ix_uploads_user", "uploads", ["user_id", "size_bytes"])
    op.create_index("ix_uploads_expires", "uploads", ["expires_at"])
    op.create_index("ix_uploads_key", "uploads", ["key"], unique=True)

    op.create_table(
        "assets",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("room_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("stored_sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=True),
        sa.Column("height", sa.Integer, nullable=True),
        sa.Column("frames", sa.Integer, nullable=False),
        sa.Column("color", sa.Text, nullable=True),
        sa.Column("created_at", AT, nullable=False),
        sa.Column("unreferenced_at", AT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_assets"),
        sa.ForeignKeyConstraint(["room_id"], ["rooms.id"], name="fk_assets_room_id_rooms"),
    )
    op.create_index("ix_assets_sha256", "assets", ["room_id", "sha256"], unique=True)
    op.create_index("ix_assets_room", "assets", ["room_id", "created_at", "id"])
    op.create_index("ix_assets_user", "assets", ["user_id", "created_at", "id"])
    op.create_index("ix_assets_room_size", "assets", ["room_id", "size_bytes"])
    op.create_index("ix_assets_user_size", "assets", ["user_id", "size_bytes"])
    op.create_index("ix_assets_key", "assets", ["key"], unique=True)

    op.create_table(
        "renditions",
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("asset_id", "name", name="pk_renditions"),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["assets.id"], name="fk_renditions_asset_id_assets", ondelete="CASCADE"
        ),
        sa.CheckConstraint("name IN ('thumb', 'web')", name=op.f("ck_renditions_name")),
    )
    op.create_index("ix_renditions_key", "renditions", ["key"], unique=True)


def downgrade() -> None:
    op.drop_table("renditions")
    op.drop_table("assets")
    op.drop_table("uploads")
