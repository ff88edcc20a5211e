"""The world of the walk, on each database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.backends.postgres import Postgres
from tests.server.edge import open_edge
from tests.server.tenants.world import World, make_world


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, empty_database: Path) -> Path | str:
    """The walk is made on both databases."""
    if request.param == "sqlite":
        return empty_database
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create(request.getfixturevalue("postgres_template"))


@pytest_asyncio.fixture
async def world(where: Path | str, tmp_path: Path) -> AsyncIterator[World]:
    async with open_edge(tmp_path, where, jobs=False) as edge:
        yield await make_world(edge)
