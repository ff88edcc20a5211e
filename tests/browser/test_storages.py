"""A photo from one browser to another, on files and on a real S3 server at another origin; and a kill in the middle."""

import asyncio
import hashlib
import io
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Route, expect

from server.blobs.base import Blobs
from server.blobs.commands import allow_pages
from server.blobs.open import open_blobs
from server.settings import Settings
from tests.blobs.strict import open_bucket
from tests.browser.files import drop, film, photo
from tests.browser.people import Meeting, Person, new_person
from tests.browser.test_files import PIXEL, SHOWS, images, tray
from tests.browser.watch import NO_SERVER
from tests.servers import LiveServer, bearer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

OF_A_ROOM = re.compile(r"/rooms/[^/]+/assets/[0-9a-f]{64}")
SLOW_BYTES_PER_S = 200_000
BEGUN = re.compile(r"^([2-9]|[1-9][0-9])$")

# A request as `kanvas` sends it to storage: it asks for permission first.
PUT = """async ([url, type]) => { const answer = await fetch(url, { method: "PUT", body: "x",
  headers: { "Content-Type": type, "If-None-Match": "*" } }).catch(() => null); return answer ? answer.status : null; }"""
# Shown by an <img>, and then read by a script at the same address: both must work, in this order, too.
READ = """async (url) => { const image = new Image(); image.src = url; await image.decode();
  const answer = await fetch(url); return [image.naturalWidth, (await answer.blob()).size, answer.redirected]; }"""
# The sky of the photo, where the placeholder is grey.
COLORED = f"(id) => {{ const [red, , blue] = ({PIXEL})(id); return blue > red + 10; }}"
PLAYS = """() => { const video = document.querySelector("[data-testid=attachment-video] video");
  return Boolean(video) && video.readyState >= 1 && video.videoWidth === 320; }"""


@dataclass(frozen=True)
class Storage:
    """A server and where its files are, seen from outside of it."""

    server: LiveServer
    settings: Settings
    blobs: Blobs
    origin: str | None
    people: list[Person]

    async def keys(self) -> set[str]:
        return {one.key async for one in self.blobs.list("images/")}

    def rows(self) -> list[str]:
        """Assets in the database, with or without a server."""
        connection = sqlite3.connect(f"file:{self.server.data_dir / 'kanvas.db'}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute("SELECT id FROM assets")]
        finally:
            connection.close()


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as environ:
        yield environ


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["files", "s3"])
async def storage(
    request: pytest.FixtureRequest,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
    environment: pytest.MonkeyPatch,
) -> AsyncIterator[Storage]:
    """A server on each storage, with Ada and Grace signed in."""
    data_dir = tmp_path_factory.mktemp(f"on-{request.param}") / "data"
    async with AsyncExitStack() as stack:
        env: dict[str, str] = {}
        origin = None
        if request.param == "s3":
            bucket = await stack.enter_async_context(open_bucket(request.getfixturevalue("weed")))
            env = {"KANVAS_BLOBS_URL": bucket.url, **bucket.env}
            origin = f"http://127.0.0.1:{bucket.strict.port}"
            for name, value in bucket.env.items():
                environment.setenv(name, value)
        server = LiveServer(data_dir, env)
        await asyncio.to_thread(server.start)
        stack.callback(server.kill)
        settings = Settings(data_dir=data_dir, port=server.port, blobs_url=env.get("KANVAS_BLOBS_URL"))
        secret = (data_dir / "secret").read_bytes().strip()
        blobs = await stack.enter_async_context(open_blobs(settings, secret))
        people = [await new_person(browser, server, name) for name in ("Ada", "Grace")]
        for person in people:
            stack.push_async_callback(person.context.close)
            if origin is not None:
                person.watch.allow(origin)
        yield Storage(server, settings, blobs, origin, people)
        assert {one.name: one.watch.verdict() for one in people if one.watch.verdict()} == {}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def meeting(storage: Storage) -> Meeting:
    """Both in one room. Its storage takes what its pages send, as `kanvas blobs cors` tells it to."""
    token = await asyncio.to_thread(storage.server.guest, "Witness")
    room_id = await asyncio.to_thread(storage.server.room, token)
    await allow_pages(storage.settings, lambda _: None)
    await asyncio.gather(*(person.enter(room_id) for person in storage.people))
    return Meeting(storage.people, storage.server, token, room_id)


async def test_pages_may_use_the_storage_once_it_was_told(storage: Storage) -> None:
    """`kanvas blobs cors` is what makes it work; with files there is nothing to do."""
    ada = storage.people[0]
    said: list[str] = []
    signed = await storage.blobs.sign_put("try/one", size_bytes=1, content_type="image/png", expires_s=60)
    ask = [signed.url, signed.headers["Content-Type"]]
    if storage.origin is not None:
        with ada.watch.expecting("blocked by CORS policy", "ERR_FAILED"):
            assert await ada.ask(PUT, ask) is None
    assert await allow_pages(storage.settings, said.append)
    assert await ada.ask(PUT, ask) in (200, 201, 204)
    with ada.watch.expecting("status of 4"):
        assert await ada.ask(PUT, ask) in (409, 412), "not overwritten"
    await storage.blobs.delete(["images/u/try"])
    # nobody else is let in: the policy of the page still names where it may go
    with ada.watch.expecting("Content Security Policy", "CSP violation", "violates the following"):
        async with ada.page.expect_console_message(lambda said: "CSP violation" in said.text):
            assert await ada.ask(PUT, ["http://127.0.0.1:9/", "image/png"]) is None
    ada.watch.foreign.discard("http://127.0.0.1:9/")


