"""The repository as a list of files, for the tests that look at all of it.

Owns: which files are ours (sources and texts, not what was installed, built or generated).
"""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = frozenset({"node_modules", "dist", "build", "test-results", "__pycache__"})
OUR_DOT_FOLDERS = frozenset({".make", ".ci", ".deploy"})
PEERS = "tests/load/peers/"
PYTHON_LOCKS = (
    "requirements.lock",
    "requirements-test.lock",
    "requirements-extras.lock",
    "requirements-node.lock",
    f"{PEERS}requirements.lock",
)
CLIENT_LOCKS = ("static/package-lock.json", f"{PEERS}package-lock.json")
LOCKS = (*PYTHON_LOCKS, *CLIENT_LOCKS)


def our_files(*suffixes: str, below: str = ".") -> Iterator[Path]:
    """Our files with one of these suffixes (all files when none is given), without the locks."""
    for where, folders, files in os.walk(ROOT / below):
        folders[:] = sorted(name for name in folders if is_ours(Path(where) / name))
        for name in sorted(files):
            path = Path(where) / name
            if (not suffixes or path.suffix in suffixes) and path.relative_to(ROOT).as_posix() not in LOCKS:
                yield path


def is_ours(folder: Path) -> bool:
    if folder == ROOT / ".make" / "state":
        return False
    return folder.name in OUR_DOT_FOLDERS or (folder.name not in NOT_OURS and not folder.name.startswith("."))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
