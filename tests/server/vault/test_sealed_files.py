"""Encrypted files: the contract, keys that change under them, and what is stored for real."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from db.database import Database, open_database
from db.errors import Damaged
from db.keys import change_key, delete_key, insert_first_key
from db.scopes import as_system
from server.blobs.address import BucketAddress, read_address
from server.blobs.base import MIN_PART_BYTES
from server.blobs.errors import BadKey, BlobExists, BlobNotFound
from server.blobs.files import FileBlobs
from server.blobs.routes import signed_app
from server.blobs.sealed import SealedBlobs
from server.blobs.sealed_parts import PARTS
from server.blobs.trial import ask, once, read_whole
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key
from server.vault.opening import Vault
from server.vault.segments import SEGMENT_BYTES, sealed_size
from tests.blobs.blobs_contract import KEY, PNG, BlobsContract, Rig, keys, pieces, put
from tests.blobs.strict import open_bucket
from tests.blobs.weed import Weed

SECRET = b"not-a-secret-but-long-enough-for-this"
MASTERS = {"a": b"m" * 32}


@pytest.fixture
async def database(empty_database: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(empty_database, tmp_path / "kanvas.db")
    async with open_database(f"sqlite:///{tmp_path / 'kanvas.db'}") as database:
        yield database


@pytest.fixture
async def vault(database: Database) -> Vault:
    return await first_vault(database)


async def first_vault(database: Database) -> Vault:
    first = make_key(MASTERS, datetime.now(UTC))
    known = await as_system(database).write(lambda conn: insert_first_key(conn, first))
    return Vault(database, VaultCipher(MASTERS, known))


async def change(database: Database, *, to_plain: bool = False) -> str | None:
    """Another key, as another process makes it."""
    now = datetime.now(UTC) + timedelta(milliseconds=1)
    key = None if to_plain else make_key(MASTERS, now)
    await as_system(database).write(lambda conn: change_key(conn, key, now))
    return None if key is None else key.id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unchanging_vault(
    empty_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Vault]:
    """For tests that change no key: a database for each of them would take longer than they do."""
    path = tmp_path_factory.mktemp("vault") / "kanvas.db"
    shutil.copy(empty_database, path)
    async with open_database(f"sqlite:///{path}") as database:
        yield await first_vault(database)


@pytest.fixture
async def rig(tmp_path: Path, vault: Vault) -> AsyncIterator[Rig]:
    blobs = SealedBlobs(FileBlobs(tmp_path / "blobs", SECRET), vault, SECRET)
    transport = httpx2.ASGITransport(app=signed_app(blobs))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kanvas.test") as http:
        yield Rig(blobs, http)


class TestSealedFiles(BlobsContract):
    """Z1 Z5: encrypted, they are the same blobs."""

    @pytest.fixture
    def vault(self, unchanging_vault: Vault) -> Vault:
        return unchanging_vault


def sealed(rig: Rig) -> SealedBlobs:
    assert isinstance(rig.blobs, SealedBlobs)
    return rig.blobs


def stored(folder: Path) -> list[str]:
    """Every file below."""
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if not one.is_dir())


async def test_what_is_stored_is_sealed_and_named_by_its_key(rig: Rig, tmp_path: Path, vault: Vault) -> None:
    """Z1."""
    await put(rig.blobs)
    (name,) = stored(tmp_path / "blobs")
    assert name == f"kanvas-sealed/{vault.cipher.key_id}/{KEY}"
    data = (tmp_path / "blobs" / name).read_bytes()
    assert len(data) == sealed_size(len(PNG))
    assert PNG[:20] not in data
    assert rig.blobs.local_path(KEY) is None
    # another's file under this name does not open
    (tmp_path / "blobs" / name).rename(tmp_path / "blobs" / f"kanvas-sealed/{vault.cipher.key_id}/other")
    with pytest.raises(Damaged):
        await read_whole(rig.blobs, "other")


async def test_what_was_there_before_stays_readable_and_is_not_overwritten(rig: Rig, tmp_path: Path) -> None:
    """Z1."""
    plain = FileBlobs(tmp_path / "blobs", SECRET)
    await put(plain)
    assert await read_whole(rig.blobs, KEY, 3, 90) == PNG[3:90]
    assert await keys(rig.blobs) == [KEY]
    with pytest.raises(BlobExists):
        await put(rig.blobs)
    await rig.blobs.delete([KEY])
    assert stored(tmp_path / "blobs") == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, None),
        (SEGMENT_BYTES, None),
        (SEGMENT_BYTES - 1, SEGMENT_BYTES + 1),
        (2 * SEGMENT_BYTES + 3, 2 * SEGMENT_BYTES + 9),
        (SEGMENT_BYTES, 2 * SEGMENT_BYTES),
        (3 * SEGMENT_BYTES, None),
        (3 * SEGMENT_BYTES - 1, 9 * SEGMENT_BYTES),
        (5 * SEGMENT_BYTES, None),
    ],
)
async def test_ranges_across_segments(rig: Rig, start: int, end: int | None) -> None:
    """Z5."""
    data = random.Random(4).randbytes(3 * SEGMENT_BYTES)
    await rig.blobs.put(KEY, pieces(data), size_bytes=len(data), content_type="image/png")
    assert await read_whole(rig.blobs, KEY, start, end) == data[start:end]


async def test_a_file_that_was_cut_off_is_refused_where_it_ends(rig: Rig, tmp_path: Path) -> None:
    """Z2 Z5: also by who reads a part of it only."""
    data = bytes(3 * SEGMENT_BYTES)
    await rig.blobs.put(KEY, pieces(data), size_bytes=len(data), content_type="image/png")
    (name,) = stored(tmp_path / "blobs")
    path = tmp_path / "blobs" / name
    path.write_bytes(path.read_bytes()[: sealed_size(2 * SEGMENT_BYTES)])
    assert await read_whole(rig.blobs, KEY, 0, 10) == data[:10]
    for start in (0, SEGMENT_BYTES, SEGMENT_BYTES + 5):
        with pytest.raises(Damaged):
            await read_whole(rig.blobs, KEY, start)


async def test_names_of_ours_are_nobodys(rig: Rig, vault: Vault) -> None:
    await put(rig.blobs)
    for key in (f"kanvas-sealed/{vault.cipher.key_id}/{KEY}", f"{PARTS}/a/about"):
        with pytest.raises(BadKey):
            await put(rig.blobs, key)
        assert await rig.blobs.find(key) is None
        with pytest.raises(BlobNotFound):
            await read_whole(rig.blobs, key)
        await rig.blobs.delete([key])
    assert await keys(rig.blobs) == [KEY]


async def test_a_file_moves_from_key_to_key_and_to_plain(rig: Rig, tmp_path: Path, vault: Vault) -> None:
    """Z6: it is read all the while, also where the old one was not removed."""
    blobs, first = sealed(rig), vault.cipher.key_id
    await put(blobs)
    second = await change(vault._database)
    await vault.refresh()
    before = (tmp_path / "blobs" / f"kanvas-sealed/{first}/{KEY}").read_bytes()
    assert await blobs.move(KEY, first, second)
    assert stored(tmp_path / "blobs") == [f"kanvas-sealed/{second}/{KEY}"]
    assert await read_whole(blobs, KEY) == PNG
    # killed before the old one was removed
    (tmp_path / "blobs" / f"kanvas-sealed/{first}").joinpath(KEY).parent.mkdir(parents=True)
    (tmp_path / "blobs" / f"kanvas-sealed/{first}/{KEY}").write_bytes(before)
    assert await read_whole(blobs, KEY) == PNG
    assert await blobs.move(KEY, first, second)
    assert not await blobs.move(KEY, first, second)
    assert await blobs.move(KEY, second, None)
    assert (tmp_path / "blobs" / KEY).read_bytes() == PNG
    assert await read_whole(blobs, KEY) == PNG


async def test_a_file_that_was_on_its_way_when_its_key_went_is_under_the_next(
    rig: Rig, tmp_path: Path, vault: Vault
) -> None:
    """Z4: it may not be lost with the key."""
    first = vault.cipher.key_id
    assert first is not None
    changed: list[str | None] = []

    async def source() -> AsyncIterator[bytes]:
        yield PNG[:100]
        changed.append(await change(vault._database))
        await as_system(vault._database).write(lambda conn: delete_key(conn, first))
        yield PNG[100:]

    await rig.blobs.put(KEY, source(), size_bytes=len(PNG), content_type="image/png")
    assert stored(tmp_path / "blobs") == [f"kanvas-sealed/{changed[0]}/{KEY}"]
    other = SealedBlobs(FileBlobs(tmp_path / "blobs", SECRET), await another(vault), SECRET)
    assert await read_whole(other, KEY) == PNG


async def another(vault: Vault) -> Vault:
    """That of another process."""
    found = Vault(vault._database, VaultCipher(MASTERS))
    await found.refresh()
    return found


async def test_keys_of_other_processes_are_learned_when_something_is_not_found(
    rig: Rig, tmp_path: Path, vault: Vault
) -> None:
    """Z3."""
    await change(vault._database)
    other = SealedBlobs(FileBlobs(tmp_path / "blobs", SECRET), await another(vault), SECRET)
    await put(other)
    assert await read_whole(rig.blobs, KEY) == PNG
    assert await keys(rig.blobs) == [KEY]
    await put(rig.blobs, "later")
    await change(vault._database, to_plain=True)
    await put(rig.blobs, "plain")
    assert (tmp_path / "blobs" / "plain").read_bytes() == PNG


async def test_reads_while_files_move_find_them(rig: Rig, vault: Vault) -> None:
    """Z6: wherever they are at that moment."""
    blobs = sealed(rig)
    names = [f"images/ada/{number}" for number in range(8)]
    for name in names:
        await put(blobs, name)
    over = asyncio.Event()
    counts = [0, 0]

    async def read_on(reader: int) -> None:
        while not over.is_set():
            for name in names:
                assert await read_whole(blobs, name, 5, 700) == PNG[5:700]
                assert await blobs.find(name) is not None
                counts[reader] += 1

    readers = [asyncio.create_task(read_on(reader)) for reader in range(2)]
    turns = 0
    while turns < 3 or (min(counts) <= 10 and not any(one.done() for one in readers)):
        turns += 1
        before = vault.cipher.key_id
        after = await change(vault._database)
        await vault.refresh()
        for name in names:
            assert await blobs.move(name, before, after)
            await asyncio.sleep(0)
    over.set()
    await asyncio.gather(*readers)


async def test_an_upload_in_parts_goes_on_under_another_key(rig: Rig, tmp_path: Path, vault: Vault) -> None:
    """Z6: and a part that came twice counts once."""
    blobs = sealed(rig)
    parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
    bodies = [bytes(MIN_PART_BYTES), b"two", b"end"]

    async def send(number: int, body: bytes) -> None:
        signed = await blobs.sign_part(KEY, parts_id, number, size_bytes=len(body), expires_s=60)
        assert (await ask(rig.http, signed, body)).is_success

    await send(1, bodies[0])
    await send(2, bodies[1])
    first = vault.cipher.key_id
    after = await change(vault._database)
    await vault.refresh()
    async with aclosing(blobs.list_under(first)) as found:
        moving = [info.key async for info in found]
    assert len(moving) == 3
    for name in moving:
        assert await blobs.move(name, first, after)
    await send(2, bodies[2])
    parts = await blobs.list_parts(KEY, parts_id)
    assert [(one.number, one.size_bytes) for one in parts] == [(1, MIN_PART_BYTES), (2, 3)]
    assert await keys(blobs) == []
    await blobs.finish_parts(KEY, parts_id, parts)
    assert await read_whole(blobs, KEY, MIN_PART_BYTES - 1) == b"\0end"
    assert stored(tmp_path / "blobs") == [f"kanvas-sealed/{after}/{KEY}"]


async def test_an_upload_from_before_encryption_is_given_up(rig: Rig, tmp_path: Path) -> None:
    plain = FileBlobs(tmp_path / "blobs", SECRET)
    parts_id = await plain.start_parts(KEY, content_type="video/mp4")
    assert [one.parts_id async for one in rig.blobs.list_started()] == [parts_id]
    with pytest.raises(BlobNotFound):
        await rig.blobs.list_parts(KEY, parts_id)
    await rig.blobs.abort_parts(KEY, parts_id)
    assert [one.parts_id async for one in rig.blobs.list_started()] == []


async def test_a_bucket_holds_nothing_anybody_could_read(
    weed: Weed, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Z5: in a bucket, with ranges, parts and a change of keys; addresses are our own."""
    from server.blobs.s3 import open_bucket as open_s3

    data = random.Random(5).randbytes(200_000)
    async with open_bucket(weed) as bucket:
        for name, value in bucket.env.items():
            monkeypatch.setenv(name, value)
        address = read_address(bucket.url)
        assert isinstance(address, BucketAddress)
        async with open_s3(address) as s3:
            blobs = SealedBlobs(s3, vault, SECRET)
            await put(blobs, KEY, data)
            parts_id = await blobs.start_parts("whole", content_type="video/mp4")
            await blobs.put_part("whole", parts_id, 1, once(data), size_bytes=len(data))
            await blobs.finish_parts("whole", parts_id, await blobs.list_parts("whole", parts_id))
            before, after = vault.cipher.key_id, await change(vault._database)
            await vault.refresh()
            for key in (KEY, "whole"):
                assert await read_whole(blobs, key, 70_000, 140_000) == data[70_000:140_000]
                assert await blobs.move(key, before, after)
                assert await read_whole(blobs, key) == data
            assert await keys(s3) == [f"kanvas-sealed/{after}/{KEY}", f"kanvas-sealed/{after}/whole"]
            assert data[:50] not in await read_whole(s3, f"kanvas-sealed/{after}/{KEY}")
            signed = await blobs.sign_get(KEY, content_type="image/png", disposition="inline", expires_s=60)
            assert signed.url.startswith("/blobs/")
            await blobs.delete([KEY, "whole"])
            assert await keys(s3) == []
