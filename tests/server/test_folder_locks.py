"""server.folder_locks: who has a folder, as far as other processes can tell."""

import os
from pathlib import Path

import pytest

from server import folder_locks
from server.folder_locks import hold, is_free


def test_a_lock_is_held_until_it_is_closed(tmp_path: Path) -> None:
    assert is_free(tmp_path)
    lock = hold(tmp_path)
    assert lock is not None
    assert not is_free(tmp_path)
    assert hold(tmp_path) is None
    os.close(lock)
    assert is_free(tmp_path)


def test_who_only_asks_keeps_nobody_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process tidies up at its start; without the lock it would take the folder for left."""
    asking = hold(tmp_path)
    assert asking is not None
    monkeypatch.setattr(folder_locks.time, "sleep", lambda _s: os.close(asking))
    lock = hold(tmp_path)
    assert lock is not None
    os.close(lock)
