"""Encrypted blobs: the contract on files and on S3, and what only encryption can do wrong."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from db.cipher import list_keys
from db.database import Database, open_database
from db.errors import Damaged
from db.keys import change_key, insert_first_key
from server.blobs.base import MIN_PART_BYTES
from server.blobs.errors import BadKey, BlobExists, BlobNotFound
from server.blobs.files import FileBlobs
from server.blobs.routes import signed_app
from server.blobs.sealed import SEALED, SealedBlobs
from server.blobs.trial import read_whole
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key
from server.vault.opening import Vault
from server.vault.segments import (
    HEADER_BYTES,
    SEALED_BYTES,
    SEGMENT_BYTES,
    Opener,
    Sealer,
    plain_size,
    sealed_size,
)
from tests.blobs.blobs_contract import KEY, PNG, BlobsContract, Rig, keys, put
from tests.blobs.strict import open_bucket

SECRET = b"not-a-secret-but-long-enough-for-this"
MASTERS = {"a": b"m" * 32}


@pytest.fixture
async def database(empty_database: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(empty_database, tmp_path / "kanvas.db")
    async with open_database(f"sqlite:///{tmp_path / 'kanvas.db'}") as database:
        yield database


@pytest.fixture
async def vault(database: Database) -> Vault:
    first = make_key(MASTERS, datetime.now(UTC))
    return Vault(
        database, VaultCipher(MASTERS, await database.write(lambda conn: insert_first_key(conn, first)))
    )


async def change(vault: Vault, *, to_plain: bool = False, hidden: bool = False) -> None:
    """Another key, as another process makes it; hidden, this one does not know yet."""
    now = datetime.now(UTC) + timedelta(milliseconds=1)
    key = None if to_plain else make_key(MASTERS, now)
    await vault._database.write(lambda conn: change_key(conn, key, now))
    if not hidden:
        await vault.refresh()


@pytest.fixture
async def rig(tmp_path: Path, vault: Vault) -> AsyncIterator[Rig]:
    blobs = SealedBlobs(FileBlobs(tmp_path / "blobs", SECRET), vault, SECRET)
    transport = httpx2.ASGITransport(app=signed_app(blobs))
    async with httpx2.AsyncClient(transport=transport, base_url="http://kanvas.test") as http:
        yield Rig(blobs, http)


class TestSealedFiles(BlobsContract):
    """Z5: encrypted, they are the same blobs."""
