"""Documents: their journal, checkpoints and keys, and what is known of those that do harm."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from db.tables.base import UtcDateTime, metadata

# A state is megabytes long: this table keeps its rowid, since SQLite moves whole rows of one without.
canvas_states = Table(
    "canvas_states",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
    # Of data_keys, when the state is encrypted.
    Column("key_id", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("room_id"),
)

# user_id is not a foreign key: the server itself writes too, and a user may be forgotten while the rooms
# stay.
room_updates = Table(
    "room_updates",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("update_bytes", LargeBinary, nullable=False),
    # Of data_keys, when the bytes are encrypted.
    Column("key_id", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("room_id", "seq"),
    sqlite_with_rowid=False,
)

# Whose each Yjs client id is in a room (rule O1). One small row for every page that ever edited it.
room_clients = Table(
    "room_clients",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("client_id", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("is_relayed", Boolean, nullable=False),
    PrimaryKeyConstraint("room_id", "client_id"),
    sqlite_with_rowid=False,
)

# What is deleted in the checkpoint, and since when at the earliest: the document itself knows no times.
tombstones = Table(
    "tombstones",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("element_id", Text, nullable=False),
    Column("deleted_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("room_id", "element_id"),
    sqlite_with_rowid=False,
)
# list_rooms_to_purge: which rooms have old ones.
Index("ix_tombstones_deleted", tombstones.c.deleted_at, tombstones.c.room_id)

# room_id and user_id are no foreign keys: a hold may outlive both, for a day or two.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("room_id", Text, nullable=False),
    Column("user_id", Text, nullable=True),
    Column("client_id", BigInteger, nullable=True),
    Column("stage", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("strikes", Integer, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("kind IN ('client', 'user', 'room', 'care')", name="kind"),
)

# What documents and files are encrypted with, each encrypted itself with a master key of the settings.
data_keys = Table(
    "data_keys",
    metadata,
    Column("id", Text, nullable=False),
    Column("master_id", Text, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # since when nothing new is encrypted with it
    Column("retired_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
)
