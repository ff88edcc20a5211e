"""Blobs in a bucket of a real S3 server behind a filter as strict as R2: the contract, and what S3 adds."""

import asyncio
import itertools
import random
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import httpx2
import pytest
import pytest_asyncio

from party.errors import Unavailable
from server.blobs.address import BucketAddress, read_address
from server.blobs.base import IMMUTABLE
from server.blobs.s3 import S3Blobs
from server.blobs.s3 import open_bucket as open_s3
from server.blobs.trial import describe, read_whole, try_blobs
from server.settings import SettingsError
from tests.blobs.blobs_contract import KEY, PNG, BlobsContract, Rig, keys, put
from tests.blobs.strict import Bucket, open_bucket
from tests.blobs.weed import Weed, sign_by_hand
from tests.servers import free_port

# one client for all: to make one takes 0.3 s
pytestmark = pytest.mark.asyncio(loop_scope="module")
NUMBERS = itertools.count()


@dataclass(frozen=True, slots=True)
class Storage:
    """An open bucket; each test gets what is below a prefix of its own."""

    bucket: Bucket
    address: BucketAddress
    blobs: S3Blobs


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage(weed: Weed) -> AsyncIterator[Storage]:
    with pytest.MonkeyPatch.context() as environ:
        async with open_bucket(weed) as bucket:
            for name, value in bucket.env.items():
                environ.setenv(name, value)
            address = read_address(bucket.url)
            assert isinstance(address, BucketAddress)
            async with open_s3(address) as blobs:
                yield Storage(bucket, address, blobs)


@pytest_asyncio.fixture(loop_scope="module")
async def rig(storage: Storage) -> AsyncIterator[Rig]:
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
        yield Rig(storage.blobs.below(f"test-{next(NUMBERS)}/"), http)


class TestS3Blobs(BlobsContract):
    """The contract."""

    async def test_its_own_trials_pass_and_leave_nothing_while_addresses_expire(
        self, rig: Rig, storage: Storage
    ) -> None:
        strict = storage.bucket.strict
        strict.refused.clear()
        strict.requests.clear()
        await super().test_its_own_trials_pass_and_leave_nothing_while_addresses_expire(rig)
        assert len(strict.requests) > 20
        # nor does the filter mind anything we do, even in passing
        assert strict.refused == []


async def test_what_the_server_stores_is_cached_for_good_and_has_its_type(storage: Storage, rig: Rig) -> None:
    await put(rig.blobs)
    key = storage.bucket.strict.requests[-1].target.partition("?")[0]
    url = f"{storage.address.endpoint}{key}"
    answer = await rig.http.get(sign_by_hand("GET", url, {}))
    assert answer.content == PNG
    assert answer.headers["cache-control"] == IMMUTABLE
    assert answer.headers["content-type"] == "image/png"


async def test_credentials_of_somebody_else_are_refused(storage: Storage, rig: Rig) -> None:
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("AWS_SECRET_ACCESS_KEY", "of somebody else")
        async with open_s3(storage.address) as blobs:
            for attempt in (put(blobs), read_whole(blobs, KEY), keys(blobs)):
                with pytest.raises(Unavailable, match="SignatureDoesNotMatch") as refused:
                    await attempt
                assert refused.value.__cause__ is not None
            lines = await try_blobs(blobs, rig.http)
            assert [line.passed for line in lines] == [False] * 8
            assert "SignatureDoesNotMatch" in lines[0].told


async def test_no_credentials_are_told_as_a_setting(storage: Storage) -> None:
    with pytest.MonkeyPatch.context() as environ:
        for name in storage.bucket.env:
            environ.delenv(name)
        environ.setenv("AWS_EC2_METADATA_DISABLED", "true")
        environ.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        environ.setenv("AWS_CONFIG_FILE", "/dev/null")
        with pytest.raises(SettingsError, match="set AWS_ACCESS_KEY_ID"):
            async with open_s3(storage.address):
                raise AssertionError("it opened")


