"""A lock on a folder that ends with its process, however that ends.

Owns: taking it, and asking whether somebody has it. Source: flock(2); a lock belongs to the opened file, so
it is gone with the last descriptor. There is none on Windows and on some network disks.
"""

import os
import sys
from pathlib import Path

CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)


def hold(folder: Path) -> int | None:
    """A descriptor: the lock is ours until it is closed. None: somebody has it, or there are no locks here.

    Raises OSError when there is no such folder.
    """
    if sys.platform == "win32":
        return None
    import fcntl  # noqa: PLC0415 - not on Windows

    opened = os.open(folder, os.O_RDONLY | CLOSE_ON_EXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(opened)
        return None
    return opened


def is_free(folder: Path) -> bool:
    """True when nobody has it; False also where there are no locks. Raises OSError when it is not there."""
    opened = hold(folder)
    if opened is None:
        return False
    os.close(opened)
    return True
