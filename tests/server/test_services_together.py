"""Two services on a real PostgreSQL and a real Redis: what one of them knows, the other one has to know."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map
from sqlalchemy import Connection

from db.rooms import insert_room
from db.scopes import as_system
from party.ports import Principal
from server import keeper as keepers
from server import overview, services
from server.auth import Tokens
from server.jobs import runner
from server.jobs.timing import Timing
from server.keeper import Keeper
from server.rates import failover
from server.redis.bus import LARGEST_BYTES
from tests.backends.valkey import Valkey, open_valkey
from tests.party.peers import Wire
from tests.server.assets.pictures import noise
from tests.server.assets.sending import enter
from tests.server.edge import Edge, Person
from tests.server.redis.hearing import until
from tests.server.test_counted_together import open_two

QUARANTINE = "/api/v1/admin/quarantine"


@pytest.fixture
def own() -> Iterator[Valkey]:
    with open_valkey() as server:
        yield server


def strike(keeper: Keeper, room_id: str = "room-1") -> None:
    """The native code failed on an edit."""
    keeper.guard.take("u")
    keeper.guard.poisoned(room_id)


def operator(edge: Edge) -> Person:
    token = Tokens(edge.services.signing_key, ttl_s=600).issue("op", "Operator", is_admin=True).token
    return Person(edge.http, token, "op")


async def listed(edge: Edge) -> dict[str, int]:
    """What the operator is shown: id to strikes."""
    answer = await operator(edge).ask("GET", QUARANTINE)
    assert answer.status_code == 200
    return {one["id"]: one["strikes"] for one in answer.json()["items"]}


@pytest.mark.parametrize("has_redis", [True, False])
async def test_a_hold_is_known_everywhere_within_a_second(
    tmp_path: Path, server_url: str, own: Valkey, has_redis: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q7: struck, struck again and lifted, at whichever of them; by a note, or by a look where none comes."""
    assert keepers.LOOK_S < 1
    if has_redis:
        monkeypatch.setattr(services, "LOOK_S", 3600)
    async with open_two(tmp_path, server_url, own) as (one, two):
        if not has_redis:
            await asyncio.to_thread(own.stop)
        here, there = one.services.keeper, two.services.keeper
        for nth in range(2):
            strike(here)
            await until(lambda: [hold.strikes for hold in there.holds()] == [nth + 1])  # noqa: B023
        assert await listed(one) == await listed(two)
        [hold_id] = await listed(two)
        # by whoever answers
        assert (await operator(two).ask("DELETE", f"{QUARANTINE}/{hold_id}")).status_code == 204
        await until(lambda: not here.holds())
        assert (await operator(one).ask("DELETE", f"{QUARANTINE}/{hold_id}")).status_code == 404
        # it does not come back from a memory, and the next one is a first one
        strike(there)
        await until(lambda: [hold.strikes for hold in here.holds()] == [1])


