"""Assets on both storages: the same tests run on files and on a real S3 server.

Owns: one open application per module and storage, since each takes a second; every test has people and rooms
of its own there.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.blobs.strict import Strict, open_bucket
from tests.server.assets.sending import Sender, enter
from tests.server.edge import Edge, open_edge


@dataclass(frozen=True, slots=True)
class Place:
    """The application on one storage. `strict` is what stands before the S3 server; files have none."""

    edge: Edge
    outside: httpx2.AsyncClient
    strict: Strict | None
    folder: Path
    settings: Mapping[str, Any]

    async def contents(self, user_id: str = "") -> list[str]:
        """What is stored of a user (or of all): keys, and parts of uploads that are not finished."""
        blobs = self.edge.services.blobs
        found = [one.key async for one in blobs.list("images/")]
        found += [f"{one.key} (in parts)" async for one in blobs.list_started()]
        if self.strict is None:
            incoming = self.folder / "blobs" / ".incoming"
            found += [path.name for path in incoming.rglob("*")] if incoming.exists() else []
        return sorted(key for key in found if f"images/{user_id}" in key or not key.startswith("images/"))


@pytest.fixture(scope="module")
def credentials() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as environ:
        yield environ


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["files", "s3"])
async def place(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    empty_database: Path,
    credentials: pytest.MonkeyPatch,
) -> AsyncIterator[Place]:
    """An application on files, and one on S3."""
    folder = tmp_path_factory.mktemp("place")
    async with AsyncExitStack() as stack:
        settings: dict[str, Any] = {"import_networks": (ip_network("127.0.0.0/8"),)}
        strict = None
        if request.param == "s3":
            bucket = await stack.enter_async_context(open_bucket(request.getfixturevalue("weed")))
            for name, value in bucket.env.items():
                credentials.setenv(name, value)
            settings["blobs_url"], strict = bucket.url, bucket.strict
        edge = await stack.enter_async_context(open_edge(folder, empty_database, **settings))
        outside = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=60))
        yield Place(edge, outside, strict, folder, settings)


@pytest_asyncio.fixture(loop_scope="module")
async def stream(place: Place, empty_database: Path) -> AsyncIterator[Sender]:
    """Somebody at another process on the same data, which hands out the bytes itself."""
    told = dict(place.settings) | {"asset_delivery": "stream", "jobs": False}
    async with open_edge(place.folder, empty_database, **told) as edge:
        yield await enter(edge, "Sue", place.outside)
