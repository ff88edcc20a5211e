"""What was done by whom. The database takes new rows only: triggers refuse the rest."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from db.tables.base import UtcDateTime, metadata

# `chain` is a room's id, or "server"; rows of one are linked by their hashes. No foreign keys: this outlives
# what it is about. `details` is a JSON object.
audit_events = Table(
    "audit_events",
    metadata,
    Column("chain", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("chain", "seq"),
    CheckConstraint("result IN ('done', 'refused')", name="result"),
)
Index("ix_audit_events_id", audit_events.c.id, unique=True)
Index("ix_audit_events_at", audit_events.c.at, audit_events.c.id)
Index("ix_audit_events_actor", audit_events.c.actor_id, audit_events.c.at)
Index("ix_audit_events_action", audit_events.c.action, audit_events.c.at)

# The ends of each chain: rows before `first_seq` left it, the last of them with `first_hash`.
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("first_seq", BigInteger, nullable=False, server_default=text("1")),
    Column("first_hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("chain"),
    CheckConstraint("first_seq >= 1 AND first_seq <= seq + 1", name="order"),
)