async def test_a_note_that_is_lost_and_a_hold_that_waits_cost_nothing(
    tmp_path: Path, server_url: str, own: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Q7: what is not stored yet is not taken for lifted, nor replaced by what is stored."""
    async with open_two(tmp_path, server_url, own) as (one, two):
        here, there = one.services.keeper, two.services.keeper
        strike(there, "a")
        await until(lambda: len(here.holds()) == 1)
        # the database is busy while this one is struck, and the other one struck again
        async with here._writing:
            strike(here, "a")
            strike(here, "b")
            await asyncio.sleep(keepers.LOOK_S + 0.2)
            assert {hold.room_id: hold.strikes for hold in here.holds()} == {"a": 2, "b": 1}
        await until(lambda: {hold.room_id: hold.strikes for hold in there.holds()} == {"a": 2, "b": 1})
        assert {hold.room_id: hold.strikes for hold in here.holds()} == {"a": 2, "b": 1}


async def test_a_job_that_one_enqueues_is_done_by_the_other_at_once(
    tmp_path: Path, server_url: str, own: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K5: an upload at a worker that does no jobs."""
    # nobody finds it by looking
    monkeypatch.setattr(runner, "Timing", lambda: Timing(poll_s=3600, poll_most_s=3600))
    async with open_two(tmp_path, server_url, own, jobs=False) as (one, _):
        ada = await enter(one)
        asset = await ada.stored(noise(600, 600), "image/jpeg", filename="a.jpg")
        assert (await ada.with_renditions(asset["id"], "thumb"))["renditions"]


async def test_rates_without_redis_are_a_reason_to_be_degraded(
    tmp_path: Path, server_url: str, own: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L7: the health page says that each counts alone."""
    # it says so until Redis is asked again
    monkeypatch.setattr(failover, "FIRST_PAUSE_S", 3600)
    async with open_two(tmp_path, server_url, own) as (one, _):
        ada = await one.guest()
        assert (await one.http.get("/readyz")).json()["status"] == "ok"
        await asyncio.to_thread(own.stop)
        await until(lambda: one.services.directory.trouble is not None)
        await ada.room()
        answer = await one.http.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
        reasons = answer.json()["reasons"]
        assert any("rate limits" in reason for reason in reasons)
        assert any("edits reach other processes later" in reason for reason in reasons)


async def test_the_overview_of_a_node_full_of_rooms_comes_whole(
    tmp_path: Path, server_url: str, own: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M4: 520 rooms at one, of which 500 are listed; asked of the other, by notes of 150 kB. In time as
    far as both need the processor, which tests share."""
    in_time_s = overview.WAIT_S
    monkeypatch.setattr(overview, "WAIT_S", 60)
    async with open_two(tmp_path, server_url, own) as (one, two):
        ada = await two.guest()
        now = two.services.now()

        def make(conn: Connection) -> None:
            for nth in range(520):
                insert_room(
                    conn,
                    id=f"{nth:04}-{'x' * 100}",
                    title="Room",
                    visibility="public",
                    schema="open",
                    creator_id=ada.user_id,
                    now=now,
                )

        await as_system(two.services.database).write(make)
        person, hub = Principal(ada.user_id, "Ada"), two.services.hub
        await asyncio.gather(*(hub.join(f"{nth:04}-{'x' * 100}", person, Wire()) for nth in range(520)))
        counts = two.services.tally.bus
        dropped, sent_bytes = counts.dropped, counts.sent_bytes
        start = time.thread_time()
        seen = await one.services.overview.look()
        took_s, note_bytes = time.thread_time() - start, counts.sent_bytes - sent_bytes
        print(f"overview of {len(seen.rooms)} rooms: {took_s * 1e3:.0f} ms, {note_bytes} bytes")
        assert (seen.silent, counts.dropped - dropped) == ([], 0)
        assert (len(seen.rooms), seen.total, len(seen.nodes)) == (500, 520, 2)
        assert took_s < in_time_s
        assert 100_000 < note_bytes < LARGEST_BYTES / 10
        answer = await operator(one).ask("GET", "/api/v1/admin/rooms")
        assert (len(answer.json()["items"]), answer.json()["total"]) == (200, 520)


async def test_edits_one_after_the_other_at_both_are_taken(
    tmp_path: Path, server_url: str, own: Valkey
) -> None:
    """N1: the second one builds on the first, which is not here yet, and Redis is away."""
    async with open_two(tmp_path, server_url, own) as (one, two):
        ada = await one.guest()
        room_id = (await ada.room(schema="open"))["id"]
        doc: Doc[Any] = Doc()
        things = doc.get("things", type=Map)
        here, there = (Person(edge.http, ada.token, ada.user_id) for edge in (one, two))
        headers = {"Content-Type": "application/octet-stream"}

        async def edit(person: Person, key: str) -> int:
            before = doc.get_state()
            things[key] = 1
            update = doc.get_update(before)
            answer = await person.ask("POST", f"/parties/{room_id}", headers=headers, content=update)
            return answer.status_code

        # open at both
        for person, key in ((here, "a"), (there, "b")):
            assert await edit(person, key) == 200
        await asyncio.to_thread(own.stop)
        for nth in range(4):
            assert await edit((here, there)[nth % 2], f"k{nth}") == 200
        # what never comes is refused as before
        before = doc.get_state()
        things["lost"] = 1
        assert doc.get_state() != before
        assert await edit(there, "on top of it") == 409