async def test_a_storage_that_does_not_answer_is_told_with_its_cause(storage: Storage) -> None:
    address = replace(storage.address, endpoint=f"http://127.0.0.1:{free_port()}")
    async with open_s3(address) as blobs:
        told = await asyncio.gather(
            *(put(blobs), blobs.find(KEY), read_whole(blobs, KEY), blobs.delete([KEY]), keys(blobs)),
            return_exceptions=True,
        )
        for one in told:
            assert isinstance(one, Unavailable)
            assert "does not answer" in one.message
            assert "127.0.0.1" not in one.message, "which is for the operator"
            assert "127.0.0.1" in describe(one)


async def test_a_read_that_is_cut_off_goes_on_from_there(storage: Storage, rig: Rig) -> None:
    data = random.Random(3).randbytes(1_000_000)
    await put(rig.blobs, data=data)
    storage.bucket.strict.requests.clear()
    storage.bucket.strict.cut_after_bytes = 300_000
    assert await read_whole(rig.blobs, KEY) == data
    ranges = [one.headers.get("range") for one in storage.bucket.strict.requests]
    assert ranges[0] is None
    assert len(ranges) == 2
    storage.bucket.strict.cut_after_bytes = 300_000
    assert await read_whole(rig.blobs, KEY, 100, 900_000) == data[100:900_000]


async def test_pages_of_named_origins_and_no_others_may_use_the_bucket(storage: Storage, rig: Rig) -> None:
    assert await rig.blobs.allow_origins(["https://kanvas.example.org"])
    signed = await rig.blobs.sign_put(KEY, size_bytes=1, content_type="image/png", expires_s=60)

    async def preflight(origin: str, method: str = "PUT") -> httpx2.Response:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "content-type,if-none-match",
        }
        return await rig.http.options(signed.url, headers=asked)

    allowed = await preflight("https://kanvas.example.org")
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://kanvas.example.org"
    assert (await preflight("https://evil.example.org")).status_code == 403
    assert "DELETE" not in allowed.headers["access-control-allow-methods"]
    answer = await rig.http.put(
        signed.url, headers={**signed.headers, "Origin": "https://kanvas.example.org"}, content=b"x"
    )
    assert answer.is_success
    assert answer.headers["access-control-expose-headers"] == "ETag"


async def test_a_large_blob_takes_constant_memory_both_ways(rig: Rig) -> None:
    size_bytes = 40 * 1024 * 1024
    piece = bytes(64 * 1024)

    async def source() -> AsyncIterator[bytes]:
        for _ in range(size_bytes // len(piece)):
            yield piece

    tracemalloc.start()
    try:
        await rig.blobs.put(KEY, source(), size_bytes=size_bytes, content_type="video/mp4")
        async with aclosing(rig.blobs.read(KEY)) as chunks:
            read_bytes = 0
            async for chunk in chunks:
                if read_bytes == 0:
                    # a reader that stalls: nothing is read ahead for it
                    await asyncio.sleep(0.5)
                read_bytes += len(chunk)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read_bytes == size_bytes
    assert peak_bytes < 6 * 1024 * 1024


async def test_a_storage_that_is_busy_for_a_moment(storage: Storage, rig: Rig) -> None:
    """Asked again by itself, but for a put: its source can't be read twice, and who sent it comes again."""
    strict = storage.bucket.strict
    strict.busy, strict.busy_method = 1, "PUT"
    with pytest.raises(Unavailable, match="the object storage says SlowDown"):
        await put(rig.blobs)
    assert await rig.blobs.find(KEY) is None
    await put(rig.blobs)
    for method, ask in (
        ("GET", partial(read_whole, rig.blobs, KEY)),
        ("GET", partial(keys, rig.blobs)),
        ("HEAD", partial(rig.blobs.find, KEY)),
        ("DELETE", partial(rig.blobs.delete, [KEY])),
    ):
        strict.busy, strict.busy_method = 1, method
        await ask()
        assert strict.busy == 0
    assert await keys(rig.blobs) == []
