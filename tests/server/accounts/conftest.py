"""A real provider for the session: it takes a second to start."""

from collections.abc import Iterator

import pytest

from tests.server.identity.provider import open_provider


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    with open_provider() as url:
        yield url
