"""Fixtures of the tests about files."""

from pathlib import Path

import pytest

from tests.media.table import Table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)
