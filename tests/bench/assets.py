"""What images cost the server: `python -m tests.bench.assets [uploads] [s3] [whole] [stream] [ticks]`.

Each has a server of its own, without a supervisor. Processor time and memory are those of the serving
process; "with its children" counts the processes that look at images, too.

- uploads: a request for an upload (POST .../assets, which answers with a signed address), on files
- s3: the same with a bucket; signing needs no network, so there need be none
- whole: POST, PUT and complete of a picture of 12 KB, on files
- stream: how far memory grows while a fast reader takes 100 MB, and while ten slow ones do
- ticks: how much later the edits of a room arrive while a photo of 12 megapixels is uploaded to it and made
  smaller each second. Server, children, load and sender share the machine: with few cores they wait for each
  other, and "waited" says how long the serving process, ready to run, had none
"""

import asyncio
import hashlib
import http.client
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import uvloop

from tests.bench.photos import Camera, film, picture
from tests.load.crowd import Crowd
from tests.load.edits import Edits
from tests.load.processes import Usage
from tests.load.scenarios import Measured, measure, quiet
from tests.load.servers import LOOPBACK, Api, Kanvas, KanvasServer

SETTINGS: Final = {
    "KANVAS_SUPERVISOR": "off",
    "KANVAS_RATE_LIMITS": "off",
    "KANVAS_MAX_ASSET_BYTES": str(120 * 2**20),
    "KANVAS_ROOM_QUOTA_BYTES": str(2**40),
    "KANVAS_USER_QUOTA_BYTES": str(2**40),
}
BUCKET: Final = {
    "KANVAS_BLOBS_URL": "s3://bucket/prefix?endpoint=http://127.0.0.1:9",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "nobody-asks-for-this",
}
AT_ONCE: Final = 4
UPLOADS: Final = 2000
WHOLE: Final = 300
FILM_BYTES: Final = 100_000_000
SLOW_READERS: Final = 10
SLOW_BYTES_PER_S: Final = 512 * 1024
SECONDS: Final = 8.0
PHOTO_S: Final = 1.0
LISTENERS: Final = 10
PER_S: Final = 40.0


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


# -- a person with files ---------------------------------------------------------------------------


