"""One S3 server for the session."""

from collections.abc import Iterator

import pytest

from tests.blobs.weed import Weed, open_weed


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """SeaweedFS, started by the first test that needs it."""
    with open_weed(tmp_path_factory.mktemp("weed")) as server:
        yield server
