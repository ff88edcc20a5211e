"""The runner: takes jobs that are due, runs their handlers, and stores what came of each.

Owns: looking for jobs, the leases of those that run here, attempts from begin to end, the stop.
Does not own: the queue (db/queue.py), one attempt's task (`attempt.py`), what handlers do. Keeps rules K1-K7.

Cancel-safe: whatever ends the runner or the process in the middle, a lease runs out and the job is taken up
again, here or elsewhere. Idle it costs one read every 5 s.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog
from sqlalchemy import Connection
from ulid import ULID

from db import queue
from db.database import Database
from db.queue import Job
from db.scopes import as_system
from party.errors import KanvasError
from server.jobs.attempt import Attempt, storable
from server.jobs.base import GiveUp, JobHandler
from server.jobs.timing import Timing

if TYPE_CHECKING:
    from server.services import Services

log = structlog.get_logger("kanvas.jobs")

T = TypeVar("T")

MOST_ERROR_CHARS = 1000

TOPIC: Final = "jobs"


class Notes(Protocol):
    """How processes talk to each other: the hub's verbs. A note may be lost."""

    def note(self, topic: str, data: bytes, to: str | None = None) -> None:
        """Tell one, or all others."""

    def on_note(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        """Hand what comes to `handler`: the sender, and the data."""


class Runner:
    """The jobs of this process. `open_jobs` starts it; one that is never started only takes hints."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, JobHandler],
        *,
        at_once: int,
        now: Callable[[], datetime],
        timing: Timing | None = None,
    ) -> None:
        """At most `at_once` attempts at a time; `now` is the clock of all times in the database."""
        self._database = as_system(database)
        self._handlers = dict(handlers)
        self._at_once = at_once
        self._now = now
        self._timing = timing or Timing()
        self._attempts: dict[asyncio.Task[None], Attempt] = {}
        self._turns = dict.fromkeys(self._handlers, 0)
        """Kind to the number of the last beginning: the lowest is the next (K7)."""

        self._wake = asyncio.Event()
        self._told = asyncio.Event()
        self._is_stopping = False
        self._over_at = 0.0
        self._is_down = False
        self._notes: Notes | None = None

    def connect(self, notes: Notes) -> None:
        """Wake the runners of other processes too, and be woken by them."""
        self._notes = notes
        notes.on_note(TOPIC, lambda _sender, _data: self._wake.set())

    def wake(self) -> None:
        """Something was enqueued (after its commit): look at once, here and in other processes, of which
        perhaps only one does jobs. A hint, it may be left out (K5)."""
        self._wake.set()
        if self._notes is not None:
            self._notes.note(TOPIC, b"")

    def stop(self) -> None:
        """Take no more jobs; those that run are cancelled after the grace. Returns at once, idempotent."""
        if self._is_stopping:
            return
        loop, timing = asyncio.get_running_loop(), self._timing
        self._is_stopping = True
        self._over_at = loop.time() + timing.grace_s + timing.cancel_s + timing.settle_s
        self._wake.set()
        loop.call_later(timing.grace_s, self._end_attempts)

    def _end_attempts(self) -> None:
        for attempt in self._attempts.values():
            attempt.end("stopped")

    async def settle(self, taking: asyncio.Task[None]) -> None:
        """After `stop`: until every attempt has ended and that is stored, or its time is over."""
        loop = asyncio.get_running_loop()
        # not cancelled: a claim under way would leave its jobs to their leases
        await asyncio.wait({taking}, timeout=self._timing.settle_s)
        taking.cancel()
        if self._attempts:
            await asyncio.wait(set(self._attempts), timeout=max(0.0, self._over_at - loop.time()))
        for task, attempt in self._attempts.items():
            log.warning("a job's end is not stored; it is run again", job_id=attempt.job.id)
            task.cancel()

    # -- taking jobs ----------------------------------------------------------------------------

    async def take_forever(self, tasks: asyncio.TaskGroup, services: "Services") -> None:
        """Look for jobs and begin them in `tasks`, until `stop`."""
        timing = self._timing
        pause_s = timing.poll_s
        if not self._handlers:
            return
        while not self._is_stopping:
            self._wake.clear()
            wait_s: float | None = None
            if len(self._attempts) < self._at_once:
                try:
                    due_s = await self._take(tasks, services)
                except Exception as error:
                    # the border of a background task: the next look must still happen
                    self._down(error)
                    pause_s, due_s = timing.poll_most_s, timing.poll_most_s
                else:
                    self._up()
                if due_s <= 0:
                    pause_s = timing.poll_s
                    continue
                # not all processes at the same moment
                wait_s = min(pause_s * random.uniform(0.8, 1.0), due_s)
                pause_s = min(pause_s * 2, timing.poll_most_s)
            if await self._is_woken(wait_s):
                pause_s = timing.poll_s

    async def _is_woken(self, wait_s: float | None) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        return self._wake.is_set()

    async def _take(self, tasks: asyncio.TaskGroup, services: "Services") -> float:
        """Take what is due; seconds until it is worth to look again, 0 when there may be more already."""
        kinds = self._in_turn()
        due = await self._database.read(partial(queue.find_next, kinds=kinds))
        now = self._now()
        if due is None:
            return self._timing.poll_most_s
        if due > now:
            return (due - now).total_seconds()
        lease_s, holder = self._timing.lease_s, str(ULID()).lower()
        limit = self._at_once - len(self._attempts)
        began = asyncio.get_running_loop().time()
        jobs = await self._database.write(
            lambda conn: queue.claim(
                conn, kinds=kinds, now=self._now(), lease_s=lease_s, limit=limit, holder=holder
            )
        )
        for job in jobs:
            self._begin(job, began + lease_s, tasks, services)
        # nothing: another process was quicker, or holds what is due in a transaction
        return 0 if jobs else self._timing.poll_s

    def _in_turn(self) -> list[str]:
        """The kinds, of which few run here and none began lately first."""
        running = Counter(one.job.kind for one in self._attempts.values())
        return sorted(self._turns, key=lambda kind: (running[kind], self._turns[kind]))

    def _begin(self, job: Job, held_until: float, tasks: asyncio.TaskGroup, services: "Services") -> None:
        for other in self._attempts.values():
            if other.job.id == job.id:
                # its lease ran out while this process slept
                other.end("lost")
        self._turns[job.kind] = max(self._turns.values()) + 1
        attempt = Attempt(job, held_until, self._timing, self._told)
        task = tasks.create_task(self._attempt(attempt, services))
        self._attempts[task] = attempt
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._attempts[task]
        self._wake.set()

    # -- one attempt ----------------------------------------------------------------------------

    async def _attempt(self, attempt: Attempt, services: "Services") -> None:
        job = attempt.job
        ids = {"job_id": job.id, "kind": job.kind, "room_id": job.room_id, "user_id": job.user_id}
        with structlog.contextvars.bound_contextvars(**{name: one for name, one in ids.items() if one}):
            try:
                if self._is_stopping:
                    # claimed while the stop began
                    await self._store(
                        partial(queue.put_back, id=job.id, holder=attempt.lease, now=self._now())
                    )
                    return
                await attempt.run(self._handlers[job.kind], services)
                settle = self._settle(attempt)
                if settle is not None and not await self._store(settle):
                    log.warning("a job's lease was lost before its end was stored; it is run again")
            except Exception:
                # the border of a background task: a mistake of ours here must not end the process
                log.exception("a job's end is not stored; it is run again")

    def _settle(self, attempt: Attempt) -> Callable[[Connection], object] | None:
        """What to store about an attempt that ended; None when it is no longer ours to say."""
        job, now = attempt.job, self._now()
        mine: dict[str, Any] = {"id": job.id, "holder": attempt.lease, "now": now}
        if attempt.ended == "lost":
            log.warning("a job's lease was lost; it is run again")
            return None
        if not attempt.is_over:
            log.error("a job goes on although it was cancelled", why=attempt.ended)
            if attempt.ended == "stopped":
                # it may still be at work: nobody else begins before the lease has run out
                return None
        elif attempt.error is None:
            told = attempt.take_progress()
            words = told[1] if told is not None else None
            return partial(queue.finish, result=attempt.result, words=words, **mine)
        error = attempt.error
        if isinstance(error, GiveUp):
            log.warning("a job gave up", reason=error.message)
            return partial(queue.give_up, error=storable(error.message, MOST_ERROR_CHARS), **mine)
        if attempt.ended == "stopped" or self._is_stopping:
            # what it needs may be closing already
            return partial(queue.put_back, **mine)
        if attempt.ended == "overdue":
            reason = f"It took longer than {self._timing.attempt_s:g} s and was ended."
        elif isinstance(error, KanvasError):
            reason = error.message
        else:
            reason = f"It failed with {type(error).__name__}; the log says more."
        is_last = job.attempts >= job.max_attempts
        retry_at = self._timing.retry_at(job.attempts, now, random.random())
        # an error of ours says all there is in its words
        is_told = error is None or attempt.ended is not None or isinstance(error, KanvasError)
        (log.warning if is_told else log.error)(
            "a job failed for the last time" if is_last else "a job failed; it is tried again",
            reason=reason,
            attempt=job.attempts,
            retry_at=None if is_last else retry_at.isoformat(),
            exc_info=None if is_told else error,
        )
        return partial(queue.fail, error=storable(reason, MOST_ERROR_CHARS), run_at=retry_at, **mine)

    async def _store(self, work: Callable[[Connection], T]) -> T:
        """Write, and while the database is away try again: what was done must not be done twice for that."""
        pause_s = self._timing.progress_s
        while True:
            try:
                return await self._database.write(work)
            except KanvasError as error:
                self._down(error)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._timing.poll_most_s)

    # -- leases and progress --------------------------------------------------------------------

    async def hold_forever(self) -> None:
        """Renew the leases of what runs; an attempt whose lease is lost is ended."""
        beat_s = self._timing.lease_s / 3
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(beat_s)
            attempts = list(self._attempts.values())
            if not attempts:
                continue
            began = loop.time()
            kept: set[Attempt] | None = None
            try:
                async with asyncio.timeout(beat_s):
                    kept = await self._database.write(partial(self._hold, attempts))
            except Exception as error:
                # the border of a background task: leases must be renewed as long as the process lives
                self._down(error)
            for attempt in attempts:
                if kept is not None and attempt in kept:
                    attempt.held_until = began + self._timing.lease_s
                elif kept is not None or loop.time() >= attempt.held_until:
                    attempt.end("lost")

    def _hold(self, attempts: list[Attempt], connection: Connection) -> set[Attempt]:
        now, lease_s = self._now(), self._timing.lease_s
        return {
            one
            for one in attempts
            if queue.extend(connection, one.job.id, one.lease, now=now, lease_s=lease_s)
        }

    async def tell_forever(self) -> None:
        """Store the progress of what runs, at most every `progress_s` and all together."""
        while True:
            await self._told.wait()
            self._told.clear()
            told = [(one.job.id, one.lease, one.take_progress()) for one in self._attempts.values()]
            try:
                await self._database.write(partial(self._report, told))
            except Exception as error:
                # the border of a background task: the next progress may be stored again
                self._down(error)
            await asyncio.sleep(self._timing.progress_s)

    def _report(self, told: list[tuple[str, str, tuple[float, str] | None]], connection: Connection) -> None:
        now = self._now()
        for job_id, lease, progress in told:
            if progress is not None:
                done, words = progress
                queue.report(connection, job_id, lease, progress=done, words=words, now=now)

    # -- the database away ----------------------------------------------------------------------

    def _down(self, error: Exception) -> None:
        # once for each time it is away
        is_ours = isinstance(error, KanvasError | TimeoutError)
        if not self._is_down or not is_ours:
            reason = error.message if isinstance(error, KanvasError) else type(error).__name__
            log.warning("jobs wait for the database", reason=reason, exc_info=None if is_ours else error)
        self._is_down = True

    def _up(self) -> None:
        if self._is_down:
            log.info("jobs have the database again")
        self._is_down = False


@asynccontextmanager
async def open_jobs(runner: Runner, services: "Services") -> AsyncIterator[None]:
    """Run jobs until the end of the block, which takes at most 6 s: see Timing."""
    async with asyncio.TaskGroup() as tasks:
        keeping = [tasks.create_task(runner.hold_forever()), tasks.create_task(runner.tell_forever())]
        taking = tasks.create_task(runner.take_forever(tasks, services))
        try:
            yield
        finally:
            runner.stop()
            await runner.settle(taking)
            for task in keeping:
                task.cancel()