# with files test_files.py sees the same
@pytest.mark.parametrize("storage", ["s3"], indirect=True)
async def test_a_photo_of_6_mb_and_a_reload(storage: Storage, meeting: Meeting) -> None:
    ada, grace = meeting.people
    given = photo(turned=True)
    assert len(given.content) > 6_000_000
    async with without_bytes(grace):
        await drop(ada, [given], at=(550, 450))
        scene = await meeting.agree(lambda scene: len(images(scene)) == 1)
        red, green, blue, _ = await grace.ask(PIXEL, scene[0]["id"])
        assert max(red, green, blue) - min(red, green, blue) < 8, "a placeholder: grey"
    for person in meeting.people:
        await person.until(SHOWS, [scene[0]["fileId"], 600])
        await person.until(COLORED, scene[0]["id"])
    await asyncio.gather(*(reload(person, scene[0]["fileId"]) for person in meeting.people))
    # read by an <img> and by a script, in the smaller forms, too
    at = f"/api/v1/rooms/{meeting.room_id}/assets/{scene[0]['fileId']}"
    [asset] = (await listing(meeting))["items"]
    for url, width, size in (
        (at, 2250, asset["size_bytes"]),
        (asset["url"], 2250, asset["size_bytes"]),
        *((one["url"], one["width"], one["size_bytes"]) for one in asset["renditions"]),
    ):
        assert await grace.ask(READ, url) == [width, size, storage.origin is not None], url
    # and a video
    await drop(ada, [await film(ada)], at=(300, 200))
    await meeting.agree(lambda scene: len(scene) == 2)
    for person in meeting.people:
        await person.until(PLAYS)
    # the photo without what it told of itself, its two smaller forms, the video
    await holds(storage, 4)


async def test_a_kill_in_the_middle_of_an_upload(storage: Storage, meeting: Meeting) -> None:
    """Nothing half is there, the page goes on by itself, and in the end both see it."""
    ada, grace = meeting.people
    given = photo("later.jpg", (1500, 1100), seed=8)
    shown = len(images(await ada.scene()))
    keys, rows, there = await storage.keys(), storage.rows(), (await listing(meeting))["items"]
    with (
        # what had arrived all the same is not taken twice: the page goes on from there
        ada.watch.expecting(NO_SERVER, "ERR_FAILED", "status of 412"),
        grace.watch.expecting(NO_SERVER, "ERR_FAILED", r"status of 404 .*rendition=thumb"),
    ):
        async with throttled(ada):
            await drop(ada, [given])
            row = tray(ada).filter(has_text="later.jpg")
            await expect(row).to_have_attribute("data-phase", "sending")
            await expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", BEGUN)
            await asyncio.to_thread(storage.server.kill)
            assert (await storage.keys(), storage.rows()) == (keys, rows)
        await asyncio.to_thread(storage.server.start)
        async with httpx2.AsyncClient(
            base_url=storage.server.url, follow_redirects=True, trust_env=False, timeout=60
        ) as http:
            # from its first answer on what is listed is whole
            while (found := (await listing(meeting))["items"]) == there:
                await asyncio.sleep(0.05)
            assert found[1:] == there
            answer = await http.get(found[0]["url"], headers=bearer(meeting.token))
        assert found[0]["sha256"] == hashlib.sha256(given.content).hexdigest()
        assert len(answer.content) == found[0]["size_bytes"]
        Image.open(io.BytesIO(answer.content)).load()
        await meeting.agree(lambda scene: len(images(scene)) == shown + 1)
        for person in meeting.people:
            await person.until(SHOWS, [found[0]["sha256"], 600])
        await holds(storage, len(keys) + 3)
    assert len(storage.rows()) == len(rows) + 1


async def holds(storage: Storage, count: int) -> None:
    """So much is stored in the end."""
    async with asyncio.timeout(60):
        while len(await storage.keys()) != count:
            await asyncio.sleep(0.05)


async def reload(person: Person, sha256: str) -> None:
    await person.page.reload()
    await person.arrive()
    await person.until(SHOWS, [sha256, 600])


async def listing(meeting: Meeting) -> dict[str, Any]:
    url = f"{meeting.server.url}/api/v1/rooms/{meeting.room_id}/assets"
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
        answer = await http.get(url, headers=bearer(meeting.token))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


@asynccontextmanager
async def without_bytes(person: Person) -> AsyncIterator[None]:
    """Everything arrives but the bytes of pictures; those at the end of the block."""
    held: list[Route] = []
    is_open = False

    async def hold(route: Route) -> None:
        if is_open:
            await route.continue_()
        else:
            held.append(route)

    await person.page.route(OF_A_ROOM, hold)
    try:
        yield
        assert held, "nobody asked"
    finally:
        is_open = True
        for route in held:
            await route.continue_()
        await person.page.unroute(OF_A_ROOM, hold)


@asynccontextmanager
async def throttled(person: Person) -> AsyncIterator[None]:
    """What the page sends takes its time."""
    session = await person.context.new_cdp_session(person.page)
    how = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SLOW_BYTES_PER_S}
    await session.send("Network.enable")
    await session.send("Network.emulateNetworkConditions", how)
    try:
        yield
    finally:
        await session.send("Network.emulateNetworkConditions", how | {"uploadThroughput": -1})
        await session.detach()
