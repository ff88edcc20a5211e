"""The audit log in both databases: chained, append-only, cut at its old end; what tampering looks like."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.event import listen, remove

from db.audit import (
    SERVER_CHAIN,
    Event,
    Position,
    Wanted,
    append,
    cut,
    find_head,
    list_cut,
    list_entries,
    list_expiring,
    purge_cut,
    read_chain,
)
from db.chains import EXPIRE, ChainCheck, Entry, Finding, Seal, encode
from db.database import Database, open_database
from db.scopes import as_system
from party.errors import Invalid, Unavailable
from tests.backends.postgres import Postgres
from tests.db.conftest import NOW, SEAL


def event(n: int = 0, *, room_id: str | None = "room-1", at: datetime = NOW, **more: str) -> Event:
    values = {"actor_id": "ada", "actor_name": "Ada", "action": "room.change", **more}
    return Event(at=at + timedelta(microseconds=n), room_id=room_id, target=f"n{n}", **values)  # type: ignore[arg-type]


async def fill(database: Database, count: int, **more: str) -> list[Entry]:
    for n in range(1, count + 1):
        await database.write(partial(append, event=event(n, **more)))
    return await entries(database)


async def entries(database: Database, chain: str = "room-1") -> list[Entry]:
    return await database.read(partial(read_chain, chain=chain, past_seq=0, limit=1000))


async def check(database: Database, *seals: Seal, chain: str = "room-1") -> list[Finding]:
    head = await database.read(partial(find_head, chain=chain))
    assert head is not None
    walk = ChainCheck(head, seals or [SEAL])
    found: list[Finding] = []
    for entry in await entries(database, chain):
        if entry.seq >= head.first_seq:
            found += walk.take(entry)
    return found + list(walk.finish())


def made_up(seq: int, chain: str = "room-1") -> str:
    """The statement that copies the entry 2 to another place of a chain, under an id of its own."""
    copied = (
        f"SELECT '{chain}', {seq}, 'made-up-{seq}-in-{chain}', at, actor_id, actor_name, action, 'MADE UP'"
    )
    rest = "result, address, request_id, details, hash FROM audit_events WHERE chain = 'room-1' AND seq = 2"
    return f"INSERT INTO audit_events {copied}, {rest}"


def plans_of(connection: Connection, work: Callable[[Connection], object]) -> list[str]:
    """How SQLite runs the statements of this work, which is done."""
    ran: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, params: Any, _context: Any, _many: bool) -> None:
        ran.append((statement, params))

    listen(connection.engine, "before_cursor_execute", note)
    work(connection)
    remove(connection.engine, "before_cursor_execute", note)
    plans = [connection.exec_driver_sql("EXPLAIN QUERY PLAN " + one, params) for one, params in ran]
    return [str(row[-1]) for plan in plans for row in plan]


def without_triggers(*statements: str) -> Callable[[Connection], None]:
    """As somebody who owns the database."""

    def work(connection: Connection) -> None:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
        for (name,) in names.all():
            connection.execute(text(f"DROP TRIGGER {name}"))
        for statement in statements:
            connection.execute(text(statement))

    return work


async def test_entries_of_a_chain_follow_each_other(both: Database) -> None:
    """Y2: each chain has its own numbers, and nothing is wrong with it as it was written."""
    told = await fill(both, 3, details='{"title":"Grün 🌱"}')
    await both.write(partial(append, event=event(room_id=None, action="sign_in.guest")))
    assert [(one.chain, one.seq, one.target) for one in told] == [("room-1", n, f"n{n}") for n in (1, 2, 3)]
    assert told[0].at == NOW + timedelta(microseconds=1)
    assert len({one.hash for one in told}) == 3
    assert all(one.hash.startswith(SEAL.name) for one in told)
    assert [one.seq for one in await entries(both, SERVER_CHAIN)] == [1]
    assert await check(both) == []
    assert await check(both, chain=SERVER_CHAIN) == []


async def test_an_entry_is_of_its_transaction(both: Database) -> None:
    """Y1: what did not happen is not in the log, and leaves no gap."""

    def fails(connection: Connection) -> None:
        append(connection, event(1))
        raise Invalid

    with pytest.raises(Invalid):
        await both.write(fails)
    await fill(both, 1)
    assert [one.seq for one in await entries(both)] == [1]
    assert await check(both) == []


async def test_many_write_at_once(both: Database) -> None:
    """Y2: writers of one chain come one after the other."""
    await asyncio.gather(*(both.write(partial(append, event=event(n))) for n in range(20)))
    assert [one.seq for one in await entries(both)] == list(range(1, 21))
    assert await check(both) == []


async def test_without_a_seal_nothing_is_appended(url: str) -> None:
    async with open_database(url) as database:
        with pytest.raises(RuntimeError, match="seal"):
            await as_system(database).write(partial(append, event=event()))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_events SET actor_id = 'eve'",
        "UPDATE audit_events SET details = '{}' WHERE seq = 2",
        "DELETE FROM audit_events",
        "DELETE FROM audit_events WHERE seq = 3",
        "DELETE FROM audit_heads",
        "UPDATE audit_heads SET seq = seq - 1",
        "UPDATE audit_heads SET hash = first_hash",
        "UPDATE audit_heads SET first_seq = 3",
        "UPDATE audit_heads SET chain = 'other'",
    ],
)
async def test_the_database_refuses(both: Database, statement: str) -> None:
    """Y1: no update, no removal, not even of the ends."""
    before = await fill(both, 3)
    with pytest.raises(Unavailable):
        await both.write(lambda connection: connection.execute(text(statement)).close())
    assert await entries(both) == before
    assert await check(both) == []


async def test_no_number_before_the_first_is_taken(both: Database) -> None:
    """Y2: entries are numbered from 1, and the database takes no other."""
    before = await fill(both, 2)
    for seq in (0, -3):
        with pytest.raises((Unavailable, Invalid)):
            await both.write(lambda connection, n=seq: connection.execute(text(made_up(n))).close())
    assert await entries(both) == before


async def test_replacing_and_emptying_are_refused_too(database: Database, server_database: Database) -> None:
    """Y1: SQLite's REPLACE asks no trigger of deletion, PostgreSQL's TRUNCATE none of rows."""
    before = await fill(database, 2)
    columns = (
        "chain, seq, id, at, actor_id, actor_name, action, target, result, address, request_id, details, hash"
    )
    copied = columns.replace("actor_id", "'eve'", 1)
    for statement in (
        f"INSERT OR REPLACE INTO audit_events SELECT {copied} FROM audit_events WHERE seq = 1",
        f"INSERT OR REPLACE INTO audit_events SELECT {columns.replace('seq', '9', 1)} FROM audit_events"
        " WHERE seq = 1",
    ):
        with pytest.raises(Unavailable):
            await database.write(lambda connection, sql=statement: connection.execute(text(sql)).close())
    replaced = "INSERT OR REPLACE INTO audit_heads VALUES ('room-1', 0, x'', 1, x'')"
    await database.write(lambda connection: connection.execute(text(replaced)).close())
    assert await entries(database) == before
    assert await check(database) == []
    await fill(server_database, 1)
    for table in ("audit_events", "audit_heads"):
        with pytest.raises(Unavailable):
            await server_database.write(
                lambda connection, sql=f"TRUNCATE {table}": connection.execute(text(sql)).close()
            )


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["UPDATE audit_events SET actor_id = 'eve' WHERE seq = 2"], [(2, "changed")]),
        (
            ["UPDATE audit_events SET at = (SELECT at FROM audit_events WHERE seq = 3) WHERE seq = 2"],
            [(2, "changed")],
        ),
        (["DELETE FROM audit_events WHERE seq = 2"], [(2, "entry 2 is missing")]),
        (["DELETE FROM audit_events WHERE seq IN (2, 3)"], [(2, "entries 2 to 3 are missing")]),
        (["DELETE FROM audit_events WHERE seq = 1"], [(1, "entry 1 is missing")]),
        (["DELETE FROM audit_events WHERE seq > 2"], [(3, "entries 3 to 4 are missing")]),
        (
            [
                "UPDATE audit_events SET seq = 99 WHERE seq = 2",
                "UPDATE audit_events SET seq = 2 WHERE seq = 3",
                "UPDATE audit_events SET seq = 3 WHERE seq = 99",
            ],
            [(2, "moved"), (3, "moved"), (4, "moved")],
        ),
        (
            [
                "DELETE FROM audit_events WHERE seq = 2",
                "UPDATE audit_events SET seq = 2 WHERE seq = 3",
                "UPDATE audit_events SET seq = 3 WHERE seq = 4",
                "UPDATE audit_heads SET seq = 3",
            ],
            [(2, "changed"), (3, "changed")],
        ),
        (
            ["UPDATE audit_events SET seq = 9 WHERE seq = 4"],
            [(9, "behind the end"), (4, "entry 4 is missing")],
        ),
        (["UPDATE audit_heads SET hash = first_hash"], [(4, "not the one that was noted")]),
        (
            ["DELETE FROM audit_events WHERE seq = 1", "UPDATE audit_heads SET first_seq = 2"],
            [(2, "changed"), (2, "entries up to 1 are gone")],
        ),
        (
            [
                "DELETE FROM audit_events WHERE seq = 1",
                "UPDATE audit_heads SET first_seq = 2, first_hash ="
                " (SELECT hash FROM audit_events WHERE seq = 2)",
            ],
            [(2, "changed"), (2, "entries up to 1 are gone")],
        ),
    ],
)
async def test_tampering_is_found(
    database: Database, statements: list[str], told: list[tuple[int, str]]
) -> None:
    """Y4: removed, changed, moved, cut off or made up, by somebody who may do anything in the database."""
    await fill(database, 4)
    await database.write(without_triggers(*statements))
    found = await check(database)
    assert [(one.seq, words in one.words) for one, (_, words) in zip(found, told, strict=False)] == [
        (seq, True) for seq, _ in told
    ], found
    assert len(found) == len(told)


async def test_the_same_on_postgresql(server_database: Database, postgres: Postgres) -> None:
    """Y4: neither triggers nor policies hold a superuser."""
    await fill(server_database, 4)
    postgres.sql(
        "SET session_replication_role = replica; UPDATE audit_events SET details = '[]' WHERE seq = 2; "
        "DELETE FROM audit_events WHERE seq = 4",
        server_database.url.rpartition("/")[2],
    )
    assert [one.seq for one in await check(server_database)] == [2, 4]


async def test_after_a_change_of_the_secret_both_are_asked(url: str) -> None:
    """Y3: with the old secret beside the new one all of it fits; without it, it is said which are meant."""
    old, new = SEAL, Seal(b"another secret of some forty bytes, more or less")
    async with open_database(url, seal=old) as adapter:
        await fill(as_system(adapter), 2)
    async with open_database(url, seal=new) as adapter:
        database = as_system(adapter)
        await database.write(partial(append, event=event(9)))
        assert await check(database, old, new) == []
        found = await check(database, new)
        assert [one.seq for one in found] == [1, 2]
        assert old.name.hex() in found[0].words
    assert b"secret" not in repr(old).encode()


def test_a_field_can_not_flow_into_the_next() -> None:
    """Y2."""
    one = Entry("c", 1, "i", NOW, "ab", "c", "x.y", "", "done", "", "", "{}")
    other = Entry("c", 1, "i", NOW, "a", "bc", "x.y", "", "done", "", "", "{}")
    assert encode(b"", one) != encode(b"", other)
    assert encode(b"", one) != encode(b"\0", one)


async def test_old_entries_leave_by_a_cut(both: Database) -> None:
    """Y6: as far as all are older; the cut is an entry, and what is left still fits."""
    await fill(both, 3)
    await both.write(partial(append, event=event(at=NOW + timedelta(days=10))))
    # late: written behind a younger one, so it stays until that goes
    await both.write(partial(append, event=event(4)))
    before, now = NOW + timedelta(days=5), NOW + timedelta(days=100)
    assert await both.read(partial(list_expiring, before=before, limit=9)) == ["room-1"]
    assert await both.write(partial(cut, chain="room-1", before=before, now=now)) == 3
    assert await check(both) == []
    assert await both.read(partial(list_cut, limit=9)) == ["room-1"]
    assert await both.write(partial(purge_cut, chain="room-1", limit=2)) == 2
    assert await both.write(partial(purge_cut, chain="room-1", limit=2)) == 1
    assert await both.write(partial(purge_cut, chain="room-1", limit=2)) == 0
    assert await both.read(partial(list_cut, limit=9)) == []
    kept = await entries(both)
    assert [one.seq for one in kept] == [4, 5, 6]
    assert (kept[-1].action, kept[-1].actor_id, kept[-1].target) == (EXPIRE, "@server", "3 entries")
    assert await check(both) == []
    assert await both.write(partial(cut, chain="room-1", before=before, now=now)) == 0

    # everything goes but the cut itself, and for that alone there is no further one
    assert await both.write(partial(cut, chain="room-1", before=now + timedelta(days=9), now=now)) == 3
    await both.write(partial(purge_cut, chain="room-1", limit=9))
    assert [one.action for one in await entries(both)] == [EXPIRE]
    assert await both.read(partial(list_expiring, before=now + timedelta(days=999), limit=9)) == []
    assert await check(both) == []


async def test_what_left_is_shown_to_nobody(both: Database) -> None:
    """Y6: from the cut on, removed or not, and so is what somebody puts there later."""
    await fill(both, 2)
    await both.write(partial(append, event=event(3, at=NOW + timedelta(days=10))))
    now = NOW + timedelta(days=100)
    for seq in (None, 1):
        if seq is None:
            await both.write(partial(cut, chain="room-1", before=NOW + timedelta(days=5), now=now))
        else:
            await both.write(partial(purge_cut, chain="room-1", limit=9))
            sql = made_up(seq).replace("AND seq = 2", "AND seq = 3")
            await both.write(lambda connection, sql=sql: connection.execute(text(sql)).close())
        for wanted in (Wanted(), Wanted(chain="room-1"), Wanted(actor_id="ada")):
            for is_oldest_first in (False, True):
                told = await both.read(
                    partial(list_entries, wanted=wanted, limit=9, oldest_first=is_oldest_first)
                )
                assert {one.seq for one in told} == ({3} if wanted.actor_id else {3, 4})


async def test_a_page_is_read_along_an_index(database: Database) -> None:
    """Y5: whatever is asked, with one look at the end of a chain for each entry."""
    await fill(database, 3)
    for wanted in (Wanted(), Wanted(chain="room-1"), Wanted(actor_id="ada"), Wanted(action="room.change")):
        told = await database.read(partial(plans_of, work=partial(list_entries, wanted=wanted, limit=9)))
        assert any("audit_events USING INDEX" in line for line in told), told
        assert any("audit_heads USING INDEX" in line for line in told), told
        assert not any("TEMP B-TREE FOR ORDER BY" in line for line in told), told


async def test_removing_what_was_cut_reads_nothing_else(database: Database) -> None:
    """Y6: edits wait for the same writer, so it looks at one chain, however many there are."""
    await fill(database, 3)
    told = await database.write(partial(plans_of, work=partial(purge_cut, chain="room-1", limit=1000)))
    assert any(line.startswith("SEARCH audit_events") for line in told)
    assert not any("SCAN" in line for line in told), told


async def test_entries_are_found_by_what_is_asked(both: Database) -> None:
    """Y5: by chain, actor, action or noun, and time; the newest first, page by page."""
    for n, (room, actor, action) in enumerate(
        [
            ("room-1", "ada", "room.create"),
            ("room-2", "bob", "room.create"),
            ("room-1", "bob", "room_other.x"),
            ("room-1", "ada", "room.change"),
            ("room-1", "bob", "roomy.change"),
        ]
    ):
        await both.write(partial(append, event=event(n, room_id=room, actor_id=actor, action=action)))

    async def found(*, limit: int = 50, **wanted: object) -> list[str]:
        told = await both.read(partial(list_entries, wanted=Wanted(**wanted), limit=limit))  # type: ignore[arg-type]
        return [one.target for one in told]

    assert await found() == ["n4", "n3", "n2", "n1", "n0"]
    assert await found(chain="room-1") == ["n4", "n3", "n2", "n0"]
    assert await found(actor_id="bob") == ["n4", "n2", "n1"]
    assert await found(action="room") == ["n3", "n1", "n0"]
    assert await found(action="room.create", chain="room-2") == ["n1"]
    assert await found(since=NOW + timedelta(microseconds=1), until=NOW + timedelta(microseconds=3)) == [
        "n2",
        "n1",
    ]
    for wanted in (Wanted(), Wanted(chain="room-1")):
        for is_oldest_first in (False, True):
            list_page = partial(list_entries, wanted=wanted, oldest_first=is_oldest_first)
            whole = await both.read(partial(list_page, limit=50))
            paged: list[Entry] = []
            while page := await both.read(
                partial(list_page, limit=2, past=Position.of(paged[-1]) if paged else None)
            ):
                paged += page
            assert paged == whole
