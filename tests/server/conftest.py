"""A migrated database, made once: migrating takes half a second, copying nothing. And patience."""

from pathlib import Path

import pytest

from db import postgres
from db.migrate import upgrade
from server import access, health, visits
from server.audit import refusals


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database at its newest revision, with nothing in it. To be copied, not used."""
    path = tmp_path_factory.mktemp("migrated") / "kanvas.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the server gives up after 2 or 3 s, to answer or to end in time, takes a busy machine longer.

    Tests of these deadlines set their own.
    """
    monkeypatch.setattr(access, "CHANGED_S", 60)
    monkeypatch.setattr(health, "DEADLINE_S", 60)
    monkeypatch.setattr(visits, "CLOSE_S", 60)
    monkeypatch.setattr(refusals, "CLOSE_S", 60)
    monkeypatch.setattr(postgres, "CONNECT_S", 60)
