"""Every table of Kanvas, in SQLAlchemy Core, neutral between SQLite and PostgreSQL.

Owns: names, types, keys, checks and indexes. The migrations in alembic/versions build the same thing (a
test compares the two). Does not own: queries (users.py, rooms.py, journal.py, assets.py, ...).

Rules: every constraint has a name (SQLite can only alter what it can name); times are aware datetimes in
UTC; ids are text, made above this floor (but for those of jobs); nothing hot shares a row with anything
cold (`room_heads` is its own table).

A room's journal is `room_updates` (raw updates, seq 1, 2, 3, ...) and at most one checkpoint in
`canvas_states`; `room_heads` says up to where each goes: the rows present are exactly checkpoint_seq + 1 ..
seq.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
    text,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

metadata = MetaData(naming_convention=NAMING)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, in UTC on both sides; a naive one is refused with ValueError.

    SQLite stores text of fixed width without a zone ("2026-11-20 12:00:00.000000"), so text order is time
    order; PostgreSQL stores timestamptz.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a zone; use datetime.now(UTC)")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        at: datetime = value
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


users = Table(
    "users",
    metadata,
    Column("id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("id"),
)

rooms = Table(
    "rooms",
    metadata,
    Column("id", Text, nullable=False),
    Column("title", Text, nullable=False),
    # The title as search sees it: SQLite's LIKE folds only ASCII, so the folding is ours (rooms.py).
    Column("title_folded", Text, nullable=False),
    Column("visibility", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("epoch", Integer, nullable=False, server_default=text("1")),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("creator_id", Text, ForeignKey("users.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime, nullable=True),
    # Since when the operator wants no edits; null for nearly all.
    Column("frozen_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
    CheckConstraint("visibility IN ('public', 'unlisted')", name="visibility"),
    CheckConstraint("schema IN ('canvas', 'open')", name="schema"),
)

# The public lobby: newest first, trash left out. The page after a cursor is one range of this index.
Index(
    "ix_rooms_listing",
    rooms.c.visibility,
    rooms.c.created_at,
    rooms.c.id,
    sqlite_where=rooms.c.deleted_at.is_(None),
    postgresql_where=rooms.c.deleted_at.is_(None),
)
# "My trash", and the foreign key to users.
Index("ix_rooms_creator", rooms.c.creator_id, rooms.c.created_at, rooms.c.id)
# restraints.py asks for all of them, a little more often than once a second.
Index(
    "ix_rooms_frozen",
    rooms.c.frozen_at,
    sqlite_where=rooms.c.frozen_at.is_not(None),
    postgresql_where=rooms.c.frozen_at.is_not(None),
)
# What purge_trash looks for; live rooms cost it nothing.
Index(
    "ix_rooms_trash",
    rooms.c.deleted_at,
    sqlite_where=rooms.c.deleted_at.is_not(None),
    postgresql_where=rooms.c.deleted_at.is_not(None),
)

room_heads = Table(
    "room_heads",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("checkpoint_seq", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("room_id"),
    CheckConstraint("checkpoint_seq >= 0 AND checkpoint_seq <= seq", name="order"),
    sqlite_with_rowid=False,
)

room_participants = Table(
    "room_participants",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("role", Text, nullable=False),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("room_id", "user_id"),
    CheckConstraint("role IN ('owner', 'editor', 'viewer')", name="role"),
    sqlite_with_rowid=False,
)
# "My rooms".
Index("ix_room_participants_user", room_participants.c.user_id, room_participants.c.room_id)

# A state is megabytes long: this table keeps its rowid, since SQLite moves whole rows of one without.
canvas_states = Table(
    "canvas_states",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", LargeBinary, nullable=False),
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

# Whom the operator keeps out of a room until when; an empty user_id is everybody. No foreign key to users: it
# may be somebody this database has never seen.
room_exclusions = Table(
    "room_exclusions",
    metadata,
    Column("room_id", Text, ForeignKey("rooms.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Text, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("room_id", "user_id"),
)

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
Index("ix_renditions_key", renditions.c.key, unique=True)

# Times of a queued job: run_at; of a running one: lease_until; of one that is done or dead: finished_at.
# room_id and user_id are no foreign keys: a job may be about what is gone already.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    # payload and result are JSON objects
    Column("payload", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("key", Text, nullable=True),
    Column("run_at", UtcDateTime, nullable=False),
    Column("lease", Text, nullable=True),
    Column("lease_until", UtcDateTime, nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("progress", Float, nullable=False),
    Column("words", Text, nullable=False),
    Column("result", Text, nullable=True),
    Column("error", Text, nullable=True),
    Column("room_id", Text, nullable=True),
    Column("user_id", Text, nullable=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
    CheckConstraint("state IN ('queued', 'running', 'done', 'dead')", name="state"),
    CheckConstraint("(state = 'running') = (lease IS NOT NULL AND lease_until IS NOT NULL)", name="lease"),
    CheckConstraint("(state IN ('done', 'dead')) = (finished_at IS NOT NULL)", name="finished"),
)


def _jobs_index(name: str, *columns: Column[Any], where: str, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


# claim and find_next: the queued jobs of a kind that are due, in their order.
_jobs_index("ix_jobs_claiming", jobs.c.kind, jobs.c.run_at, jobs.c.id, where="state = 'queued'")
# claim and find_next: the leases that ran out.
_jobs_index("ix_jobs_leases", jobs.c.lease_until, where="state = 'running'")
# enqueue: at most one queued job of a kind and key.
_jobs_index(
    "uq_jobs_queued_key", jobs.c.kind, jobs.c.key, where="state = 'queued' AND key IS NOT NULL", unique=True
)
# purge_finished: what was done, or died, long ago.
_jobs_index("ix_jobs_finished", jobs.c.state, jobs.c.finished_at, where="finished_at IS NOT NULL")
# list_jobs of the dead ones, which an operator looks for among many others.
_jobs_index("ix_jobs_dead", jobs.c.id, where="state = 'dead'")

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("user_id", "key"),
)
Index("ix_idempotency_keys_created", idempotency_keys.c.created_at)

# What ends tokens before their time. Of kind token: subject is a token id, and what was renewed from it ends
# too; of kind user: subject is the user id, and sessions that began up to issued_before end.
revocations = Table(
    "revocations",
    metadata,
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    # no foreign key: whoever signs out may never have been written down
    Column("user_id", Text, nullable=False),
    Column("issued_before", UtcDateTime, nullable=True),
    Column("revoked_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("kind", "subject"),
    CheckConstraint("kind IN ('token', 'user')", name="kind"),
    CheckConstraint("(kind = 'user') = (issued_before IS NOT NULL)", name="issued_before"),
)
# find_since: what is new, asked for twice a second by every process.
Index("ix_revocations_revoked", revocations.c.revoked_at)
# purge_revocations: what no token can be renewed from any more.
Index("ix_revocations_expires", revocations.c.expires_at)
