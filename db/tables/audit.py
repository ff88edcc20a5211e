"""What was done by whom. The database takes new rows only: triggers refuse the rest."""

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    event,
    text,
)

from db.tables.base import UtcDateTime, metadata

# `chain` is a room's id, or "@server"; rows of one are linked by their hashes. No foreign keys: this outlives
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
    CheckConstraint("seq >= 1", name="seq"),
)
# No query: no two entries share an id, whatever their chains.
Index("ix_audit_events_id", audit_events.c.id, unique=True)
# list_entries without a room, the page after a position; list_expiring, the oldest.
Index("ix_audit_events_at", audit_events.c.at, audit_events.c.id)
# list_entries of what somebody did, from when to when.
Index("ix_audit_events_actor", audit_events.c.actor_id, audit_events.c.at)
# list_entries of one kind or one group of kinds, from when to when.
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

# Rows are added, and go only when the head of their chain says they have left it; a head only moves on, and
# its old end only beside an entry that tells of it (db/audit.py, `cut`). SQLite's INSERT OR REPLACE deletes
# without asking the triggers of deletion, so it is stopped before.
EVENTS_KEPT = "audit_events takes new rows only"
HEADS_KEPT = "audit_heads only moves on"
MOVED_BACK = """NEW.chain <> OLD.chain OR NEW.seq < OLD.seq
OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)
OR NEW.first_seq < OLD.first_seq OR (NEW.first_seq = OLD.first_seq AND NEW.first_hash <> OLD.first_hash)
OR (NEW.first_seq > OLD.first_seq AND NOT EXISTS (SELECT 1 FROM audit_events
WHERE chain = NEW.chain AND seq = NEW.seq AND action = 'audit.expire'))"""
HAS_LEFT = """EXISTS (SELECT 1 FROM audit_heads
WHERE chain = OLD.chain AND first_seq > OLD.seq)"""

SQLITE_EVENTS = (
    """CREATE TRIGGER audit_events_insert BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE (chain = NEW.chain AND seq = NEW.seq) OR id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit_events takes new rows only'); END""",
    f"""CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events
BEGIN SELECT RAISE(ABORT, '{EVENTS_KEPT}'); END""",
    f"""CREATE TRIGGER audit_events_delete BEFORE DELETE ON audit_events
WHEN NOT {HAS_LEFT}
BEGIN SELECT RAISE(ABORT, '{EVENTS_KEPT}'); END""",
)
SQLITE_HEADS = (
    """CREATE TRIGGER audit_heads_insert BEFORE INSERT ON audit_heads
WHEN EXISTS (SELECT 1 FROM audit_heads WHERE chain = NEW.chain)
BEGIN SELECT RAISE(IGNORE); END""",
    f"""CREATE TRIGGER audit_heads_update BEFORE UPDATE ON audit_heads
WHEN {MOVED_BACK}
BEGIN SELECT RAISE(ABORT, '{HEADS_KEPT}'); END""",
    f"""CREATE TRIGGER audit_heads_delete BEFORE DELETE ON audit_heads
BEGIN SELECT RAISE(ABORT, '{HEADS_KEPT}'); END""",
)
POSTGRES_EVENTS = (
    f"""CREATE FUNCTION kanvas_keep_audit_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF TG_OP = 'DELETE' THEN
IF {HAS_LEFT} THEN RETURN OLD; END IF;
END IF;
RAISE EXCEPTION USING MESSAGE = '{EVENTS_KEPT}'; END $$""",
    """CREATE TRIGGER audit_events_kept BEFORE UPDATE OR DELETE ON audit_events
FOR EACH ROW EXECUTE FUNCTION kanvas_keep_audit_events()""",
    """CREATE TRIGGER audit_events_whole BEFORE TRUNCATE ON audit_events
FOR EACH STATEMENT EXECUTE FUNCTION kanvas_keep_audit_events()""",
)
POSTGRES_HEADS = (
    f"""CREATE FUNCTION kanvas_keep_audit_heads() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
IF TG_OP = 'UPDATE' THEN
IF NOT ({MOVED_BACK}) THEN RETURN NEW; END IF;
END IF;
RAISE EXCEPTION USING MESSAGE = '{HEADS_KEPT}'; END $$""",
    """CREATE TRIGGER audit_heads_kept BEFORE UPDATE OR DELETE ON audit_heads
FOR EACH ROW EXECUTE FUNCTION kanvas_keep_audit_heads()""",
    """CREATE TRIGGER audit_heads_whole BEFORE TRUNCATE ON audit_heads
FOR EACH STATEMENT EXECUTE FUNCTION kanvas_keep_audit_heads()""",
)
for _table, _dialect, _statements in (
    (audit_events, "sqlite", SQLITE_EVENTS),
    (audit_heads, "sqlite", SQLITE_HEADS),
    (audit_events, "postgresql", POSTGRES_EVENTS),
    (audit_heads, "postgresql", POSTGRES_HEADS),
):
    for _statement in _statements:
        event.listen(_table, "after_create", DDL(_statement).execute_if(dialect=_dialect))  # type: ignore[no-untyped-call]
