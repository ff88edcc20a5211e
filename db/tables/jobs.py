"""Work in the background, and answers that are given again."""

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from db.tables.base import UtcDateTime, metadata

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
# purge_answers: the old ones.
Index("ix_idempotency_keys_created", idempotency_keys.c.created_at)
