"""A lock on a folder that ends with its process, however that ends.

Owns: taking it, and asking whether somebody has it. Source: flock(2); a lock belongs to the opened file, so
it is gone with the last descriptor. There is none on Windows and on some network disks.
"""

import os
import sys
import time
from pathlib import Path
from typing import Final

CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)

LOOKS: Final = 20
LOOK_S: Final = 0.001
"""Who only asks whether somebody has it has it for microseconds."""


def hold(folder: Path) -> int | None:
    """A descriptor: the lock is ours until it is closed. None: somebody has it, or there are no locks here.

    Raises OSError when there is no such folder.
    """
    for _ in range(LOOKS):
        try:
            return _take(folder)
        except BlockingIOError:
            time.sleep(LOOK_S)
    return None


def is_free(folder: Path) -> bool:
    """True when nobody has it; False also where there are no locks. Raises OSError when it is not there."""
    try:
        opened = _take(folder)
    except BlockingIOError:
        return False
    if opened is None:
        return False
    os.close(opened)
    return True


def _take(folder: Path) -> int | None:
    """None: there are no locks here. Raises BlockingIOError when somebody has it, OSError."""
    if sys.platform == "win32":
        return None
    import fcntl  # noqa: PLC0415 - not on Windows

    opened = os.open(folder, os.O_RDONLY | CLOSE_ON_EXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise
    except OSError:
        os.close(opened)
        return None
    return opened
