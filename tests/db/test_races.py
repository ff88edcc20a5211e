"""Transactions that look before they write, at the same time as each other: on SQLite a writer is alone, on
PostgreSQL it is not, and both must give the same answers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, func, select

from db.assets import (
    Asset,
    Rendition,
    Upload,
    delete_unreferenced,
    find_asset,
    insert_asset,
    insert_rendition,
    mark_unreferenced,
)
from db.database import Database
from db.idempotency import Answer, find_answer, store_answer
from db.postgres_url import is_postgres
from db.queue import claim, count_jobs, enqueue, put_back
from db.rooms import insert_room, purge_trash, record_participant, restore_room, trash_room, update_room
from db.tables import jobs, renditions, room_participants, users
from db.users import put_user
from party.errors import Conflict, KanvasError, RoomNotFound
from server.assets.keeping import Space, announce, find_present, keep
from server.problems import QuotaExceeded
from tests.db.conftest import NOW, make_room

T = TypeVar("T")
PLENTY = Space(10**9, 10**9)


@pytest.fixture
def database(both: Database) -> Database:
    return both


async def together(database: Database, *works: Callable[[Connection], Any]) -> list[Any]:
    """All at once, since each stays in its transaction for a while. Errors of ours come back as answers."""

    def slowly(connection: Connection, work: Callable[[Connection], Any]) -> Any:
        answer = work(connection)
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_sleep(0.015)")
        return answer

    if is_postgres(database.url):
        # as many connections as there are, so that none is opened in between
        await asyncio.gather(
            *(database.read(lambda c: c.exec_driver_sql("SELECT pg_sleep(0.05)").close()) for _ in works)
        )
    waiting = (database.write(partial(slowly, work=work)) for work in works)
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, KanvasError):
            raise answer
    return answers


async def make_rooms(database: Database, *names: str) -> None:
    for name in names:
        await database.write(partial(make_room, room_id=name))


def make_upload(id: str, room_id: str = "r", user_id: str = "ada", size_bytes: int = 100) -> Upload:  # noqa: A002
    return Upload(
        id=id,
        room_id=room_id,
        user_id=user_id,
        sha256=f"hash of {id}",
        size_bytes=size_bytes,
        content_type="image/png",
        filename="a.png",
        key=f"key of {id}",
        parts_id=None,
        part_bytes=None,
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )


def make_asset(id: str, room_id: str = "r", sha256: str = "hash") -> Asset:  # noqa: A002
    return Asset(
        id=id,
        room_id=room_id,
        user_id="ada",
        sha256=sha256,
        stored_sha256=sha256,
        size_bytes=100,
        content_type="image/png",
        filename="a.png",
        key=f"key of {id}",
        width=1,
        height=1,
        frames=1,
        color=None,
        created_at=NOW,
    )


async def test_a_rooms_quota_is_not_taken_twice(database: Database) -> None:
    """J10: ten people announce at once, there is space for three."""
    await make_rooms(database, "r")
    space = Space(room_bytes=350, user_bytes=10**9)
    answers = await together(
        database,
        *(partial(announce, wanted=make_upload(f"u{n}", user_id=f"user{n}"), space=space) for n in range(10)),
    )
    assert [isinstance(one, Upload) for one in answers].count(True) == 3
    assert [isinstance(one, QuotaExceeded) for one in answers].count(True) == 7


async def test_a_users_quota_is_not_taken_twice_in_two_rooms(database: Database) -> None:
    """J10: a room's lock does not help here."""
    names = [f"r{n}" for n in range(8)]
    await make_rooms(database, *names)
    space = Space(room_bytes=10**9, user_bytes=250)
    answers = await together(
        database, *(partial(announce, wanted=make_upload(f"u{n}", n), space=space) for n in names)
    )
    assert [isinstance(one, Upload) for one in answers].count(True) == 2


async def test_the_same_bytes_announced_at_once_are_one_upload(database: Database) -> None:
    await make_rooms(database, "r")
    wanted = make_upload("u")
    twins = [
        Upload(
            **{**{name: getattr(wanted, name) for name in wanted.__slots__}, "id": f"u{n}", "key": f"k{n}"}
        )
        for n in range(6)
    ]
    answers = await together(database, *(partial(announce, wanted=one, space=PLENTY) for one in twins))
    assert len({one.id for one in answers}) == 1


