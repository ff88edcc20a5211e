"""The audit log. Owns: `audit_events` and `audit_heads`. Does not own: what is worth an entry (the edge), how
entries are linked (chains.py).

Rules kept: rows are only added, in the transaction of what they tell of; those of one chain one after the
other, under the lock of its head; what leaves at the old end goes by `cut` alone, which is an entry itself.
The database refuses anything else (triggers, db/tables/audit.py). Keeps rules Y1, Y2, Y6.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from ulid import ULID

from db.chains import EXPIRE, Entry, Head, Seal, cut_details
from db.scopes import as_server
from db.tables import UtcDateTime, audit_events, audit_heads, rooms
from db.upsert import insert_into
from party.ports import NO_ALIASES

SERVER_CHAIN: Final = "@server"
"""Of what is about no room; no room can have this id."""

SEAL: Final = "audit_seal"
"""The execution option that carries the Seal; `open_database` is given it."""

SERVER: Final = ("@server", "Kanvas")
OPERATOR: Final = ("@operator", "Operator")
"""Who acts when nobody has signed in: the server by itself, and whoever has its command line. Id and name."""

CUT_EVERY: Final = timedelta(days=1)
"""A chain is cut no more often: each cut is an entry."""


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody did or was refused. `details` is a JSON object as text; no secrets in it."""

    at: datetime
    actor_id: str
    actor_name: str
    action: str
    room_id: str | None = None
    target: str = ""
    result: Literal["done", "refused"] = "done"
    address: str = ""
    request_id: str = ""
    details: str = "{}"


def append(connection: Connection, event: Event) -> None:
    """Write it down, in the transaction of what it tells of.

    Whoever appends to the same chain waits until that transaction ends: call it late in it, and for several
    chains in their order. RuntimeError: the database was opened without a seal.
    """
    # the chain is the log's own, whoever's doing it is
    with as_server(connection):
        _append(connection, event)


def _append(connection: Connection, event: Event) -> None:
    seal = connection.get_execution_options().get(SEAL)
    if not isinstance(seal, Seal):
        raise RuntimeError("this database was opened without a seal: open_database(url, seal=...)")
    head = _lock_head(connection, event.room_id or SERVER_CHAIN)
    entry = Entry(
        chain=head.chain,
        seq=head.seq + 1,
        id=str(ULID()).lower(),
        at=event.at,
        actor_id=event.actor_id,
        actor_name=event.actor_name,
        action=event.action,
        # from an address, perhaps; PostgreSQL's text holds none of these (J11)
        target=event.target.replace("\0", "\ufffd"),
        result=event.result,
        address=event.address,
        request_id=event.request_id,
        details=event.details,
    )
    sealed = seal.close(head.hash, entry)
    # first: the row must be the one that the head names
    connection.execute(_MOVE, {"of": head.chain, "to_seq": entry.seq, "to_hash": sealed})
    connection.execute(_ADD, {name: getattr(entry, name) for name in _COLUMNS} | {"hash": sealed})


# built once: they are run with every change that is recorded
_LOCK: Final = select(audit_heads).where(audit_heads.c.chain == bindparam("of")).with_for_update()
_MOVE: Final = (
    update(audit_heads)
    .where(audit_heads.c.chain == bindparam("of"))
    .values(seq=bindparam("to_seq"), hash=bindparam("to_hash"))
)
_ADD: Final = insert(audit_events)
_COLUMNS: Final = tuple(column.name for column in audit_events.c)


def _lock_head(connection: Connection, chain: str) -> Head:
    row = connection.execute(_LOCK, {"of": chain}).one_or_none()
    if row is None:
        connection.execute(
            insert_into(connection, audit_heads)
            .values(chain=chain, seq=0, hash=b"", first_hash=b"")
            .on_conflict_do_nothing(index_elements=[audit_heads.c.chain])
        )
        row = connection.execute(_LOCK, {"of": chain}).one()
    return Head(**row._mapping)


# -- reading ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries: all that are given hold. `action` is a whole name, or a noun for all of it."""

    chain: str | None = None
    actor_id: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """Not those at this moment any more."""

    aliases: frozenset[str] = NO_ALIASES
    """Guests that the actor was: their entries as well."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended."""

    at: datetime
    id: str
    seq: int

    @classmethod
    def of(cls, entry: Entry) -> "Position":
        return cls(entry.at, entry.id, entry.seq)


def list_entries(
    connection: Connection,
    wanted: Wanted,
    *,
    past: Position | None = None,
    limit: int,
    oldest_first: bool = False,
) -> list[Entry]:
    """A page of entries, the newest first unless told otherwise; those of one chain in its order.

    Without a chain it is for the system's eyes: what has left the log is told by the ends of the chains,
    which nobody else sees.
    """
    e = audit_events.c
    statement = select(audit_events).where(*_conditions(wanted))
    if wanted.chain is not None:
        with as_server(connection):
            head = find_head(connection, wanted.chain)
        statement = statement.where(e.seq >= (head.first_seq if head is not None else 1))
        key: list[ColumnElement[object]] = [e.seq]
        if past is not None:
            statement = statement.where(e.seq > past.seq if oldest_first else e.seq < past.seq)
    else:
        statement = statement.where(e.seq >= _FIRST_SEQ)
        key = [e.at, e.id]
        if past is not None:
            ours, theirs = tuple_(e.at, e.id), tuple_(literal(past.at, UtcDateTime), literal(past.id))
            statement = statement.where(ours > theirs if oldest_first else ours < theirs)
    statement = statement.order_by(*(one if oldest_first else one.desc() for one in key)).limit(limit)
    return [_entry(row) for row in connection.execute(statement)]


