"""Databases of both kinds, migrated and empty, for tests that open the whole application on them."""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Path | str:
    """In the place of `empty_database`: a file to copy, or an address."""
    name = "empty_database" if request.param == "sqlite" else "server_url"
    found: Path | str = request.getfixturevalue(name)
    return found
