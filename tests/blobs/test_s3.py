"""Blobs in a bucket of a real S3 server behind a filter as strict as R2: the contract, and what S3 adds."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import pytest
import pytest_asyncio

from server.blobs.address import BucketAddress, read_address
from server.blobs.s3 import S3Blobs
from server.blobs.s3 import open_bucket as open_s3
from tests.blobs.blobs_contract import BlobsContract, Rig
from tests.blobs.strict import Bucket, open_bucket
from tests.blobs.weed import Weed

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