async def test_the_same_bytes_kept_at_once_are_one_asset(database: Database) -> None:
    await make_rooms(database, "r")
    answers = await together(
        database, *(partial(keep, asset=make_asset(f"a{n}"), now=NOW, space=PLENTY) for n in range(6))
    )
    assert len({asset.id for asset, _ in answers}) == 1
    assert [is_new for _, is_new in answers].count(True) == 1


async def test_an_upload_completed_twice_is_one_asset(database: Database) -> None:
    await make_rooms(database, "r")
    upload = make_upload("u")
    await database.write(partial(announce, wanted=upload, space=PLENTY))
    asset = make_asset("u", sha256=upload.sha256)
    answers = await together(
        database, *(partial(keep, asset=asset, now=NOW, upload=upload, space=PLENTY) for _ in range(5))
    )
    assert [is_new for _, is_new in answers].count(True) == 1
    assert {kept.id for kept, _ in answers} == {"u"}


@pytest.mark.parametrize("turn", range(2))
async def test_what_is_wanted_again_is_not_swept_from_under_it(database: Database, turn: int) -> None:
    await make_rooms(database, "r")
    ids = [f"a{turn}{n}" for n in range(5)]

    def prepare(connection: Connection) -> None:
        for one in ids:
            insert_asset(connection, make_asset(one, sha256=f"hash {one}"))
        mark_unreferenced(connection, ids, NOW - timedelta(days=9))

    await database.write(prepare)
    answers = await together(
        database,
        *(partial(find_present, room_id="r", sha256=f"hash {one}") for one in ids),
        partial(delete_unreferenced, room_id="r", ids=ids, before=NOW, seq=0),
    )
    gone = {asset.id for asset in answers[-1]}
    for one, present in zip(ids, answers, strict=False):
        stored = await database.read(partial(find_asset, id=one))
        assert (stored is None) == (one in gone) == (present is None)


async def test_a_rendition_is_told_with_its_asset_or_is_not_there(database: Database) -> None:
    """Blobs are removed by what the rows said, so no row may come in between."""
    await make_rooms(database, "r")
    ids = [f"a{n}" for n in range(10)]

    def prepare(connection: Connection) -> None:
        for one in ids:
            insert_asset(connection, make_asset(one, sha256=one))
        mark_unreferenced(connection, ids, NOW - timedelta(days=9))

    await database.write(prepare)
    form = {one: Rendition("thumb", f"thumb of {one}", "image/webp", 1, 1, 10) for one in ids}
    answers = await together(
        database,
        *(partial(insert_rendition, asset_id=one, rendition=form[one]) for one in ids),
        partial(delete_unreferenced, room_id="r", ids=ids, before=NOW, seq=0),
    )
    told = {asset.id for asset in answers[-1] if asset.renditions}
    assert {one for one, is_new in zip(ids, answers, strict=False) if is_new is True} == told
    assert await database.read(lambda c: c.execute(select(renditions)).all()) == []


async def test_a_request_repeated_at_once_is_answered_once(database: Database) -> None:
    """J10: the twin waits and gets the same answer."""
    await database.write(lambda connection: put_user(connection, "ada", "Ada", NOW))

    def create(connection: Connection, room_id: str) -> str:
        known = find_answer(connection, "ada", "key")
        if known is not None:
            return known.body.decode()
        insert_room(
            connection,
            id=room_id,
            title="A room",
            visibility="public",
            schema="canvas",
            creator_id="ada",
            now=NOW,
        )
        store_answer(connection, "ada", "key", "hash", 201, "{}", room_id.encode(), NOW)
        return room_id

    answers = await together(database, *(partial(create, room_id=f"r{n}") for n in range(8)))
    assert len(set(answers)) == 1
    stored = await database.read(lambda connection: find_answer(connection, "ada", "key"))
    assert isinstance(stored, Answer)
    assert stored.body.decode() == answers[0]


async def test_an_id_is_given_to_one_room(database: Database) -> None:
    answers = await together(
        database, *(partial(make_room, room_id="same", creator_id=f"user{n}") for n in range(6))
    )
    assert answers.count(None) == 1
    assert [type(one) for one in answers if one is not None] == [Conflict] * 5


