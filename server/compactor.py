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

DEADLINE_S: Final = 120.0
"""For one checkpoint, the wait for the one before included; 64 MiB take a tenth of it."""

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

    def __init__(self, deadline_s: float = DEADLINE_S) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._deadline_s = deadline_s

    async def __call__(self, stored: StoredRoom) -> Checkpoint:
        """The room's checkpoint at its `seq`. Raises DocumentBroken, Unavailable (the child died or hung)."""
        if len(stored.checkpoint or b"") + sum(map(len, stored.updates)) <= INLINE_BYTES:
            return make_checkpoint(stored)
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent)
        pool = self._pool
        try:
            async with asyncio.timeout(self._deadline_s):
                return await asyncio.get_running_loop().run_in_executor(pool, make_checkpoint, stored)
        except TimeoutError as exc:
            # one document must not keep all others from their checkpoints
            self._end(pool)
            raise Unavailable("A checkpoint took too long; the process that computes them is ended.") from exc
        except BrokenProcessPool as exc:
            if self._pool is pool:
                self._pool = None
            raise Unavailable("The process that computes checkpoints ended; it is started anew.") from exc

    def close(self) -> None:
        """End the child without waiting for what it is doing: a checkpoint can always be made later."""
        if self._pool is not None:
            self._end(self._pool)

    def _end(self, pool: ProcessPoolExecutor) -> None:
        if self._pool is pool:
            self._pool = None
        children = _children(pool)
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            # not terminate: native code that hangs runs no handler, and there is nothing to tidy
            child.kill()

    def children(self) -> list[BaseProcess]:
        """The child process, once there is one."""
        return _children(self._pool) if self._pool is not None else []


def _children(pool: ProcessPoolExecutor) -> list[BaseProcess]:
    return list((pool._processes or {}).values())


@asynccontextmanager
async def open_compactor(deadline_s: float = DEADLINE_S) -> AsyncIterator[Compactor]:
    compactor = Compactor(deadline_s)
    try:
        yield compactor
    finally:
        compactor.close()
