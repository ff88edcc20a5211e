"""Child processes for work that would hold up the event loop, or never end.

Owns: one child per `Child`, started on first use, doing one piece of work at a time, killed when that takes
too long, ended with the server. Does not own: what the work is (`compactor.py`, `readers.py`).
pycrdt holds the GIL in every call, so a thread would stall every room, and nothing in the same process can
stop a call that hangs in native code; a child process can be killed.
Rules: the queue is bounded, every wait has a deadline, and work that hangs costs nobody but who asked for it.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import asynccontextmanager
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Final, ParamSpec, TypeVar

START_S: Final = 60.0
"""For a child to start: 0.3 s, and much more where the processor is elsewhere. No work pays for it."""

NICENESS: Final = 10

P = ParamSpec("P")
T = TypeVar("T")


class Overdue(Exception):
    """The work took longer than its deadline; the child was killed."""


class Crowded(Exception):
    """Too much work waits, or it waited too long for its turn."""


class ChildEnded(Exception):
    """The child ended under the work: out of memory, or killed by somebody."""


class ChildNotStarted(ChildEnded):
    """The child ended before it took any work, so the work is not to blame."""


def _end_with_parent() -> None:
    """Run in the child: a killed server can't end it, and it would wait for work for ever.

    And let rooms go first where there are fewer cores than work.
    """
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    parent = multiprocessing.parent_process()
    if parent is not None and sys.platform == "linux" and _is_killed_with(parent.pid):
        return

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(0)

    threading.Thread(target=watch, name="parent watch", daemon=True).start()


def _is_killed_with(parent: int | None) -> bool:
    """On Linux the kernel does it, even while native code holds the GIL and no thread of ours can run.

    It means the end of the thread that started this process, which is the loop's: the executor starts its
    one child in the call that submits the first work.
    """
    import ctypes  # noqa: PLC0415 - of all platforms only here

    pr_set_pdeathsig = 1
    if ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL) != 0:
        return False
    if os.getppid() != parent:
        # it ended before the kernel was asked
        os._exit(0)
    return True


def _begin(prepare: Callable[[], None] | None) -> None:
    """Run in the child before any work."""
    _end_with_parent()
    if prepare is not None:
        prepare()


def _nothing(_work: Callable[..., object]) -> None:
    """The first work of a child: when it is done the child has started, and has what that work imports."""


class Child:
    """One child process and the queue before it. Make one with `open_child`."""

    def __init__(
        self,
        *,
        deadline_s: float,
        most_waiting: int,
        wait_s: float,
        prepare: Callable[[], None] | None,
        idle_s: float | None,
    ) -> None:
        self._deadline_s = deadline_s
        self._most_waiting = most_waiting
        self._wait_s = wait_s
        self._prepare = prepare
        self._idle_s = idle_s
        self._idle: asyncio.TimerHandle | None = None
        self._killed: list[BaseProcess] = []
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` returns or raises, done in the child; both must be picklable. In the order asked.

        Raises Overdue, Crowded, ChildNotStarted, ChildEnded. Cancel-safe: who gives up ends the child, not
        the others.
        """
        if self._waiting >= self._most_waiting:
            raise Crowded
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turn.acquire()
        except TimeoutError:
            raise Crowded from None
        finally:
            self._waiting -= 1
        try:
            self._rest(None)
            return await self._do(partial(work, *args, **kwargs))
        finally:
            self._turn.release()
            self._rest(self._idle_s)

    async def _do(self, work: "partial[T]") -> T:
        try:
            pool = await self._started(work.func)
            return await self._within(self._deadline_s, pool, work)
        except BrokenProcessPool as exc:
            self.end()
            raise ChildEnded from exc
        except (Overdue, asyncio.CancelledError):
            self.end()
            raise

    async def _started(self, work: Callable[..., object]) -> ProcessPoolExecutor:
        """The child, which is started for `work` when there is none, or when it ended while it had nothing to
        do.

        Not `is_alive`: it says yes of a child whose exit status the executor's thread is just taking.
        """
        sentinels = [child.sentinel for child in self.processes()]
        if not sentinels or wait(sentinels, 0):
            self.end()
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            begin = partial(_begin, self._prepare)
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=begin)
            try:
                await self._within(START_S, self._pool, partial(_nothing, work))
            except BrokenProcessPool as exc:
                self.end()
                raise ChildNotStarted from exc
        return self._pool

    @staticmethod
    async def _within(deadline_s: float, pool: ProcessPoolExecutor, work: Callable[[], T]) -> T:
        doing = asyncio.get_running_loop().run_in_executor(pool, work)
        # not asyncio.timeout: the work may raise a TimeoutError of its own
        try:
            await asyncio.wait((doing,), timeout=deadline_s)
            if not doing.done():
                raise Overdue
            return doing.result()
        finally:
            # given up: what becomes of it when its child is killed is no news to anybody
            doing.cancel()

    def _rest(self, idle_s: float | None) -> None:
        """Let the child go when nothing comes for so long; None: something came, or it is never let go."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if idle_s is not None and self._pool is not None:
            self._idle = asyncio.get_running_loop().call_later(idle_s, self.end)

    def end(self) -> None:
        """Kill the child, whatever it is doing; the next work gets a fresh one."""
        self._rest(None)
        children = self.processes()
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.kill()
        self._killed = children

    def wait_until_gone(self, most_s: float) -> None:
        """Until what was killed last does nothing any more; blocks, so call it in a thread."""
        wait([child.sentinel for child in self._killed], most_s)

    def processes(self) -> list[BaseProcess]:
        """The child process, once there is one."""
        return list((self._pool._processes or {}).values()) if self._pool is not None else []


@asynccontextmanager
async def open_child(
    *,
    deadline_s: float,
    most_waiting: int,
    wait_s: float,
    prepare: Callable[[], None] | None = None,
    idle_s: float | None = None,
) -> AsyncIterator[Child]:
    """A child for one kind of work: `deadline_s` for each piece, `wait_s` for its turn.

    `prepare` (picklable) is called in it before any work; without work for `idle_s` it is ended, so that its
    memory is free.
    """
    # with it under way a start holds the loop for 1 to 5 ms, else for 12
    resource_tracker.ensure_running()
    child = Child(
        deadline_s=deadline_s, most_waiting=most_waiting, wait_s=wait_s, prepare=prepare, idle_s=idle_s
    )
    try:
        yield child
    finally:
        child.end()
