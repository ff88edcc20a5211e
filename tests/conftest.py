"""What tests of several folders share: an S3 server, a PostgreSQL and a Redis server for each session.

And the order they run in, which `make test` keeps (`--no-loadscope-reorder`).
"""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import structlog
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.backends.postgres import Postgres
    from tests.backends.valkey import Valkey
    from tests.blobs.weed import Weed


TESTS: Final = Path(__file__).parent
LONG: Final = frozenset({"browser", "faults", "fuzz", "live", "load", "packaging", "yjs"})
"""Folders whose files take many seconds each; they are through when a sixth of the others is left."""

# No clock, and the same examples on every run, so that a red run can be repeated. A test has the profile of
# the moment it is imported in: here it is before all of them.
settings.register_profile(
    "kanvas",
    deadline=None,
    derandomize=True,
    max_examples=60,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kanvas")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of all folders in turn: browsers, which keep the processors busy, run beside what waits, and no
    worker comes to a long file when the others are done."""
    files = list(dict.fromkeys(item.path for item in items))
    folders = Counter(path.relative_to(TESTS).parts[0] for path in files)
    place, seen = dict[Path, float](), Counter[str]()
    for path in files:
        folder = path.relative_to(TESTS).parts[0]
        place[path] = (seen[folder] + 0.5) / folders[folder] * (5 / 6 if folder in LONG else 1)
        seen[folder] += 1
    items.sort(key=lambda item: place[item.path])


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A command that was run in this process has set them up for its own, captured, output."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        root = logging.getLogger()
        root.setLevel(logging.WARNING)
        ours = structlog.stdlib.ProcessorFormatter
        root.handlers = [one for one in root.handlers if not isinstance(one.formatter, ours)]


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Weed"]:
    """SeaweedFS, started by the first test that needs it."""
    # the S3 library takes a while to import, and most tests do without
    from tests.blobs.weed import open_weed

    with open_weed(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator["Postgres"]:
    """PostgreSQL without fsync, for tests that leave it running. Who stops it starts one of its own."""
    from tests.backends.postgres import open_postgres

    with open_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: "Postgres") -> str:
    """The name of a migrated database, for `postgres.create`."""
    from db import postgres as product
    from db.migrate import upgrade

    url = postgres.create()
    with pytest.MonkeyPatch.context() as patience:
        # all tests of this worker that need it hang on this one connection
        patience.setattr(product, "CONNECT_S", 60)
        upgrade(url)
    return url.rpartition("/")[2]


@pytest.fixture
def server_url(postgres: "Postgres", postgres_template: str) -> Iterator[str]:
    """A migrated database on PostgreSQL with nothing in it. Emptied afterwards: making one takes 0.3 s."""
    from db.tables import metadata

    yield postgres.url(postgres_template)
    tables = [table.name for table in reversed(metadata.sorted_tables)]
    # the audit log can't be emptied while its triggers look
    statements = ["SET session_replication_role = replica", *(f"DELETE FROM {name}" for name in tables)]
    postgres.sql("; ".join(statements), postgres_template)


@pytest.fixture(scope="session")
def valkey() -> Iterator["Valkey"]:
    """A Redis server, for tests that leave it running. Who stops it starts one of its own."""
    from tests.backends.valkey import open_valkey

    with open_valkey() as server:
        yield server
