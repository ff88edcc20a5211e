"""Checkpoint computation off the event loop.

Owns: one child process that replays documents. Does not own: when (hub) and what (document).
pycrdt holds the GIL in every call, so a thread would stall every room; a child process does not.
"""

import asyncio
import multiprocessing
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from multiprocessing.process import BaseProcess
from typing import Final

from party.document import make_checkpoint
from party.errors import Unavailable
from party.ports import Checkpoint, StoredRoom

INLINE_BYTES: Final = 64 * 1024
"""Below this replaying takes about a millisecond, less than asking a child."""


def _end_with_parent() -> None:
    """Run in the child: a killed server can't end it, and it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


class Compactor:
    """Computes checkpoints: small ones at once, large ones in a child process that starts on first use."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def __call__(self, stored: StoredRoom) -> Checkpoint:
        """The room's checkpoint at its `seq`. Raises DocumentBroken, Unavailable (the child died)."""
        if len(stored.checkpoint or b"") + sum(map(len, stored.updates)) <= INLINE_BYTES:
            return make_checkpoint(stored)
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, make_checkpoint, stored)
        except BrokenProcessPool as exc:
            self._pool = None
            raise Unavailable("The process that computes checkpoints ended; it is started anew.") from exc

    def close(self) -> None:
        """End the child without waiting for what it is doing: a checkpoint can always be made later."""
        children = self.children()
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.terminate()

    def children(self) -> list[BaseProcess]:
        """The child process, once there is one."""
        return list((self._pool._processes or {}).values()) if self._pool is not None else []


@asynccontextmanager
async def open_compactor() -> AsyncIterator[Compactor]:
    compactor = Compactor()
    try:
        yield compactor
    finally:
        compactor.close()
