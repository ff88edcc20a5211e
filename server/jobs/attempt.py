"""One attempt at a job: its handler's task, why it was ended, what it told meanwhile.

Owns: the deadline, the cancelling, and not waiting for ever for a handler that ignores it. Does not own: what
is stored about it (`runner.py`).
"""

import asyncio
from typing import TYPE_CHECKING, Literal

from db.queue import Job, encode
from server.jobs.base import JobCall, JobHandler
from server.jobs.timing import Timing

if TYPE_CHECKING:
    from server.services import Services

Ending = Literal["overdue", "stopped", "lost"]

MOST_WORDS = 200


def storable(words: str, most: int) -> str:
    """At most so many characters, all of which every database takes."""
    return words[:most].encode("utf-8", "replace").decode().replace("\x00", "?")


class Attempt:
    """Made when a job is claimed. Its handler runs in a task of its own, outside of every TaskGroup: a group
    waits for its tasks, and a handler may ignore that it was cancelled."""

    def __init__(self, job: Job, held_until: float, timing: Timing, told: asyncio.Event) -> None:
        """`held_until` is when the lease runs out, by the loop's clock; `told` is set at each progress."""
        assert job.lease is not None  # noqa: S101 - it was claimed
        self.job = job
        self.lease: str = job.lease
        self.held_until = held_until
        self.ended: Ending | None = None
        self.is_over = False
        """Whether the handler has returned or raised; with `ended` it may not have."""
        self.result: str | None = None
        self.error: BaseException | None = None
        self._timing = timing
        self._told = told
        self._progress: tuple[float, str] | None = None
        self._task: asyncio.Task[None] | None = None
        self._left = asyncio.Event()

    async def run(self, handler: JobHandler, services: "Services") -> None:
        """Return when the handler has ended, or has had its time to after `end`. Never raises its errors."""
        loop = asyncio.get_running_loop()
        task = self._task = loop.create_task(self._handle(handler, services))
        task.add_done_callback(self._note_end)
        deadline = loop.call_later(self._timing.attempt_s, self.end, "overdue")
        try:
            if self.ended is not None:
                self._cancel()
            await self._left.wait()
        finally:
            deadline.cancel()
            task.cancel()

    def end(self, why: Ending) -> None:
        """Cancel the handler; it has `cancel_s` to end. The first reason stays."""
        if self.ended is None and not self.is_over:
            self.ended = why
            self._cancel()

    def take_progress(self) -> tuple[float, str] | None:
        """What was told since the last time."""
        told, self._progress = self._progress, None
        return told

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            asyncio.get_running_loop().call_later(self._timing.cancel_s, self._left.set)

    async def _handle(self, handler: JobHandler, services: "Services") -> None:
        result = await handler(JobCall(self.job, services, self._note))
        self.result = None if result is None else encode(result)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self.is_over = True
        # a panic of native code is no Exception, and is one attempt's end all the same
        self.error = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._left.set()

    def _note(self, done: float, words: str) -> None:
        # in this order not a number is 0
        self._progress = (min(1.0, max(0.0, done)), storable(words, MOST_WORDS))
        self._told.set()
