"""Files that are there whole or not at all: what FileBlobs does in threads.

Owns: safe paths, temporary files, names that appear without overwriting, durability. Everything here blocks.
Rules: a name appears only when its bytes are on the disk (temporary file, fsync, hard link, fsync of the
folders); of two that want one name exactly one gets it; nothing below the root is reached through a symbolic
link; names that begin with a dot are ours and no keys.
Source: link(2) and rename(2): rename would overwrite, link fails with EEXIST.
"""

import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from server.secret import fsync_folder

INCOMING: Final = ".incoming"
"""Temporary files, on the file system of the blobs."""

PARTS: Final = ".parts"
DEAD_AFTER_S: Final = 86_400.0
"""A temporary file nobody has written to for so long was left by a process that was killed."""

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def make_folder(root: Path, folder: Path) -> None:
    """The folder below `root`, durably, and no symbolic link on the way. Raises OSError."""
    missing = []
    at = folder
    while not at.is_dir():
        missing.append(at)
        at = at.parent
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
        fsync_folder(one.parent)
    check_inside(root, folder)


def check_inside(root: Path, folder: Path) -> None:
    """Raises OSError (ELOOP) when the way from the root to the folder leads through a symbolic link."""
    at = folder
    while at != root:
        if at.is_symlink():
            raise OSError(errno.ELOOP, "there is a symbolic link among the stored files", str(at))
        at = at.parent


def start(root: Path) -> tuple[BinaryIO, Path]:
    """An empty temporary file. Raises OSError."""
    folder = root / INCOMING
    make_folder(root, folder)
    handle, name = tempfile.mkstemp(dir=folder)
    return os.fdopen(handle, "wb", buffering=0), Path(name)


def write_all(file: BinaryIO, data: bytes) -> None:
    """All of it: an unbuffered write may take less (a disk that is nearly full)."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def sync(file: BinaryIO) -> None:
    """Onto the disk."""
    os.fsync(file.fileno())


def publish(root: Path, temporary: Path, target: Path) -> None:
    """Give the finished file its name. Raises FileExistsError when the name is taken, OSError."""
    for attempt in range(5):
        try:
            make_folder(root, target.parent)
            os.link(temporary, target, follow_symlinks=False)
        except FileNotFoundError:
            # somebody removed the last blob of a folder on the way, and the folder with it, between our steps
            if attempt == 4:
                raise
            continue
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise OSError(error.errno, "the file system knows no hard links; take another one") from error
            raise
        break
    fsync_folder(target.parent)
    temporary.unlink(missing_ok=True)


def open_whole(root: Path, path: Path) -> BinaryIO:
    """A stored file. Raises FileNotFoundError for what is none (a link, a folder, a device), OSError."""
    try:
        check_inside(root, path)
        # O_NONBLOCK: a pipe somebody put there would hold the thread until somebody writes to it
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        handle = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR):
            raise FileNotFoundError(errno.ENOENT, "no stored file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "no stored file", str(path))
    return os.fdopen(handle, "rb", buffering=0)


def look(root: Path, path: Path) -> os.stat_result | None:
    """What a stored file is like; None when there is none. Raises OSError."""
    try:
        check_inside(root, path.parent)
        found = path.lstat()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            return None
        raise
    return found if stat.S_ISREG(found.st_mode) else None


def remove(root: Path, path: Path) -> None:
    """Remove a stored file, and the folders it leaves empty. Raises OSError."""
    if look(root, path) is None:
        return
    path.unlink(missing_ok=True)
    at = path.parent
    while at != root:
        try:
            at.rmdir()
        except OSError:
            # not empty, or somebody was faster: either way it is not ours to remove
            break
        at = at.parent
    while True:
        try:
            fsync_folder(at)
        except FileNotFoundError:
            # that somebody removed it meanwhile is in the one above
            if at == root:
                raise
            at = at.parent
        else:
            return


def walk(root: Path, below: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All stored files below a folder that is not one of ours. Raises OSError."""
    try:
        check_inside(root, below)
        entries = sorted(os.scandir(below), key=lambda one: one.name)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            return
        raise
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from walk(root, Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            try:
                yield Path(entry.path), entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue


def remove_tree(folder: Path) -> None:
    """A folder of ours and what is in it; it may not be there. Raises OSError."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return


def remove_dead(root: Path) -> int:
    """Remove the temporary files of processes that were killed; returns how many. Raises OSError."""
    before_s = time.time() - DEAD_AFTER_S
    removed = 0
    try:
        entries = list(os.scandir(root / INCOMING))
    except FileNotFoundError:
        return 0
    for entry in entries:
        try:
            if entry.stat(follow_symlinks=False).st_mtime < before_s:
                Path(entry.path).unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed
