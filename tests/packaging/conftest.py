"""Fixtures: one wheel and one environment for all tests of a run."""

from pathlib import Path

import pytest

from tests.packaging import wheels


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    target = tmp_path_factory.mktemp("wheel")
    built = wheels.build(wheels.ROOT, target)
    assert built.returncode == 0, built.stdout
    return next(target.glob("kanvas-*-py3-none-any.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> wheels.Environment:
    """An empty environment into which the wheel was installed."""
    return wheels.install(wheel, tmp_path_factory.mktemp("installed") / "an empty place")
