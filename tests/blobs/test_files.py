"""Blobs as files: the contract, and what only files can do wrong."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from server.blobs.files import FileBlobs
from server.blobs.routes import signed_app
from tests.blobs.blobs_contract import BlobsContract, Rig

SECRET = b"not-a-secret-but-long-enough-for-this"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    blobs = FileBlobs(tmp_path / "blobs", SECRET)
    transport = httpx2.ASGITransport(app=signed_app(blobs))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kanvas.test") as http:
        yield Rig(blobs, http)


class TestFileBlobs(BlobsContract):
    """The contract."""
