"""A large file in parts to a real S3 server, through kills of Kanvas; smaller forms by `kanvas worker`."""

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.blobs.strict import Strict, open_bucket
from tests.blobs.weed import Weed
from tests.server.assets.pictures import noise, pdf, sha256
from tests.servers import KANVAS, LiveServer, bearer

MIB = 1024 * 1024
GROWS_LESS_THAN = 20 * MIB
DEADLINE_S = 60.0


class Uploader:
    """Somebody in a room of a real server."""

    def __init__(self, server: LiveServer, http: httpx2.AsyncClient) -> None:
        self.http = http
        token = server.guest()
        self.headers = bearer(token)
        self.at = f"{server.url}/api/v1/rooms/{server.room(token)}/assets"

    async def ask(self, method: str, path: str = "", **more: Any) -> httpx2.Response:
        return await self.http.request(method, self.at + path, headers=self.headers, **more)

    async def announce(self, data: bytes, kind: str, name: str) -> dict[str, Any]:
        body = {"filename": name, "content_type": kind, "size": len(data), "sha256": sha256(data)}
        answer = await self.ask("POST", json=body)
        assert answer.status_code == 201, answer.text
        upload: dict[str, Any] = answer.json()["upload"]
        return upload

    async def send(self, request: dict[str, Any], data: bytes) -> None:
        answer = await self.http.request(
            request["method"], request["url"], headers=request["headers"], content=data
        )
        assert answer.is_success, answer.text

    async def send_parts(self, upload: dict[str, Any], data: bytes, numbers: list[int]) -> None:
        answer = await self.ask("POST", f"/{upload['id']}/parts", json={"numbers": numbers})
        for part in answer.json()["parts"]:
            first = (part["number"] - 1) * upload["parts"]["part_bytes"]
            await self.send(part["request"], data[first : first + part["size_bytes"]])

    async def listed(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.ask("GET")).json()["items"]
        return items


class Peak:
    """The most memory a server had, looked at many times a second; by how much it grew."""

    def __init__(self, server: LiveServer) -> None:
        self._server = server
        self.begun_bytes = server.rss_bytes()
        self.grown_bytes = 0

    async def watch(self) -> None:
        while True:
            self.grown_bytes = max(self.grown_bytes, self._server.rss_bytes() - self.begun_bytes)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def flat_memory(server: LiveServer, what: str) -> AsyncIterator[None]:
    """Fails when the server needs more than 20 MB for what is done in the block."""
    peak = Peak(server)
    watching = asyncio.create_task(peak.watch())
    try:
        yield
    finally:
        watching.cancel()
    print(f"{what}: {peak.grown_bytes / MIB:.1f} MB more at most")
    assert peak.grown_bytes < GROWS_LESS_THAN


@contextmanager
def worker(server: LiveServer) -> Iterator[None]:
    """`kanvas worker` with the same settings, until the end of the block."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("KANVAS_")}
    env |= {"KANVAS_DATA_DIR": str(server.data_dir), **server.env}
    with server.log_path.with_suffix(".worker").open("wb") as out:
        process = subprocess.Popen([*KANVAS, "worker"], env=env, cwd=server.data_dir, stdout=out, stderr=out)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_parts_kills_and_a_worker(tmp_path: Path, weed: Weed) -> None:
    """One server for all: a restart takes a second."""
    async with open_bucket(weed) as bucket, httpx2.AsyncClient(trust_env=False, timeout=DEADLINE_S) as http:
        env = {
            "KANVAS_BLOBS_URL": bucket.url,
            "KANVAS_SUPERVISOR": "off",
            "KANVAS_JOBS": "off",
            "KANVAS_ASSET_DELIVERY": "stream",
            **bucket.env,
        }
        server = LiveServer(tmp_path / "data", env)
        try:
            await asyncio.to_thread(server.start)
            ada = await asyncio.to_thread(Uploader, server, http)
            await a_large_file_in_parts(server, ada)
            await killed_while_it_completes(server, ada, bucket.strict)
            await smaller_forms_are_made_by_a_worker(server, ada)
        finally:
            server.kill()


async def restart(server: LiveServer) -> None:
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)


async def a_large_file_in_parts(server: LiveServer, ada: Uploader) -> None:
    data = pdf(101 * MIB)
    upload = await ada.announce(data, "application/pdf", "large.pdf")
    assert upload["request"] is None
    assert upload["parts"] == {"part_bytes": 16 * MIB, "count": 7}
    await ada.send_parts(upload, data, [1, 2, 7])
    await restart(server)
    again = await ada.announce(data, "application/pdf", "large.pdf")
    assert again["id"] == upload["id"]
    stored = (await ada.ask("GET", f"/{upload['id']}/parts")).json()["stored"]
    assert [(one["number"], one["size_bytes"]) for one in stored] == [
        (1, 16 * MIB),
        (2, 16 * MIB),
        (7, len(data) - 96 * MIB),
    ]
    early = await ada.ask("POST", f"/{upload['id']}/complete")
    assert (early.status_code, early.json()["code"]) == (409, "upload_incomplete")
    assert "4 of 7 parts have not arrived: 3, 4, 5, 6" in early.json()["detail"]
    await ada.send_parts(upload, data, [3, 4, 5, 6])
    async with flat_memory(server, "completing 101 MB in parts"):
        done = await ada.ask("POST", f"/{upload['id']}/complete")
    assert done.status_code == 201, done.text
    assert done.json()["size_bytes"] == len(data)
    async with flat_memory(server, "reading 101 MB"):
        digest = hashlib.sha256()
        async with ada.http.stream("GET", f"{ada.at}/{upload['id']}", headers=ada.headers) as answer:
            assert answer.headers["content-disposition"].startswith("attachment")
            async for chunk in answer.aiter_raw():
                digest.update(chunk)
        assert digest.hexdigest() == sha256(data)


async def killed_while_it_completes(server: LiveServer, ada: Uploader, strict: Strict) -> None:
    """SIGKILL while it reads, checks and stores: nothing of it is listed, and it can be completed again."""
    before = await ada.listed()
    data = noise(700, 500)
    upload = await ada.announce(data, "image/jpeg", "photo.jpg")
    await ada.send(upload["request"], data)
    strict.requests.clear()
    strict.gate.clear()
    completing = asyncio.create_task(ada.ask("POST", f"/{upload['id']}/complete"))
    async with asyncio.timeout(DEADLINE_S):
        while not strict.requests:
            await asyncio.sleep(0.01)
    await restart(server)
    with pytest.raises(httpx2.TransportError):
        await completing
    strict.gate.set()
    assert await ada.listed() == before
    assert (await ada.ask("GET", f"/{upload['id']}")).status_code == 404
    done = await ada.ask("POST", f"/{upload['id']}/complete")
    assert done.status_code == 201, done.text
    assert (await ada.ask("GET", f"/{upload['id']}")).content == data


async def smaller_forms_are_made_by_a_worker(server: LiveServer, ada: Uploader) -> None:
    """The server does no jobs: what its uploads ask for is done by the other process."""
    photo = (await ada.listed())[0]
    assert (photo["filename"], photo["renditions"]) == ("photo.jpg", [])
    with worker(server):
        async with asyncio.timeout(DEADLINE_S):
            while len((photo := (await ada.listed())[0])["renditions"]) < 1:
                await asyncio.sleep(0.05)
    thumb = photo["renditions"][0]
    read = await ada.ask("GET", f"/{photo['id']}?rendition=thumb")
    assert (read.headers["content-type"], len(read.content)) == (thumb["content_type"], thumb["size_bytes"])
