"""Uploads to a real server: killed in the middle of everything, and sent what is not to be sent."""

import asyncio
import contextlib
import os
import random
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.assets.pictures import gif, noise, photo, png, sha256
from tests.servers import LiveServer, bearer

CYCLES = int(os.environ.get("TEST_UPLOAD_KILL_CYCLES", "3"))
SEED = int(os.environ.get("TEST_SEED", "20"))
MIB = 1024 * 1024
MOST_GROWTH_BYTES = 10 * MIB


@dataclass
class Uploader:
    """Uploads one picture after another, each until it is stored, whatever becomes of the server."""

    server: LiveServer
    token: str
    room_id: str
    number: int
    stored: dict[str, bytes] = field(default_factory=dict)

    async def run(self, stop: asyncio.Event) -> None:
        made = 0
        while not stop.is_set():
            made += 1
            seed = self.number * 1000 + made
            data = photo(300, 200 + seed % 97) if seed % 3 == 0 else noise(200 + seed % 50, 200, seed)
            while not stop.is_set():
                with contextlib.suppress(httpx2.TransportError, httpx2.HTTPStatusError):
                    await self._upload(data, straight=seed % 4 == 0)
                    break
                await asyncio.sleep(0.05)

    async def _upload(self, data: bytes, *, straight: bool) -> None:
        at = f"/api/v1/rooms/{self.room_id}/assets"
        async with httpx2.AsyncClient(
            base_url=self.server.url, headers=bearer(self.token), timeout=20
        ) as http:
            if straight:
                done = await http.put(
                    f"{at}/{sha256(data)}", content=data, headers={"Content-Type": "image/jpeg"}
                )
            else:
                body = {
                    "filename": f"{len(data)}.jpg",
                    "content_type": "image/jpeg",
                    "size": len(data),
                    "sha256": sha256(data),
                }
                told = (await http.post(at, json=body)).raise_for_status().json()
                if told["asset"] is not None:
                    self.stored[told["asset"]["id"]] = data
                    return
                request = told["upload"]["request"]
                # without: an attempt whose answer was lost had stored it
                if request is not None:
                    sent = await http.put(request["url"], headers=request["headers"], content=data)
                    sent.raise_for_status()
                done = await http.post(f"{at}/{told['upload']['id']}/complete")
            self.stored[done.raise_for_status().json()["id"]] = data


