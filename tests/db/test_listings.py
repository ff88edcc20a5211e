"""How listings are read: ranges of indexes in their order (what they hold: test_rooms.py)."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, insert, update

from db.listings import Scope, list_rooms
from db.rooms import insert_room, record_participant, trash_room
from db.scopes import Actor, Scoped, as_user
from db.tables import room_heads, room_members, room_participants, rooms
from db.users import put_user
from db.walls import SCOPE, SYSTEM
from tests.db.conftest import NOW

ADA = Actor("ada")
ROOMS = 1_500


def fill(connection: Connection, some: range) -> None:
    """Every third room is Ada's, in every third she was."""
    made: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    for n in some:
        at, room_id, owner = NOW + timedelta(minutes=n), f"room-{n:05}", "ada" if n % 3 == 0 else "bea"
        times = {"created_at": at, "updated_at": at}
        named = {"title": room_id, "title_folded": room_id, "schema": "canvas", "visibility": "unlisted"}
        made.append({"id": room_id, "creator_id": owner, **named, **times})
        kept = {"room_id": room_id, "room_created_at": at}
        members.append({**kept, "user_id": owner, "role": "owner", "created_at": at})
        if n % 3 == 1:
            seen.append({**kept, "user_id": "ada", "role": "editor", "first_seen_at": at, "last_seen_at": at})
    connection.execute(insert(rooms), made)
    connection.execute(insert(room_heads), [{"room_id": one["id"]} for one in made])
    connection.execute(insert(room_members), members)
    connection.execute(insert(room_participants), seen)


@pytest.fixture
async def database(both: Scoped) -> Scoped:
    def people(connection: Connection) -> None:
        for one in ("ada", "bea"):
            put_user(connection, one, one.title(), NOW)

    await both.write(people)
    return both


def plans(connection: Connection, scope: Scope) -> list[str]:
    """How the database goes about each statement of a page, as text."""
    ran: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, params: Any, _context: Any, _many: bool) -> None:
        ran.append((statement, params))

    event.listen(connection.engine, "before_cursor_execute", note)
    page = list_rooms(connection, scope=scope, user_id="ada", q=None, before=None, limit=21)
    event.remove(connection.engine, "before_cursor_execute", note)
    assert len(page) == 21
    # only the driver takes them with their values in place, and only from the system
    connection.info[SCOPE] = SYSTEM
    how = "EXPLAIN " if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    return [
        "\n".join(str(row[-1]) for row in connection.exec_driver_sql(how + statement, params))
        for statement, params in ran
        # that one finds what old versions wrote, and sorts it; and what says whose eyes are meant
        if "room_created_at IS NULL" not in statement and "set_config" not in statement
    ]


@pytest.mark.parametrize("scope", ["mine", "trash"])
async def test_a_page_is_a_range_of_an_index(database: Scoped, scope: Scope) -> None:
    """V6: nothing is sorted and no table is read whole, whatever somebody has."""
    for first in range(0, ROOMS, 500):
        await database.write(partial(fill, some=range(first, first + 500)))
    if scope == "trash":
        await database.write(lambda c: c.execute(update(rooms).values(deleted_at=NOW)).close())
    if database.url.startswith("postgresql"):
        await database.write(lambda c: c.exec_driver_sql("ANALYZE").close())
    found = await as_user(database, ADA).read(partial(plans, scope=scope))
    names = ["ix_room_members_user", *(["ix_room_participants_user"] if scope == "mine" else []), "rooms"]
    for plan, name in zip(found, names, strict=True):
        assert name in plan
        assert "Sort" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan
        for table in ("rooms", "room_members", "room_participants"):
            assert f"Seq Scan on {table}" not in plan, plan
        assert "SCAN" not in plan.replace("SCAN users", ""), plan


async def test_mine_is_where_one_is_a_member_or_was_and_still_may_look(database: Scoped) -> None:
    """V6: newest first, each once; what a version before wrote is among them."""

    def prepare(connection: Connection) -> None:
        for n, owner in enumerate(("ada", "bea", "bea", "bea", "bea")):
            made = {
                "title": "",
                "visibility": "unlisted",
                "schema": "open",
                "now": NOW + timedelta(minutes=n),
            }
            insert_room(connection, id=f"r{n}", creator_id=owner, **made)  # type: ignore[arg-type]
        record_participant(connection, "r0", "ada", NOW)
        record_participant(connection, "r1", "ada", NOW)
        record_participant(connection, "r2", "ada", NOW)
        record_participant(connection, "r3", "ada", NOW)
        trash_room(connection, "r1", now=NOW)
        connection.execute(update(rooms).where(rooms.c.id == "r2").values(default_role="none"))
        lost = update(room_participants).where(room_participants.c.room_id == "r3")
        connection.execute(lost.values(room_created_at=None))

    async def mine(**more: Any) -> list[str]:
        look = partial(
            list_rooms, scope="mine", user_id="ada", **{"q": None, "before": None, "limit": 9, **more}
        )
        return [room.id for room in await as_user(database, ADA).read(look)]

    await database.write(prepare)
    assert await mine() == ["r3", "r0"]
    assert await mine(limit=1) == ["r3"]
    assert await mine(before=(NOW + timedelta(minutes=3), "r3")) == ["r0"]
    # seen again, it is where it belongs
    await database.write(lambda c: record_participant(c, "r3", "ada", NOW))
    assert await mine() == ["r3", "r0"]
    left = delete(room_members).where(room_members.c.room_id == "r0")
    await database.write(lambda c: c.execute(left).close())
    assert await mine() == ["r3", "r0"]
    assert (
        await as_user(database, Actor("cyd")).read(
            partial(list_rooms, scope="mine", user_id="cyd", q=None, before=None, limit=9)
        )
    ) == []


async def test_rooms_that_are_hidden_now_are_stepped_over(database: Scoped) -> None:
    """V6: however many there are before those that are listed, and whatever their titles are."""

    def prepare(connection: Connection) -> None:
        for n in range(60):
            insert_room(
                connection,
                id=f"r{n:02}",
                title=f"Plan {n % 2}",
                creator_id="bea",
                visibility="unlisted",
                schema="open",
                now=NOW + timedelta(minutes=n),
            )
            record_participant(connection, f"r{n:02}", "ada", NOW)
        connection.execute(update(rooms).where(rooms.c.id > "r02").values(default_role="none"))

    await database.write(prepare)
    for q, found in ((None, ["r02", "r01", "r00"]), ("PLAN 0", ["r02", "r00"]), ("plan 2", [])):
        for limit in (2, 3, 50):
            look = partial(list_rooms, scope="mine", user_id="ada", q=q, before=None, limit=limit)
            assert [room.id for room in await as_user(database, ADA).read(look)] == found[:limit]