class Person:
    """One user on one connection, who may become another one."""

    def __init__(self, port: int, token: str, room_id: str) -> None:
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=120)
        self._base = f"http://{LOOPBACK}:{port}"
        self.become(token)
        self._assets = f"/api/v1/rooms/{room_id}/assets"

    def become(self, token: str) -> None:
        self._token = {"Authorization": f"Bearer {token}"}

    def call(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *statuses: int
    ) -> bytes:
        where = urlsplit(urljoin(self._base, url))
        target = where.path + (f"?{where.query}" if where.query else "")
        self._connection.request(method, target, body, dict(headers))
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status not in statuses:
            raise RuntimeError(f"{method} {url} was answered with {answer.status}: {said[:300]!r}")
        return said

    def ask(self, size_bytes: int, sha256: str, content_type: str, filename: str) -> dict[str, Any]:
        """A request for an upload: UploadOut."""
        fields = {"filename": filename, "content_type": content_type, "size": size_bytes, "sha256": sha256}
        headers = self._token | {"Content-Type": "application/json"}
        said = self.call("POST", self._assets, json.dumps(fields).encode(), headers, 201)
        upload: dict[str, Any] = json.loads(said)["upload"]
        return upload

    def upload(self, data: bytes, content_type: str, filename: str) -> dict[str, Any]:
        """All three steps: AssetOut."""
        upload = self.ask(len(data), hashlib.sha256(data).hexdigest(), content_type, filename)
        request = upload["request"]
        self.call(request["method"], request["url"], data, request["headers"], 200, 201, 204)
        done = self.call("POST", f"{self._assets}/{upload['id']}/complete", b"", self._token, 200, 201)
        asset: dict[str, Any] = json.loads(done)
        return asset

    def metadata(self, asset_id: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(
            self.call("GET", f"/api/v1/assets/{asset_id}/metadata", None, self._token, 200)
        )
        return said

    def read(self, asset_id: str, goes_on: Callable[[int], bool], receive_bytes: int | None = None) -> int:
        """The bytes of an asset, a redirect followed. Returns how many came.

        `goes_on` is told of each piece how long it is, may take its time, and ends it with False.
        """
        url, headers = f"/api/v1/assets/{asset_id}", dict(self._token)
        while True:
            where = urlsplit(urljoin(self._base, url))
            connection = http.client.HTTPConnection(LOOPBACK, where.port, timeout=120)
            if receive_bytes is not None:
                connection.sock = socket.socket()
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
                connection.sock.connect((LOOPBACK, where.port))
            connection.request(
                "GET", where.path + (f"?{where.query}" if where.query else ""), headers=headers
            )
            answer = connection.getresponse()
            if answer.status in (302, 303, 307):
                url, headers = answer.headers["Location"], {}
                connection.close()
                continue
            if answer.status != 200:
                raise RuntimeError(f"GET {url} was answered with {answer.status}: {answer.read(300)!r}")
            came = 0
            while chunk := answer.read(64 * 1024):
                came += len(chunk)
                if not goes_on(len(chunk)):
                    break
            connection.close()
            return came


@contextmanager
def room(settings: Mapping[str, str]) -> Iterator[tuple[KanvasServer, Callable[[], Person]]]:
    """A fresh server with a room: the server, and a function that makes people for that room."""
    with Kanvas(SETTINGS | dict(settings)).running(None) as server:
        api = Api(f"http://{LOOPBACK}:{server.child.port}")
        room_id = api.make_room(server.token())
        yield server, lambda: Person(server.child.port, server.token(), room_id)


def usage(server: KanvasServer) -> tuple[Usage, Usage]:
    """Of the serving process, and with its children."""
    alone, tree = server.child.usage_alone(), server.usage()
    if alone is None or tree is None:
        raise RuntimeError(
            f"The server is gone. {server.death() or 'This system tells nothing of processes.'}"
        )
    return alone, tree


# -- requests --------------------------------------------------------------------------------------


def per_request(settings: Mapping[str, str], name: str, count: int, work: Callable[[Person], object]) -> None:
    """`count` times the work on `AT_ONCE` connections, by a new user every ten times."""

    def share(person: Person) -> None:
        for number in range(count // AT_ONCE):
            if number % 10 == 0:
                person.become(server.token())
            work(person)

    with room(settings) as (server, person):
        people = [person() for _ in range(AT_ONCE)]
        for one in people:
            work(one)
        before, began = usage(server), time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(share, people))
        took_s, after = time.perf_counter() - began, usage(server)
    alone_s, tree_s = (after[at].cpu_s - before[at].cpu_s for at in (0, 1))
    say(
        f"{name}: {alone_s / count * 1e3:5.2f} ms CPU each, {count / alone_s:5.0f} per core-second; with its"
        f" children {tree_s / count * 1e3:5.2f} ms; {count / took_s:5.0f}/s came"
    )


def ask(person: Person) -> None:
    person.ask(5_000_000, os.urandom(32).hex(), "image/jpeg", "A photo.jpg")


def measure_uploads() -> None:
    per_request({}, "uploads, requests on files", UPLOADS, ask)


def measure_s3() -> None:
    per_request(BUCKET, "uploads, requests with a bucket", UPLOADS, ask)


def measure_whole() -> None:
    per_request(
        {},
        "uploads, POST, PUT and complete of 12 KB",
        WHOLE,
        lambda person: person.upload(picture(), "image/png", "small.png"),
    )


# -- streams ---------------------------------------------------------------------------------------


class Peak:
    """The highest memory of the serving process while it is entered."""

    def __init__(self, server: KanvasServer) -> None:
        self._server = server
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.before = self.highest = usage(server)[0].rss_bytes

    def _watch(self) -> None:
        while not self._is_over.wait(0.01):
            self.highest = max(self.highest, usage(self._server)[0].rss_bytes)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def grown_mb(self) -> float:
        return (self.highest - self.before) / 1e6


def measure_stream() -> None:
    with room({}) as (server, person):
        data = film(FILM_BYTES)
        with Peak(server) as peak:
            asset = person().upload(data, "video/mp4", "film.mp4")
        say(f"stream, upload and check of {len(data) / 1e6:.0f} MB: memory grew by {peak.grown_mb:5.1f} MB")
        del data
        before, began = usage(server)[0], time.perf_counter()
        with Peak(server) as peak:
            came = person().read(asset["id"], lambda _: True)
        took_s, cpu_s = time.perf_counter() - began, usage(server)[0].cpu_s - before.cpu_s
        assert came == FILM_BYTES
        say(
            f"stream, one fast reader: memory grew by {peak.grown_mb:5.1f} MB,"
            f" {came / took_s / 1e6:.0f} MB/s, {cpu_s / came * 1e12:.0f} us CPU a MB"
        )
        end = time.monotonic() + SECONDS

        def slowly(count: int) -> bool:
            time.sleep(count / SLOW_BYTES_PER_S)
            return time.monotonic() < end

        with Peak(server) as peak, ThreadPoolExecutor(SLOW_READERS) as threads:
            readers = [
                threads.submit(person().read, asset["id"], slowly, 64 * 1024) for _ in range(SLOW_READERS)
            ]
            came = sum(reader.result() for reader in readers)
        say(
            f"stream, {SLOW_READERS} slow readers for {SECONDS:g} s: memory grew by {peak.grown_mb:5.1f} MB,"
            f" {came / SECONDS / SLOW_READERS / 1e6:.1f} MB/s each"
        )


# -- ticks -----------------------------------------------------------------------------------------


def send_photos(port: int, token: str, room_id: str, seconds: float) -> None:
    """In a process of its own: a photo every `PHOTO_S`.

    Prints how many there were, and how many seconds later the last one had its renditions.
    """
    person, camera = Person(port, token, room_id), Camera()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began, ids = time.monotonic(), list[str]()
    while len(ids) * PHOTO_S < seconds:
        time.sleep(max(0.0, began + len(ids) * PHOTO_S - time.monotonic()))
        ids.append(person.upload(camera.take(), "image/jpeg", "photo.jpg")["id"])
    uploaded_at = time.monotonic()
    while len(person.metadata(ids[-1])["renditions"]) < 2 and time.monotonic() < uploaded_at + 60:
        time.sleep(0.05)
    say(f"{len(ids)} {time.monotonic() - uploaded_at:.2f}")


@dataclass(frozen=True, slots=True)
class Written:
    """What one writer's edits took; `photos` in words, "" for none."""

    measured: Measured
    latest_ms: float
    waited: float
    photos: str

    @property
    def p99_ms(self) -> float:
        return self.measured.p99_ms or 0.0


async def write(server: KanvasServer, with_photos: bool) -> Written:
    """One writer and those who listen, in a new room."""
    (seats,) = server.seats(1, 1 + LISTENERS)
    room_id = seats[0].path.removeprefix("/parties/").partition("?")[0]
    with Crowd(Edits()) as crowd:
        crowd.edits.make(int(PER_S * SECONDS * 1.5) + 10)
        members = crowd.room(seats, 1)
        await crowd.enter(members[:1])
        await crowd.enter(members[1:])
        child = None
        if with_photos:
            arguments = [str(server.child.port), server.token(), room_id, str(SECONDS)]
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.bench.assets", "send-photos", *arguments),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            assert child.stdout is not None
            await child.stdout.readline()
        await quiet(server)
        if child is not None and child.stdin is not None:
            child.stdin.write(b"go\n")
        before = usage(server)[0].waited_s
        measured = await measure(server, crowd, crowd.write(members[:1], PER_S, SECONDS))
        waited = (usage(server)[0].waited_s - before) / measured.seconds
        latest_ms = crowd.ledger.quantile_ms(1.0) or 0.0
        photos = ""
        if child is not None:
            said = (await child.communicate())[0].decode()
            if child.returncode:
                raise RuntimeError(
                    f"The photos could not be sent. The server's log:\n{server.child.last_lines()}"
                )
            count, rest_s = said.split()
            photos = f"; {count} photos, the last one's renditions {rest_s} s later"
    await quiet(server)
    return Written(measured, latest_ms, waited, photos)


async def measure_ticks() -> None:
    with Kanvas(SETTINGS).running(None) as server:
        # what is started once is nobody's delay
        await write(server, with_photos=True)
        # in turn, and the better one of each: what else runs on the machine is no photo's doing
        pairs = [(await write(server, False), await write(server, True)) for _ in range(3)]
    alone = min((pair[0] for pair in pairs), key=lambda one: one.p99_ms)
    beside = min((pair[1] for pair in pairs), key=lambda one: one.p99_ms)
    for name, one in (("alone", alone), ("beside photos", beside)):
        say(
            f"ticks, edits {name}: p50 {one.measured.p50_ms:5.2f} ms, p99 {one.p99_ms:5.2f} ms, latest"
            f" {one.latest_ms:5.2f} ms, waited {one.waited:.1%}{one.photos}"
        )
    say(f"ticks: photos add {beside.p99_ms - alone.p99_ms:.2f} ms to p99")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["send-photos"]:
        port, token, room_id, seconds = arguments[1:]
        send_photos(int(port), token, room_id, float(seconds))
        return
    known: dict[str, Callable[[], object]] = {
        "uploads": measure_uploads,
        "s3": measure_s3,
        "whole": measure_whole,
        "stream": measure_stream,
        "ticks": lambda: uvloop.run(measure_ticks()),
    }
    if unknown := set(arguments) - set(known):
        raise SystemExit(f"There is no {', '.join(sorted(unknown))}; there is: {', '.join(known)}.")
    say(f"load of the machine: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores")
    for name in arguments or known:
        known[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
