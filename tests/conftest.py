"""What tests of several folders share: one S3 server for the session."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.blobs.weed import Weed


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Weed"]:
    """SeaweedFS, started by the first test that needs it."""
    # the S3 library takes a while to import, and most tests do without
    from tests.blobs.weed import open_weed

    with open_weed(tmp_path_factory.mktemp("weed")) as server:
        yield server