# of the chain an entry is in: not a join, so that a page is read along its index
_FIRST_SEQ: Final = func.coalesce(
    select(audit_heads.c.first_seq).where(audit_heads.c.chain == audit_events.c.chain).scalar_subquery(), 1
)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    e = audit_events.c
    found: list[ColumnElement[bool]] = []
    if wanted.chain is not None:
        found.append(e.chain == wanted.chain)
    if wanted.actor_id is not None and wanted.aliases:
        found.append(e.actor_id.in_(sorted({wanted.actor_id, *wanted.aliases})))
    elif wanted.actor_id is not None:
        found.append(e.actor_id == wanted.actor_id)
    if wanted.action is not None and "." in wanted.action:
        found.append(e.action == wanted.action)
    elif wanted.action is not None:
        # "." and what follows it in ASCII: a range that the index knows
        found += [e.action > f"{wanted.action}.", e.action < f"{wanted.action}/"]
    if wanted.since is not None:
        found.append(e.at >= wanted.since)
    if wanted.until is not None:
        found.append(e.at < wanted.until)
    return found


def find_rooms(connection: Connection, ids: Collection[str]) -> dict[str, bool]:
    """Those of these rooms that are there, and whether each is out of the trash."""
    found = select(rooms.c.id, rooms.c.deleted_at.is_(None)).where(rooms.c.id.in_(sorted(ids)))
    return dict(connection.execute(found).all())


def _entry(row: Row[*tuple[object, ...]]) -> Entry:
    return Entry(**row._mapping)


# -- checking -----------------------------------------------------------------------------------


def find_head(connection: Connection, chain: str) -> Head | None:
    """The ends of a chain."""
    row = connection.execute(select(audit_heads).where(audit_heads.c.chain == chain)).one_or_none()
    return None if row is None else Head(**row._mapping)


def list_chains(connection: Connection, past: str, limit: int) -> list[str]:
    """Chains after `past` in their order, with or without a head."""
    told = [
        select(table.c.chain).where(table.c.chain > past).distinct() for table in (audit_heads, audit_events)
    ]
    union = told[0].union(told[1]).subquery()
    return list(connection.execute(select(union.c.chain).order_by(union.c.chain).limit(limit)).scalars())


def read_chain(connection: Connection, chain: str, past_seq: int, limit: int) -> list[Entry]:
    """Entries of a chain behind `past_seq`, in its order."""
    e = audit_events.c
    statement = select(audit_events).where(e.chain == chain, e.seq > past_seq).order_by(e.seq).limit(limit)
    return [_entry(row) for row in connection.execute(statement)]


def list_unnumbered(connection: Connection, chain: str, limit: int) -> list[Entry]:
    """Entries before the first number there is; the log writes none."""
    e = audit_events.c
    statement = select(audit_events).where(e.chain == chain, e.seq < 1).order_by(e.seq).limit(limit)
    return [_entry(row) for row in connection.execute(statement)]


# -- retention ----------------------------------------------------------------------------------


def list_expiring(connection: Connection, before: datetime, limit: int) -> list[str]:
    """Chains with entries older than that by a day, other than of a cut."""
    e, h = audit_events.c, audit_heads.c
    found = (
        select(e.chain)
        .join(audit_heads, h.chain == e.chain)
        .where(e.at < before - CUT_EVERY, e.action != EXPIRE, e.seq >= h.first_seq)
        .distinct()
        .limit(limit)
    )
    return sorted(connection.execute(found).scalars())


def cut(connection: Connection, chain: str, before: datetime, now: datetime) -> int:
    """Let the oldest entries leave a chain, as far as all of them are from before then; how many.

    They are out of it from now on, and removed by `purge_cut`.
    """
    head = _lock_head(connection, chain)
    e = audit_events.c
    newer = select(func.min(e.seq)).where(e.chain == chain, e.seq >= head.first_seq, e.at >= before)
    stays = connection.execute(newer).scalar_one()
    last = head.seq if stays is None else stays - 1
    gone = last - head.first_seq + 1
    if gone <= 0:
        return 0
    last_hash = connection.execute(select(e.hash).where(e.chain == chain, e.seq == last)).scalar_one()
    event = Event(
        at=now,
        actor_id=SERVER[0],
        actor_name=SERVER[1],
        action=EXPIRE,
        room_id=chain,
        target=f"{gone} entries",
        details=cut_details(last + 1, last_hash),
    )
    append(connection, event)
    moved = audit_heads.update().where(audit_heads.c.chain == chain)
    connection.execute(moved.values(first_seq=last + 1, first_hash=last_hash))
    return gone


def list_cut(connection: Connection, limit: int) -> list[str]:
    """Chains with entries that left them and are not removed yet. Looks at the end of every chain."""
    e, h = audit_events.c, audit_heads.c
    left = exists().where(e.chain == h.chain, e.seq < h.first_seq)
    return list(connection.execute(select(h.chain).where(h.first_seq > 1, left).limit(limit)).scalars())


def purge_cut(connection: Connection, chain: str, limit: int) -> int:
    """Remove entries that left a chain, the oldest first; how many. A range of its key."""
    e, h = audit_events.c, audit_heads.c
    first_seq = select(h.first_seq).where(h.chain == chain).scalar_subquery()
    oldest = select(func.min(e.seq)).where(e.chain == chain).scalar_subquery()
    gone = delete(audit_events).where(e.chain == chain, e.seq < first_seq, e.seq < oldest + limit)
    return connection.execute(gone).rowcount
