"""One S3 server for the session; what needs /proc is run on Linux alone."""

import sys
from collections.abc import Iterator

import pytest

from tests.blobs.weed import Weed, open_weed

ON_LINUX = ["test_live.py", "test_delivery.py"]
collect_ignore = [] if sys.platform == "linux" else ON_LINUX


def pytest_report_header() -> list[str]:
    """Whoever runs this elsewhere is told what is left out."""
    return [f"not run on {sys.platform}: tests/blobs/{name}" for name in collect_ignore]


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """SeaweedFS, started by the first test that needs it."""
    with open_weed(tmp_path_factory.mktemp("weed")) as server:
        yield server