async def test_users_are_put_at_once_in_any_order(database: Database) -> None:
    """J10: two transactions that wait for each other in a circle are both done in the end."""
    names = [f"user{n}" for n in range(6)]

    def put(connection: Connection, order: list[str]) -> None:
        for name in order:
            put_user(connection, name, name.title(), NOW)

    orders = [names, names[::-1]]
    answers = await together(database, *(partial(put, order=order) for order in orders))
    assert answers == [None] * 2
    assert await database.read(lambda c: c.execute(select(func.count()).select_from(users)).scalar_one()) == 6


async def test_changes_of_one_room_are_counted_each(database: Database) -> None:
    await make_rooms(database, "r")
    answers = await together(
        database, *(partial(update_room, id="r", title=f"Title {n}", now=NOW) for n in range(10))
    )
    assert sorted(room.revision for room in answers) == list(range(2, 12))


async def test_of_two_changes_of_one_revision_the_second_is_refused(database: Database) -> None:
    await make_rooms(database, "r")
    answers = await together(
        database, *(partial(update_room, id="r", title=f"Title {n}", revision=1, now=NOW) for n in range(6))
    )
    assert [isinstance(one, KanvasError) for one in answers].count(False) == 1


@pytest.mark.parametrize("turn", range(2))
async def test_a_room_is_restored_or_purged(database: Database, turn: int) -> None:
    name = f"r{turn}"
    await make_rooms(database, name)
    await database.write(lambda connection: trash_room(connection, name, now=NOW))
    restored, purged, *visits = await together(
        database,
        partial(restore_room, id=name, now=NOW),
        partial(purge_trash, before=NOW + timedelta(days=1)),
        *(partial(record_participant, room_id=name, user_id="ada", now=NOW) for _ in range(3)),
    )
    assert isinstance(restored, RoomNotFound) == (purged == [name])
    count = select(func.count()).select_from(room_participants)
    present = await database.read(lambda c: c.execute(count).scalar_one())
    assert present == (0 if purged else 1)
    assert all(one is None or isinstance(one, RoomNotFound) for one in visits)


async def test_a_key_is_queued_once(database: Database) -> None:
    """K4."""
    answers = await together(
        database,
        *(partial(enqueue, kind="draw", payload={}, now=NOW, key="daily") for _ in range(10)),
    )
    assert len(set(answers)) == 1
    assert await database.read(count_jobs) == {"queued": 1}


async def test_jobs_are_claimed_once_and_keys_come_back_once(database: Database) -> None:
    """K2, K4: what is put back meets another of its key in the same instant."""
    for n in range(20):
        await database.write(partial(enqueue, kind="draw", payload={}, now=NOW, key=f"key{n}"))
    claims = await together(
        database,
        *(
            partial(claim, kinds=["draw"], now=NOW, lease_s=60, limit=5, holder=f"holder{n}")
            for n in range(4)
        ),
    )
    taken = [job for some in claims for job in some]
    assert len({job.id for job in taken}) == len(taken)
    await together(
        database,
        *(partial(put_back, id=job.id, holder=job.lease, now=NOW) for job in taken),
        *(partial(enqueue, kind="draw", payload={}, now=NOW, key=job.key) for job in taken),
    )
    queued = select(jobs.c.key).where(jobs.c.state == "queued", jobs.c.key.is_not(None))
    keys = await database.read(lambda connection: connection.execute(queued).scalars().all())
    assert len(keys) == len(set(keys)) == 20


async def test_an_append_goes_on_while_a_room_is_changed(server_database: Database) -> None:
    """J8: rows point to the room's key, which a change of its title does not lock."""
    from db.postgres_journal import PostgresJournal
    from tests.db.journal_contract import entries

    await make_rooms(server_database, "r")
    journal = PostgresJournal(server_database)
    changing, go_on = asyncio.Event(), asyncio.Event()

    async def hold(driver: Any) -> None:
        async with driver.transaction():
            await driver.execute("SELECT id FROM rooms WHERE id = 'r' FOR NO KEY UPDATE")
            changing.set()
            await go_on.wait()

    lane = 1 - hash("r") % 2
    holding = asyncio.ensure_future(server_database.run_in_lane(lane, hold))
    await changing.wait()
    assert await journal.append("r", 1, entries(b"a")) == 1
    go_on.set()
    await holding
