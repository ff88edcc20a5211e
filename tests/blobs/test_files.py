"""Blobs as files: the contract, and what only files can do wrong."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from party.errors import Unavailable
from server.blobs import disk
from server.blobs.errors import BlobExists, BlobMismatch, BlobNotFound, BlobUrlExpired, BlobUrlRefused
from server.blobs.files import FileBlobs
from server.blobs.routes import signed_app
from server.blobs.signing import UrlSigner
from server.blobs.trial import ask, read_whole
from tests.blobs.blobs_contract import KEY, LEGACY, PNG, BlobsContract, Rig, keys, put

SECRET = b"not-a-secret-but-long-enough-for-this"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    blobs = FileBlobs(tmp_path / "blobs", SECRET)
    transport = httpx2.ASGITransport(app=signed_app(blobs))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kanvas.test") as http:
        yield Rig(blobs, http)


class TestFileBlobs(BlobsContract):
    """The contract."""


def stored(folder: Path) -> list[str]:
    """Every file below, temporary ones and parts too."""
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if not one.is_dir())


# -- temporary files -------------------------------------------------------------------------------


async def test_nothing_of_a_put_that_fails_or_is_cancelled_is_left(rig: Rig, tmp_path: Path) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(1_000_000)
        await asyncio.Event().wait()

    task = asyncio.create_task(put(rig.blobs, KEY, b"", size_bytes=2_000_000))
    with pytest.raises(BlobMismatch):
        await task
    for pause_s in (0, 0.001, 0.05):
        task = asyncio.create_task(
            rig.blobs.put(KEY, stuck(), size_bytes=2_000_000, content_type="image/png")
        )
        await asyncio.sleep(pause_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stored(tmp_path / "blobs") == []


CHILD = """
import asyncio, sys
from pathlib import Path
from server.blobs.files import FileBlobs

async def source():
    while True:
        yield bytes(300_000)
        print("written", flush=True)
        await asyncio.sleep(0.01)

blobs = FileBlobs(Path(sys.argv[1]), b"x" * 32)
asyncio.run(blobs.put("images/ada/big", source(), size_bytes=10**9, content_type="image/png"))
"""


async def test_a_process_killed_in_a_put_leaves_nothing_to_be_seen(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    for _ in range(5):
        assert await asyncio.wait_for(child.stdout.readline(), 60)
    child.kill()
    await child.wait()
    blobs = FileBlobs(folder, SECRET)
    assert await keys(blobs) == []
    left = list((folder / disk.INCOMING).iterdir())
    assert len(left) == 1
    # young, it may belong to a process that lives
    await blobs.tidy()
    assert left[0].exists()
    long_ago = time.time() - disk.DEAD_AFTER_S - 10
    os.utime(left[0], (long_ago, long_ago))
    await blobs.tidy()
    assert stored(folder) == []
    await put(blobs, "images/ada/big")


# -- the way it was before -------------------------------------------------------------------------


async def test_images_of_older_versions_are_read_listed_and_removed(tmp_path: Path) -> None:
    folder = tmp_path / "blobs"
    (folder / "some-room").mkdir(parents=True)
    (folder / LEGACY).write_bytes(PNG)
    # what a crash of that version left
    (folder / "some-room" / "tmpab_c1x2y.part").write_bytes(b"half")
    blobs = FileBlobs(folder, SECRET)
    assert await read_whole(blobs, LEGACY) == PNG
    found = await keys(blobs, "some-room/")
    assert found == [LEGACY, "some-room/tmpab_c1x2y.part"]
    await blobs.delete(found)
    assert not (folder / "some-room").exists()


# -- what somebody else put there ------------------------------------------------------------------


async def test_no_symbolic_link_is_followed(rig: Rig, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "blobs"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    folder.mkdir()
    (folder / "linked").symlink_to(outside)
    (folder / "file").symlink_to(outside / "secret")
    (folder / "nowhere").symlink_to(outside / "nothing")
    for key in ("linked/secret", "file", "nowhere"):
        assert await rig.blobs.find(key) is None
        with pytest.raises(BlobNotFound):
            await read_whole(rig.blobs, key)
    assert await keys(rig.blobs) == []
    assert await keys(rig.blobs, "linked/") == []
    for key, error in (("linked/new", Unavailable), ("file", BlobExists), ("nowhere", BlobExists)):
        with pytest.raises(error):
            await put(rig.blobs, key)
    await rig.blobs.delete(["linked/secret"])
    assert stored(outside) == ["secret"]


async def test_the_folder_itself_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "blobs").symlink_to(tmp_path / "disk")
    blobs = FileBlobs(tmp_path / "blobs", SECRET)
    await put(blobs)
    assert await read_whole(blobs, KEY) == PNG
    assert (tmp_path / "disk" / KEY).exists()


async def test_what_is_no_file_is_no_blob(rig: Rig, tmp_path: Path) -> None:
    await put(rig.blobs)
    os.mkfifo(tmp_path / "blobs" / "pipe")
    for key in ("pipe", "images", "images/ada", f"{KEY}/below"):
        async with asyncio.timeout(10):
            assert await rig.blobs.find(key) is None
            with pytest.raises(BlobNotFound):
                await read_whole(rig.blobs, key)
        await rig.blobs.delete([key])
    for key in ("images", f"{KEY}/below"):
        with pytest.raises(BlobExists):
            await put(rig.blobs, key)
    assert await keys(rig.blobs) == [KEY]


# -- others at the same time -----------------------------------------------------------------------


async def test_two_that_remove_the_last_of_a_folder(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second finds the folder gone, which is what it wants."""
    await put(rig.blobs)
    real = Path.rmdir

    def rmdir_of_both(folder: Path) -> None:
        real(folder)
        real(folder)

    monkeypatch.setattr(Path, "rmdir", rmdir_of_both)
    await rig.blobs.delete([KEY])
    assert await keys(rig.blobs) == []


