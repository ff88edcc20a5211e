"""Work for child processes that tests need: it hangs, it dies, it fails, it looks around.

Apart from the tests, because a child imports the module its work comes from.
"""

import os
import re
import sys
import time
from typing import Any


def hold_the_gil(*_: Any) -> bytes:
    """Never comes back, and no other thread of its process runs: as a call into pycrdt that hangs."""
    re.match(r"(a+)+$", "a" * 64 + "b")
    return b""


def die(*_: Any) -> bytes:
    """As a process that ran out of memory."""
    os._exit(1)


def fail(*_: Any) -> bytes:
    """With a TimeoutError of its own, which is not the deadline's."""
    raise TimeoutError("of the work itself")


def echo(value: bytes, pause_s: float = 0.0) -> tuple[bytes, int]:
    """What it was given and the process it was done in."""
    time.sleep(pause_s)
    return value, os.getpid()


def is_imported(name: str) -> bool:
    """Whether its process has this module."""
    return name in sys.modules


marks: list[str] = []


def leave_a_mark() -> None:
    """In the process it is called in."""
    marks.append("prepared")


def mark() -> str:
    """What was left there."""
    return marks[-1]
