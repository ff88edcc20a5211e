"""What is installed, remembered by content: the hash of the inputs each step was done with.

Owns: the stamp file, content hashes, the lock between two commands. Rule: a stamp is written only after
its step ended well, and removed before the step begins again, so a killed step is a missing stamp.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from report import STATE, say


class Stamps:
    """A small JSON file of names and texts, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            read = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            read = {}
        self._values: dict[str, str] = read if isinstance(read, dict) else {}

    def get(self, name: str) -> str | None:
        return self._values.get(name)

    def put(self, name: str, value: str) -> None:
        self._values[name] = value
        self._store()

    def drop(self, name: str) -> None:
        if self._values.pop(name, None) is not None:
            self._store()

    def _store(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_text(json.dumps(self._values, indent=1, sort_keys=True), encoding="utf-8")
        part.replace(self._path)


def hash_files(paths: Iterable[Path], base: Path) -> str:
    """SHA-256 over the names (relative to base) and bytes of files, in sorted order."""
    total = hashlib.sha256()
    for path in sorted(paths):
        total.update(f"{path.relative_to(base).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def files_below(folder: Path, left_out: frozenset[str]) -> Iterator[Path]:
    """All files below a folder, without the folders and files of these names and without dot-folders."""
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in left_out and not name.startswith(".")]
        for name in files:
            if name not in left_out and not name.endswith(".tsbuildinfo"):
                yield Path(where) / name


@contextmanager
def alone() -> Iterator[None]:
    """One command at a time installs in this folder; a second one waits. Children inherit the lock."""
    STATE.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(STATE / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    os.set_inheritable(descriptor, True)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("  Another make is installing in this folder; waiting for it (Ctrl-C gives up) …")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