async def test_a_folder_that_goes_while_one_is_made_in_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last blob beside it was removed in that moment, and the folder with it."""
    real = Path.mkdir

    def mkdir_too_late(folder: Path, *arguments: Any, **more: Any) -> None:
        if folder.name == "ada":
            monkeypatch.setattr(Path, "mkdir", real)
            folder.parent.rmdir()
        real(folder, *arguments, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir_too_late)
    await put(rig.blobs)
    assert await read_whole(rig.blobs, KEY) == PNG


# -- disks that fail -------------------------------------------------------------------------------


async def test_a_full_disk_is_told_and_nothing_is_left(rig: Rig, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(Unavailable, match="can't be stored"):
            await put(rig.blobs, KEY, bytes(3_000_000))
        answer = await ask(
            rig.http,
            await rig.blobs.sign_put(KEY, size_bytes=2_000_000, content_type="image/png", expires_s=60),
            bytes(2_000_000),
        )
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert stored(tmp_path / "blobs") == []
    await put(rig.blobs, KEY, bytes(3_000_000))


async def test_a_folder_that_can_not_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file")
    blobs = FileBlobs(tmp_path / "blobs", SECRET)
    for attempt in (blobs.check(), put(blobs), blobs.start_parts(KEY, content_type="image/png")):
        with pytest.raises(Unavailable):
            await attempt
    assert await blobs.find(KEY) is None


# -- parts -----------------------------------------------------------------------------------------


async def send(rig: Rig, parts_id: str, number: int, body: bytes) -> None:
    signed = await rig.blobs.sign_part(KEY, parts_id, number, size_bytes=len(body), expires_s=60)
    assert (await ask(rig.http, signed, body)).is_success


async def test_a_part_sent_again_replaces_the_one_before(rig: Rig) -> None:
    parts_id = await rig.blobs.start_parts(KEY, content_type="video/mp4")
    await send(rig, parts_id, 1, b"one")
    old = await rig.blobs.list_parts(KEY, parts_id)
    await send(rig, parts_id, 1, b"two")
    with pytest.raises(BlobMismatch):
        await rig.blobs.finish_parts(KEY, parts_id, old)
    await rig.blobs.finish_parts(KEY, parts_id, await rig.blobs.list_parts(KEY, parts_id))
    assert await read_whole(rig.blobs, KEY) == b"two"


async def test_an_upload_in_parts_survives_a_restart(rig: Rig, tmp_path: Path) -> None:
    parts_id = await rig.blobs.start_parts(KEY, content_type="video/mp4")
    await send(rig, parts_id, 1, b"one")
    # killed just before it could say what it is for
    (tmp_path / "blobs" / disk.PARTS / "01arz3ndektsv4rrffq69g5fav").mkdir()
    again = FileBlobs(tmp_path / "blobs", SECRET)
    started = {one.parts_id: one.key async for one in again.list_started()}
    assert started == {parts_id: KEY, "01arz3ndektsv4rrffq69g5fav": "unknown"}
    await again.abort_parts("unknown", "01arz3ndektsv4rrffq69g5fav")
    await again.finish_parts(KEY, parts_id, await again.list_parts(KEY, parts_id))
    assert stored(tmp_path / "blobs") == [KEY]


@pytest.mark.parametrize("parts_id", ["", "..", "../..", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "a/b", "x" * 26])
async def test_what_is_no_upload_is_not_found(rig: Rig, parts_id: str) -> None:
    await put(rig.blobs)
    with pytest.raises(BlobNotFound):
        await rig.blobs.list_parts(KEY, parts_id)
    await rig.blobs.abort_parts(KEY, parts_id)
    assert await keys(rig.blobs) == [KEY]


# -- signatures ------------------------------------------------------------------------------------


async def test_another_secret_signs_something_else(rig: Rig, tmp_path: Path) -> None:
    signed = await FileBlobs(tmp_path / "blobs", b"y" * 32).sign_put(
        KEY, size_bytes=len(PNG), content_type="image/png", expires_s=60
    )
    answer = await ask(rig.http, signed, PNG)
    assert (answer.status_code, answer.json()["code"]) == (403, "blob_url_refused")


def test_a_value_can_not_move_into_another_name() -> None:
    now_s = 1_000_000.0
    signer = UrlSigner(SECRET, clock=lambda: now_s)
    signed = signer.sign("GET", "a", {"type": "image/png", "disposition": "inline"}, expires_s=60)
    params = dict(parse_qsl(urlsplit(signed.url).query))
    signer.check("GET", "a", params)
    for wrong in (
        {**params, "type": "image/pnginline", "disposition": ""},
        {**params, "type": 'image/png"],["disposition","inline'},
        {**params, "more": "1"},
        {**params, "signature": ""},
        {**params, "signature": "ä" * 64},
        {name: value for name, value in params.items() if name != "disposition"},
    ):
        with pytest.raises(BlobUrlRefused):
            signer.check("GET", "a", wrong)
    for method, key in (("PUT", "a"), ("GET", "b"), ("HEAD", "a")):
        with pytest.raises(BlobUrlRefused):
            signer.check(method, key, params)
    now_s += 59
    signer.check("GET", "a", params)
    now_s += 1
    with pytest.raises(BlobUrlExpired):
        signer.check("GET", "a", params)
