"""The storage is away, busy or slow: it is said in words, nothing is lost, and goes on when it is back."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import httpx2
import pytest
from sqlalchemy import Connection, update

from db.queue import list_jobs
from db.scopes import as_system
from db.tables import jobs
from server.assets import uploads
from tests.blobs.strict import Strict
from tests.server.assets.conftest import Place
from tests.server.assets.pictures import noise, pdf, photo, png
from tests.server.assets.sending import DEADLINE_S, Sender, code, enter
from tests.server.edge import Edge

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("place", ["s3"], indirect=True),
]


def filter_of(place: Place) -> Strict:
    assert place.strict is not None
    return place.strict


@contextmanager
def down(strict: Strict) -> Iterator[None]:
    strict.is_down = True
    try:
        yield
    finally:
        strict.is_down = False


async def hurry(edge: Edge) -> None:
    """What is tried again later is tried now."""

    def change(connection: Connection) -> None:
        soon = edge.services.now() + timedelta(minutes=10)
        connection.execute(
            update(jobs)
            .where(jobs.c.state == "queued", jobs.c.run_at < soon)
            .values(run_at=edge.services.now())
        )

    await as_system(edge.services.database).write(change)
    edge.services.jobs.wake()


async def failures(edge: Edge, kind: str, user_id: str | None = None) -> list[str]:
    """What jobs of a kind said that are waiting for another try."""
    found = await as_system(edge.services.database).read(partial(list_jobs, limit=100))
    return [
        one.error or ""
        for one in found
        if one.kind == kind and one.state == "queued" and one.attempts and user_id in (None, one.user_id)
    ]


def is_clear(answer: httpx2.Response) -> bool:
    """A 503 that says what is the matter, and nothing of how it is built."""
    assert answer.status_code == 503, answer.text
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["code"] == "unavailable"
    assert "the object storage" in told["detail"], told
    assert "0x" not in told["detail"], told
    assert "127.0.0.1" not in told["detail"], told
    return True


async def test_it_is_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    strict, data = filter_of(place), photo(50, 40)
    ada = await enter(place.edge, "Ada", place.outside)
    stored = await ada.stored(png(4, 5))
    await ada.with_renditions(stored["id"], "thumb")
    monkeypatch.setattr(uploads, "ONE_PIECE_MOST_BYTES", 4 * 1024 * 1024)
    big = pdf(5 * 1024 * 1024)
    half_sent = (await ada.announce(big, "application/pdf")).json()["upload"]
    arrived = (await ada.announce(data, "image/jpeg")).json()["upload"]
    assert (await ada.send(arrived["request"], data)).is_success
    canceled = (await ada.announce(png(3, 3))).json()["upload"]
    assert (await ada.send(canceled["request"], png(3, 3))).is_success
    parts = f"{ada.at}/{half_sent['id']}/parts"
    with down(strict):
        announced = await ada.announce(png(4, 6))
        assert announced.status_code == 201, "to announce takes no storage"
        with pytest.raises(httpx2.TransportError):
            await ada.send(announced.json()["upload"]["request"], png(4, 6))
        in_parts = partial(ada.announce, big + b"\n", "application/pdf")
        answers = await asyncio.gather(
            ada.complete(arrived["id"]),
            ada.complete(half_sent["id"]),
            ada.put(png(4, 7)),
            in_parts(),
            ada.person.ask("GET", parts),
        )
        assert [is_clear(one) for one in answers] == [True] * 5
        assert (await ada.person.ask("DELETE", f"{ada.at}/{canceled['id']}")).status_code == 204
        listed = (await ada.person.ask("GET", ada.at)).json()["items"]
        assert [one["id"] for one in listed] == [stored["id"]]
        assert (await ada.read(stored["id"])).status_code == 302, "signing takes no storage either"
        async with asyncio.timeout(DEADLINE_S):
            while not await failures(place.edge, "blobs.remove"):
                await asyncio.sleep(0.05)
    # it is back, and everything goes on where it was
    request = announced.json()["upload"]["request"]
    assert (await ada.send(request, png(4, 6))).is_success
    assert (await ada.complete(announced.json()["upload"]["id"])).status_code == 201
    assert (await ada.complete(arrived["id"])).status_code == 201
    assert (await ada.put(png(4, 7))).status_code == 201
    part = (await ada.person.ask("POST", parts, json={"numbers": [1]})).json()["parts"][0]
    assert (await ada.send(part["request"], big)).is_success
    assert (await ada.complete(half_sent["id"])).status_code == 201
    again = await in_parts()
    assert again.status_code == 201
    assert (await ada.person.ask("DELETE", f"{ada.at}/{again.json()['upload']['id']}")).status_code == 204
    await hurry(place.edge)
    # four images with a thumbnail each, and the PDF
    async with asyncio.timeout(DEADLINE_S):
        while len(await place.contents(ada.person.user_id)) != 9:
            await asyncio.sleep(0.05)


async def test_it_goes_away_while_an_upload_is_completed(place: Place) -> None:
    """The photo is read, cleaned, and can't be stored: the upload stays, and is completed later."""
    strict, data = filter_of(place), photo(52, 40)
    ada = await enter(place.edge, "Ada", place.outside)
    upload = (await ada.announce(data, "image/jpeg")).json()["upload"]
    assert (await ada.send(upload["request"], data)).is_success
    strict.busy, strict.busy_method = 1, "PUT"
    assert is_clear(await ada.complete(upload["id"]))
    assert code(await ada.read(upload["id"])) == (404, "asset_not_found")
    done = await ada.complete(upload["id"])
    assert done.status_code == 201
    # nor are its smaller forms given up
    await ada.with_renditions(upload["id"], "thumb")


