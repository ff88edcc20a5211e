"""A consistent copy of the database while it is in use.

Owns: the copy of a SQLite file. Does not own: assets (files of their own) and backups of PostgreSQL
(pg_dump).

Rules kept: the target appears complete, checked and fsynced, or not at all; nothing is ever overwritten;
writers are not held up (the copy is one read snapshot of the WAL). Source: sqlite.org/backup.html.
"""

import errno
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from db.postgres_url import is_postgres
from db.sqlite import sqlite_path, translate
from party.errors import Conflict, Invalid, Unavailable

# File systems that have no hard links say one of these.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def backup_sqlite(url: str, target: Path) -> None:
    """Copy the database that `url` names to the new file `target` (readable by its owner only).

    The copy is one file without a WAL, ready to be put in the place of the original. Raises Invalid (not a
    sqlite:/// URL; PostgreSQL has pg_dump), Conflict (`target` exists), Unavailable (no such database, disk
    full, damaged). Blocks.
    """
    if is_postgres(url):
        raise Invalid(
            "This database is PostgreSQL's, whose own tool makes the backup while the server runs: "
            "PGOPTIONS='-c kanvas.system=on' pg_dump --enable-row-security --format=custom "
            "--file=kanvas.dump and then its address; pg_restore brings it back."
        )
    source = sqlite_path(url)
    target = target.absolute()
    if os.path.lexists(target):
        raise Conflict(f"{target} exists; a backup never overwrites anything.")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise Unavailable(f"{target.parent} can't be written to: {error.strerror}.") from error
    os.close(descriptor)
    copy = Path(name)
    try:
        _copy(source, copy)
        _sync(copy)
        publish(copy, target)
    except OSError as error:
        raise Unavailable(f"{target} can't be written: {error.strerror}.") from error
    finally:
        copy.unlink(missing_ok=True)
    _sync(target.parent)


def _copy(source: Path, copy: Path) -> None:
    try:
        # mode=rw: a misspelt name must not become an empty database and an empty backup of it.
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)) as original,
            closing(sqlite3.connect(copy)) as duplicate,
        ):
            # All pages in one step, so one snapshot: in several, each foreign write would start it again.
            original.backup(duplicate, pages=-1)
            duplicate.execute("PRAGMA journal_mode=DELETE").fetchone()
            verdict = duplicate.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise translate(error) from error
    if verdict != "ok":
        raise Unavailable(f"The copy is damaged, so the original is too: {verdict}.")


def publish(copy: Path, target: Path) -> None:
    """Give the copy its name: atomic, and failing if the name is taken meanwhile."""
    try:
        os.link(copy, target)
    except FileExistsError as error:
        raise Conflict(f"{target} exists; a backup never overwrites anything.") from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise Conflict(f"{target} exists; a backup never overwrites anything.") from error
        copy.rename(target)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