@pytest.mark.timeout(600)
async def test_nothing_half_is_there_after_kills(tmp_path: Path) -> None:
    """A1 A2 A10 K1: `kill -9` at random points of uploads, checks and renditions."""
    dice = random.Random(SEED)
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token)
        uploaders = [Uploader(server, token, room_id, number) for number in range(1, 4)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for one in uploaders:
                tasks.create_task(one.run(stop))
            for _ in range(CYCLES):
                await asyncio.sleep(dice.uniform(0.1, 1.2))
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            await asyncio.sleep(1.0)
            # on a busy machine most of the time went into starts
            async with asyncio.timeout(120):
                while sum(len(one.stored) for one in uploaders) <= CYCLES:
                    await asyncio.sleep(0.1)
            stop.set()
        stored = {name: data for one in uploaders for name, data in one.stored.items()}
        print(f"{CYCLES} kills, {len(stored)} pictures stored")
        assert len(stored) > CYCLES
        async with httpx2.AsyncClient(base_url=server.url, headers=bearer(token), timeout=60) as http:
            listed = await _list(http, room_id)
            assert set(stored) <= set(listed), "what was answered as stored is there"
            for name, asset in listed.items():
                read = await http.get(asset["url"])
                assert read.status_code == 200, asset
                assert len(read.content) == asset["size_bytes"]
                assert read.headers["etag"] == f'"{sha256(read.content)}"', "whole, and what was checked"
                if name in stored:
                    assert asset["sha256"] == sha256(stored[name])
            # the smaller forms are there, or on their way: a job under way when it was killed has a lease
            signed = bearer(server.admin())
            waiting = set()
            for state in ("queued", "running", "dead"):
                told = await http.get(f"/api/v1/admin/jobs?kind=assets.render&state={state}", headers=signed)
                assert state != "dead" or told.json()["items"] == []
                waiting |= {one["id"] for one in told.json()["items"]}
            formless = [one for one in (await _list(http, room_id)).values() if not one["renditions"]]
            assert len(formless) <= len(waiting)
            for asset in listed.values():
                for form in asset["renditions"]:
                    read = await http.get(form["url"])
                    assert len(read.content) == form["size_bytes"]


async def _list(http: httpx2.AsyncClient, room_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cursor: str | None = ""
    while cursor is not None:
        query = f"?cursor={cursor}" if cursor else ""
        page = (await http.get(f"/api/v1/rooms/{room_id}/assets{query}")).raise_for_status().json()
        found |= {one["id"]: one for one in page["items"]}
        cursor = page["next_cursor"]
    return found


def png_bomb(side_px: int = 50_000) -> bytes:
    """A PNG of 2.5 gigapixels in 2 MB, sound in every respect."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data)
        return len(data).to_bytes(4, "big") + name + data + crc.to_bytes(4, "big")

    head = side_px.to_bytes(4, "big") * 2 + b"\x01\x00\x00\x00\x00"
    packer = zlib.compressobj(9)
    row = b"\x00" * (side_px // 8 + 1)
    data = b"".join(packer.compress(row) for _ in range(side_px)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def hostile() -> dict[str, bytes]:
    picture = noise(800, 600)
    return {
        "png of 50,000 x 50,000": png_bomb(),
        "gif of 200 frames": gif(200),
        "jpeg cut off": picture[: len(picture) // 2],
        "zip": b"PK\x03\x04" + zlib.compress(b"\x00" * 10 * MIB),
        "html": b"<!doctype html><script>alert(1)</script>",
        "pdf of html": b"%PDF-1.7\n<html><script>1</script></html>",
        "svg of entities": b'<!DOCTYPE svg [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
        "nothing": b"",
        "noise": random.Random(1).randbytes(8 * MIB),
    }


@pytest.mark.timeout(300)
async def test_hostile_files_cost_the_server_no_memory(tmp_path: Path) -> None:
    """A2 A12: each is a clear 4xx, nothing of it is stored, and the server grows by less than 10 MB."""
    with LiveServer(tmp_path / "data", {"KANVAS_SUPERVISOR": "off"}) as server:
        token = server.guest()
        room_id = server.room(token)
        at = f"/api/v1/rooms/{room_id}/assets"
        async with httpx2.AsyncClient(base_url=server.url, headers=bearer(token), timeout=120) as http:

            async def put(data: bytes) -> httpx2.Response:
                headers = {"Content-Type": "application/octet-stream"}
                return await http.put(f"{at}/{sha256(data)}", content=data, headers=headers)

            # what every first upload costs: imports, buffers, the child
            assert (await put(png())).status_code == 201
            assert (await put(noise(900, 700))).status_code == 201
            before = server.rss_bytes()
            files = hostile()
            for name, data in files.items():
                for _ in range(2):
                    answer = await put(data)
                    assert 400 <= answer.status_code < 500, (name, answer.text)
                    assert answer.headers["content-type"] == "application/problem+json"
            answers = await asyncio.gather(*(put(data) for data in files.values() for _ in range(2)))
            assert all(400 <= one.status_code < 500 for one in answers)
            grown = server.rss_bytes() - before
            print(f"grown by {grown / MIB:.1f} MiB")
            assert grown < MOST_GROWTH_BYTES
            assert len(await _list(http, room_id)) == 2
        async with asyncio.timeout(60):
            # the job that makes the smaller forms has a folder there, too
            while list((tmp_path / "data" / "incoming").iterdir()):
                await asyncio.sleep(0.1)