async def test_smaller_forms_are_made_when_it_is_back(place: Place) -> None:
    strict = filter_of(place)
    ada = await enter(place.edge, "Ada", place.outside)
    strict.busy, strict.busy_method = 1_000, "PUT"
    # straight: the server's own put is told to come back, and so is the job's
    assert is_clear(await ada.put(png(40, 41)))
    strict.busy = 0
    upload = (await ada.announce(noise(600, 300), "image/jpeg")).json()["upload"]
    assert (await ada.send(upload["request"], noise(600, 300))).is_success
    strict.busy = 1_000
    asset = (await ada.complete(upload["id"])).json()
    async with asyncio.timeout(DEADLINE_S):
        while not (told := await failures(place.edge, "assets.render", ada.person.user_id)):
            await asyncio.sleep(0.05)
    assert "the object storage says SlowDown" in told[0]
    strict.busy = 0
    assert (await ada.follow(await ada.read(f"{asset['id']}?rendition=thumb"))).content == noise(600, 300)
    await hurry(place.edge)
    await ada.with_renditions(asset["id"], "thumb")


async def test_it_is_away_while_the_server_hands_out_bytes(place: Place, stream: Sender) -> None:
    strict, data = filter_of(place), pdf(200_000)
    asset = await stream.stored(data, "application/pdf")
    with down(strict):
        assert is_clear(await stream.read(asset["id"]))
    assert (await stream.read(asset["id"])).content == data
    # in the middle of it: asked for again from there
    strict.cut_after_bytes = 100_000
    assert (await stream.read(asset["id"])).content == data


async def test_it_is_slow(place: Place) -> None:
    """Who waits for storage waits, many at once; nobody else does."""
    strict = filter_of(place)
    ada = await enter(place.edge, "Ada", place.outside)
    ben = await enter(place.edge, "Ben", place.outside)
    begun = []
    for n, who in enumerate([ada, ben] * 3):
        upload = (await who.announce(png(30, 30 + n))).json()["upload"]
        assert (await who.send(upload["request"], png(30, 30 + n))).is_success
        begun.append((who, upload["id"]))
    strict.requests.clear()
    strict.gate.clear()
    try:
        completing = [asyncio.create_task(who.complete(one)) for who, one in begun]
        async with asyncio.timeout(DEADLINE_S):
            while len(strict.requests) < len(begun):
                await asyncio.sleep(0.01)
            assert (await ada.person.ask("GET", ada.at)).json()["items"] == []
            assert (await ada.announce(b"x" * 100)).status_code == 201
            # the same upload, completed twice: the second waits with the first
            twin = asyncio.create_task(ada.complete(begun[0][1]))
            assert (await ada.person.ask("GET", f"/api/v1/rooms/{ada.room_id}")).status_code == 200
        assert not any(one.done() for one in (*completing, twin))
    finally:
        strict.gate.set()
    assert {one.status_code for one in await asyncio.gather(*completing)} == {201}
    assert (await twin).status_code == 200
