"""Images and files, and what is on its way to become one."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from db.tables.base import UtcDateTime, metadata

# Rooms are deleted only after their assets and uploads are let go (assets.py): hence no cascade.
uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("parts_id", Text, nullable=True),
    Column("part_bytes", BigInteger, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("size_bytes > 0", name="size"),
)
# An upload taken up again, and what of a room's space is spoken for.
Index("ix_uploads_room", uploads.c.room_id, uploads.c.sha256, uploads.c.user_id, uploads.c.size_bytes)
# What of a user's space is spoken for.
Index("ix_uploads_user", uploads.c.user_id, uploads.c.size_bytes)
# The sweep.
Index("ix_uploads_expires", uploads.c.expires_at)
# "Does this blob belong to anything?"
Index("ix_uploads_key", uploads.c.key, unique=True)

assets = Table(
    "assets",
    metadata,
    Column("id", Text, nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id"), nullable=False),
    Column("user_id", Text, nullable=False),
    # Of the bytes as they were uploaded: what documents know the asset by.
    Column("sha256", Text, nullable=False),
    # Of the bytes as they are stored, which is another when something was taken out of them.
    Column("stored_sha256", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("filename", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("width", Integer, nullable=True),
    Column("height", Integer, nullable=True),
    Column("frames", Integer, nullable=False),
    Column("color", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    # Since when the sweep has found nobody who refers to it.
    Column("unreferenced_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
)
# The same bytes are stored once in a room.
Index("ix_assets_sha256", assets.c.room_id, assets.c.sha256, unique=True)
# The listing of a room, newest first.
Index("ix_assets_room", assets.c.room_id, assets.c.created_at, assets.c.id)
# "My assets", newest first.
Index("ix_assets_user", assets.c.user_id, assets.c.created_at, assets.c.id)
# How much of their space a room and a user have taken: sums without a look at the rows.
Index("ix_assets_room_size", assets.c.room_id, assets.c.size_bytes)
Index("ix_assets_user_size", assets.c.user_id, assets.c.size_bytes)
# find_unknown_keys asks whether a blob belongs to anything.
Index("ix_assets_key", assets.c.key, unique=True)

renditions = Table(
    "renditions",
    metadata,
    Column("asset_id", Text, ForeignKey("assets.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("asset_id", "name"),
    CheckConstraint("name IN ('thumb', 'web')", name="name"),
)
# find_unknown_keys asks whether a blob belongs to anything.
Index("ix_renditions_key", renditions.c.key, unique=True)
