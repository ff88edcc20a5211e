"""What people write about a drawing, beside it."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from db.tables.base import UtcDateTime, metadata

# Pinned to a point (x and y) or to an element. `revision` goes up with every change in the room.
comment_threads = Table(
    "comment_threads",
    metadata,
    Column("id", Text, nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("x", Float, nullable=True),
    Column("y", Float, nullable=True),
    Column("element_id", Text, nullable=True),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime, nullable=True),
    Column("resolved_by", Text, nullable=True),
    Column("deleted_at", UtcDateTime, nullable=True),
    Column("revision", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("(x IS NULL) = (y IS NULL)", name="point"),
)
# The threads of a room, and what changed since a revision.
Index("ix_comment_threads_room", comment_threads.c.room_id, comment_threads.c.revision, unique=True)
# purge_threads: those removed a while ago.
Index(
    "ix_comment_threads_deleted",
    comment_threads.c.deleted_at,
    sqlite_where=comment_threads.c.deleted_at.is_not(None),
    postgresql_where=comment_threads.c.deleted_at.is_not(None),
)

comments = Table(
    "comments",
    metadata,
    Column("id", Text, nullable=False),
    Column("thread_id", Text, ForeignKey("comment_threads.id", ondelete="CASCADE"), nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("author_id", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("edited_at", UtcDateTime, nullable=True),
    Column("deleted_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
)
# The comments of threads, each in the order they were written; how many.
Index("ix_comments_thread", comments.c.thread_id, comments.c.created_at, comments.c.id)
# No query, but the foreign key: all of a room when it is purged.
Index("ix_comments_room", comments.c.room_id)

comment_mentions = Table(
    "comment_mentions",
    metadata,
    Column("comment_id", Text, ForeignKey("comments.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    PrimaryKeyConstraint("comment_id", "user_id"),
)
# list_mentions: where somebody is mentioned, and (when a guest signs in) everywhere.
Index("ix_comment_mentions_user", comment_mentions.c.user_id, comment_mentions.c.room_id)
# No query, but the foreign key: all of a room when it is purged.
Index("ix_comment_mentions_room", comment_mentions.c.room_id)

# Up to when somebody has read a thread.
comment_reads = Table(
    "comment_reads",
    metadata,
    Column("thread_id", Text, ForeignKey("comment_threads.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("read_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("thread_id", "user_id"),
)
# What somebody has read, in one room or (when a guest signs in) everywhere.
Index("ix_comment_reads_user", comment_reads.c.user_id, comment_reads.c.room_id)
# No query, but the foreign key: all of a room when it is purged.
Index("ix_comment_reads_room", comment_reads.c.room_id)
