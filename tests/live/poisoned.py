"""Kanvas, but its document library hangs, crashes or panics on marked edits: `python -m tests.live.poisoned`.

Native code that fails is played by native code that fails: a sleep that keeps the interpreter's lock, a
segmentation fault. Environment: TEST_PID_FILE gets the serving process's id, and a file beside it is there
once that hangs; TEST_MARKS names the marks that count.
"""

import ctypes
import os
import signal
from pathlib import Path

from party.document import Document
from server.__main__ import main

HANG, CRASH, PANIC = b"HANG-NOW", b"CRASH-NOW", b"PANIC-NOW"


class PanicException(BaseException):
    """As the library's own is called."""


def poison(update: bytes) -> None:
    marks = os.environ.get("TEST_MARKS", "HANG-NOW CRASH-NOW PANIC-NOW").encode().split()
    if HANG in update and HANG in marks:
        Path(os.environ["TEST_PID_FILE"]).with_suffix(".hangs").touch()
        # PyDLL keeps the lock, so no other thread runs; and a signal ends a sleep
        while True:
            ctypes.PyDLL(None).sleep(1000)
    if CRASH in update and CRASH in marks:
        os.kill(os.getpid(), signal.SIGSEGV)
    if PANIC in update and PANIC in marks:
        raise PanicException("called `Option::unwrap()` on a `None` value")


def poisoned_apply(self: Document, update: bytes) -> None:
    try:
        poison(update)
    except PanicException as panic:
        from party.errors import DocumentBroken

        raise DocumentBroken from panic
    apply(self, update)


def write_pid() -> None:
    path = Path(os.environ["TEST_PID_FILE"])
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(str(os.getpid()), encoding="ascii")
    part.replace(path)
    if os.environ.get("TEST_MARKS") == "AT-START":
        os.kill(os.getpid(), signal.SIGSEGV)


apply = Document.apply

if __name__ == "__main__":
    Document.apply = poisoned_apply  # type: ignore[method-assign]
    os.register_at_fork(after_in_child=write_pid)
    main()
