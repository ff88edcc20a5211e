"""Rooms: made, found, listed, changed, trashed, purged; and who was in them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table, func, select

from db.listings import list_rooms
from db.rooms import (
    Room,
    find_room,
    insert_room,
    list_participants,
    purge_trash,
    record_participant,
    restore_room,
    trash_room,
    update_room,
)
from db.sqlite import sqlite_engine
from db.tables import canvas_states, room_heads, room_participants, room_updates
from db.users import put_user
from party.errors import Conflict, PreconditionFailed, RoomNotFound
from tests.db.conftest import NOW, make_room

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    with sqlite_engine(path, begin="BEGIN IMMEDIATE").connect() as connection, connection.begin():
        put_user(connection, "ada", "Ada", NOW)
        put_user(connection, "bob", "Bob", NOW)
        yield connection


def insert(connection: Connection, room_id: str, **changes: object) -> Room:
    values = {"title": "A room", "visibility": "public", "schema": "canvas", "creator_id": "ada", "now": NOW}
    return insert_room(connection, id=room_id, **(values | changes))  # type: ignore[arg-type]


def ids(connection: Connection, scope: str = "public", user_id: str = "ada", **changes: object) -> list[str]:
    values = {"q": None, "before": None, "limit": 50}
    found = list_rooms(connection, scope=scope, user_id=user_id, **(values | changes))  # type: ignore[arg-type]
    return [room.id for room in found]


def count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_room_is_born_with_its_head_and_its_owner(connection: Connection) -> None:
    room = insert(connection, "r", title="Plan", visibility="unlisted", schema="open")
    expected = Room("r", "Plan", "unlisted", "open", 1, 1, "ada", "Ada", NOW, NOW, None)
    assert room == expected
    assert find_room(connection, "r") == expected
    assert room.created_at.tzinfo is UTC
    assert connection.execute(select(room_heads)).one() == ("r", 0, 0)
    (owner,) = list_participants(connection, "r")
    assert (owner.user_id, owner.name, owner.role) == ("ada", "Ada", "owner")
    assert find_room(connection, "s") is None


def test_an_id_is_taken_once_even_from_the_trash(connection: Connection) -> None:
    insert(connection, "r")
    with pytest.raises(Conflict):
        insert(connection, "r", creator_id="bob")
    trash_room(connection, "r", now=NOW)
    with pytest.raises(Conflict):
        insert(connection, "r")


def test_times_are_utc_whatever_they_came_as(connection: Connection) -> None:
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))
    room = insert(connection, "r", now=berlin)
    assert (room.created_at, room.created_at.tzinfo) == (NOW, UTC)
    with pytest.raises(Exception, match="without a zone"):
        insert(connection, "s", now=datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_public_list_is_newest_first_and_pages_meet_without_a_gap(connection: Connection) -> None:
    for n in range(10):
        # Pairs of one instant: the id decides.
        insert(connection, f"r{n}", now=NOW + timedelta(seconds=n // 2))
    insert(connection, "hidden", visibility="unlisted")
    trash_room(connection, insert(connection, "gone").id, now=NOW)
    expected = [f"r{n}" for n in reversed(range(10))]
    assert ids(connection) == expected
    found: list[str] = []
    before = None
    while page := list_rooms(connection, scope="public", user_id="ada", q=None, before=before, limit=3):
        assert len(page) <= 3
        found += [room.id for room in page]
        before = (page[-1].created_at, page[-1].id)
    assert found == expected


def test_a_page_is_one_range_of_an_index(connection: Connection) -> None:
    plan = connection.exec_driver_sql(
        "EXPLAIN QUERY PLAN SELECT id FROM rooms WHERE deleted_at IS NULL AND visibility = 'public'"
        " AND (created_at, id) < ('2026', 'r') ORDER BY created_at DESC, id DESC LIMIT 50"
    ).all()
    assert "ix_rooms_listing" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


def test_mine_are_the_rooms_i_made_or_was_in(connection: Connection) -> None:
    insert(connection, "made", visibility="unlisted")
    insert(connection, "joined", creator_id="bob", visibility="unlisted", now=LATER)
    insert(connection, "foreign", creator_id="bob")
    record_participant(connection, "joined", "ada", NOW)
    assert ids(connection, "mine") == ["joined", "made"]
    assert ids(connection, "mine", before=(LATER, "joined")) == ["made"]
    assert ids(connection, "mine", "bob") == ["joined", "foreign"]
    assert ids(connection, "mine", "nobody") == []


def test_the_trash_is_its_creators(connection: Connection) -> None:
    for room_id, creator_id in (("mine", "ada"), ("live", "ada"), ("bobs", "bob")):
        insert(connection, room_id, creator_id=creator_id)
    record_participant(connection, "bobs", "ada", NOW)
    for room_id in ("mine", "bobs"):
        trash_room(connection, room_id, now=LATER)
    assert ids(connection, "trash") == ["mine"]
    assert ids(connection, "mine") == ["live"]


@pytest.mark.parametrize(
    ("title", "q", "found"),
    [
        ("Sprint Planning", "PLAN", True),
        ("Sprint Planning", "plans", False),
        ("ÉTÉ à Köln", "été À kö", True),
        ("Große Straße", "STRASSE", True),
        ("ＦＵＬＬ width", "full", True),
        ("100% done", "0% d", True),
        ("100 done", "0% d", False),
        ("snake_case", "e_c", True),
        ("snakeXcase", "e_c", False),
        (r"back\slash", "k\\s", True),
        ("slash/ed", "h/e", True),
        ("quote's", "'s", True),
        ("anything", "x" * 100_000, False),
        ("anything", "", True),
    ],
)
def test_search_finds_a_part_of_the_title_in_any_case(
    connection: Connection, title: str, q: str, found: bool
) -> None:
    insert(connection, "r", title=title)
    assert ids(connection, q=q) == (["r"] if found else [])


def test_search_follows_a_new_title(connection: Connection) -> None:
    insert(connection, "r", title="Old")
    update_room(connection, "r", title="New", now=NOW)
    assert ids(connection, q="old") == []
    assert ids(connection, q="new") == ["r"]


def test_each_change_is_a_revision(connection: Connection) -> None:
    insert(connection, "r")
    insert(connection, "other")
    room = update_room(connection, "r", title="Renamed", now=LATER)
    assert (room.title, room.visibility, room.revision) == ("Renamed", "public", 2)
    assert (room.created_at, room.updated_at) == (NOW, LATER)
    room = update_room(connection, "r", visibility="unlisted", revision=2, now=LATER)
    assert (room.title, room.visibility, room.revision) == ("Renamed", "unlisted", 3)
    room = trash_room(connection, "r", revision=3, now=LATER)
    assert (room.deleted_at, room.revision) == (LATER, 4)
    room = restore_room(connection, "r", revision=4, now=LATER)
    assert (room.deleted_at, room.revision) == (None, 5)
    other = find_room(connection, "other")
    assert other is not None
    assert (other.title, other.revision) == ("A room", 1)


def test_a_stale_revision_changes_nothing(connection: Connection) -> None:
    insert(connection, "r")
    room = update_room(connection, "r", title="Second", now=LATER)
    with pytest.raises(PreconditionFailed):
        update_room(connection, "r", title="Third", revision=1, now=LATER)
    with pytest.raises(PreconditionFailed):
        trash_room(connection, "r", revision=1, now=LATER)
    assert find_room(connection, "r") == room
    trash_room(connection, "r", now=LATER)
    with pytest.raises(PreconditionFailed):
        restore_room(connection, "r", revision=2, now=LATER)


def test_what_is_in_the_trash_is_found_only_there(connection: Connection) -> None:
    insert(connection, "r")
    room = trash_room(connection, "r", now=LATER)
    assert find_room(connection, "r") is None
    assert find_room(connection, "r", deleted=True) == room
    for change in (
        lambda: update_room(connection, "r", title="x", now=LATER),
        lambda: trash_room(connection, "r", now=LATER),
        lambda: record_participant(connection, "r", "bob", LATER),
        lambda: restore_room(connection, "absent", now=LATER),
    ):
        with pytest.raises(RoomNotFound):
            change()
    restored = restore_room(connection, "r", now=LATER)
    assert restored.deleted_at is None
    assert restore_room(connection, "r", now=LATER) == restored


def test_purging_takes_the_old_trash_and_all_that_belongs_to_it(connection: Connection) -> None:
    for room_id in ("old", "fresh", "live"):
        make_room(connection, room_id)
        connection.execute(
            room_updates.insert().values(
                room_id=room_id, seq=1, epoch=1, user_id="ada", update_bytes=b"a", created_at=NOW
            )
        )
        connection.execute(
            canvas_states.insert().values(room_id=room_id, seq=1, epoch=1, state=b"a", created_at=NOW)
        )
    trash_room(connection, "old", now=NOW)
    trash_room(connection, "fresh", now=LATER)
    assert purge_trash(connection, NOW) == []
    assert purge_trash(connection, LATER) == ["old"]
    assert find_room(connection, "old", deleted=True) is None
    for table in (room_heads, room_updates, canvas_states, room_participants):
        assert count(connection, table) == 2, table.name
    assert purge_trash(connection, LATER) == []


def test_participants_come_in_their_order_and_keep_their_role(connection: Connection) -> None:
    insert(connection, "r")
    record_participant(connection, "r", "bob", LATER)
    record_participant(connection, "r", "ada", LATER + timedelta(hours=1))
    record_participant(connection, "r", "bob", LATER + timedelta(hours=2))
    put_user(connection, "bob", "Robert", LATER)
    found = list_participants(connection, "r")
    assert [(p.user_id, p.name, p.role) for p in found] == [
        ("ada", "Ada", "owner"),
        ("bob", "Robert", "editor"),
    ]
    assert [(p.first_seen_at - NOW, p.last_seen_at - NOW) for p in found] == [
        (timedelta(0), timedelta(hours=2)),
        (timedelta(hours=1), timedelta(hours=3)),
    ]
    assert list_participants(connection, "absent") == []
