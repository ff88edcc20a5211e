"""The runner in one process: attempts, retries, leases, wake-ups, the stop."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from db import queue
from db.scopes import as_system
from party.errors import Conflict, Unavailable
from server.jobs.base import GiveUp, JobCall
from server.jobs.timing import Timing
from tests.db.conftest import NOW
from tests.server.jobs.works import QUICK, Works, eventually, open_works


@pytest.fixture
async def works(tmp_path: Path, empty_database: Path) -> AsyncIterator[Works]:
    async with open_works(tmp_path, empty_database) as works:
        yield works


def test_pauses_grow_and_are_jittered() -> None:
    """K3: fourfold, give or take a half, to an hour at most."""
    timing = Timing()
    for chance, factor in ((0.0, 0.5), (0.5, 1.0), (0.999, 1.499)):
        pauses = [(timing.retry_at(n, NOW, chance) - NOW).total_seconds() for n in (1, 2, 3, 4, 9, 500)]
        assert pauses == pytest.approx([factor * one for one in (5, 20, 80, 320, 3600, 3600)])


async def test_a_job_is_done_and_its_result_kept(works: Works) -> None:
    seen: list[JobCall] = []

    async def draw(call: JobCall) -> dict[str, Any]:
        seen.append(call)
        assert structlog.contextvars.get_contextvars()["job_id"] == call.job.id
        call.progress(0.5, "half of it")
        return {"size": 3}

    job_id = await works.put(payload={"n": [1, "é"]}, room_id="r", user_id="ada")
    async with works.running({"draw": draw}):
        job = await works.until(job_id, "done")
    assert (job.result, job.progress, job.words, job.attempts) == ({"size": 3}, 1.0, "half of it", 1)
    (call,) = seen
    assert call.job.payload == {"n": [1, "é"]}
    assert call.services is works.services


async def test_a_wake_up_is_followed_at_once(works: Works) -> None:
    """K5: however long the pause is that the runner is in."""
    begun = asyncio.Event()

    async def draw(_call: JobCall) -> None:
        begun.set()

    async with works.running({"draw": draw}, poll_s=60, poll_most_s=60) as runner:
        await asyncio.sleep(0.1)
        took: list[float] = []
        for _ in range(5):
            begun.clear()
            await works.put()
            start = time.monotonic()
            runner.wake()
            await asyncio.wait_for(begun.wait(), 30)
            took.append(time.monotonic() - start)
    assert min(took) < 1


async def test_without_a_wake_up_a_job_is_found(works: Works) -> None:
    """K5, promise 6: one that another process enqueued, and one that was not due."""

    async def draw(_call: JobCall) -> None:
        pass

    async with works.running({"draw": draw}):
        await asyncio.sleep(0.3)
        now_due = await works.put()
        await works.until(now_due, "done")
        soon_due = await works.put(run_at=works.clock() + timedelta(seconds=0.3))
        await works.until(soon_due, "done")
        later = await works.put(run_at=works.clock() + timedelta(seconds=100))
        await asyncio.sleep(0.3)
        assert (await works.find(later)).state == "queued"
        works.clock.move(100)
        await works.until(later, "done")


async def test_kinds_that_nobody_here_knows_are_left_alone(works: Works) -> None:
    """An older process beside a newer one."""

    async def draw(_call: JobCall) -> None:
        pass

    unknown = await works.put("newer")
    async with works.running({"draw": draw}):
        await works.until(await works.put(), "done")
    assert (await works.find(unknown)).state == "queued"


async def test_what_fails_is_tried_again_later_and_dies_at_the_fifth_time(works: Works) -> None:
    """K3: its words are an error's of ours, or the name of any other, and each is logged once."""
    errors: list[Exception] = [
        Conflict("There is one already."),
        ValueError("a secret of the code"),
        Unavailable(),
        TimeoutError(),
        Conflict("Still there."),
    ]
    told: list[str | None] = []

    async def draw(call: JobCall) -> None:
        raise errors[call.job.attempts - 1]

    with capture_logs() as lines:
        async with works.running({"draw": draw}) as runner:
            job_id = await works.put()
            for attempt in range(1, 5):
                job = await works.until(job_id, "queued", attempt)
                told.append(job.error)
                pause = (job.run_at - job.updated_at).total_seconds()
                longest_s = min(QUICK.retry_s * 4 ** (attempt - 1), QUICK.retry_most_s)
                assert 0.5 * longest_s <= pause <= 1.5 * longest_s
                await asyncio.sleep(0.15)
                assert (await works.find(job_id)).attempts == attempt, "it was not due"
                works.clock.move(pause)
                runner.wake()
            job = await works.until(job_id, "dead")
    assert told == [
        "There is one already.",
        "It failed with ValueError; the log says more.",
        Unavailable().message,
        "It failed with TimeoutError; the log says more.",
    ]
    assert (job.error, job.attempts) == ("Still there.", 5)
    failures = [one for one in lines if one["event"].startswith("a job failed")]
    assert [(one["log_level"], one["attempt"], one["exc_info"] is not None) for one in failures] == [
        ("warning", 1, False),
        ("error", 2, True),
        ("warning", 3, False),
        ("error", 4, True),
        ("warning", 5, False),
    ]


async def test_a_revived_one_is_tried_again(works: Works) -> None:
    """K3: and one that gives up is not."""
    is_mended = False

    async def draw(_call: JobCall) -> None:
        if not is_mended:
            raise GiveUp("There is nothing to draw.")

    async with works.running({"draw": draw}):
        job_id = await works.put()
        job = await works.until(job_id, "dead")
        assert (job.error, job.attempts) == ("There is nothing to draw.", 1)
        is_mended = True
        assert await as_system(works.database).write(
            lambda conn: queue.revive(conn, job_id, now=works.clock())
        )
        job = await works.until(job_id, "done")
        assert (job.error, job.attempts) == (None, 1)


class Panic(BaseException):
    """As native code raises it."""


@pytest.mark.parametrize("error", [Panic, asyncio.CancelledError])
async def test_a_handler_may_raise_anything(works: Works, error: type[BaseException]) -> None:
    """K3."""

    async def draw(call: JobCall) -> None:
        if call.job.payload:
            raise error

    async with works.running({"draw": draw}):
        bad = await works.put(payload={"bad": True}, max_attempts=1)
        good = await works.put()
        assert (
            await works.until(bad, "dead")
        ).error == f"It failed with {error.__name__}; the log says more."
        await works.until(good, "done")


async def test_a_result_that_is_no_json_is_a_failure(works: Works) -> None:
    async def draw(_call: JobCall) -> dict[str, Any]:
        return {"at": NOW}

    async with works.running({"draw": draw}):
        job = await works.until(await works.put(max_attempts=1), "dead")
    assert job.error == "It failed with TypeError; the log says more."


async def test_words_that_no_database_takes_are_stored_all_the_same(works: Works) -> None:
    """A name that somebody sent may have half a character or a zero in it."""

    async def draw(call: JobCall) -> None:
        call.progress(0.5, "half \ud800 of a\x00.png")
        if call.job.payload:
            raise Conflict("There is no \ud800\x00.")

    async with works.running({"draw": draw}):
        bad = await works.put(payload={"bad": True}, max_attempts=1)
        good = await works.put()
        assert (await works.until(bad, "dead")).error == "There is no ??."
        assert (await works.until(good, "done")).words == "half ? of a?.png"


async def test_an_attempt_has_a_deadline(works: Works) -> None:
    """K3: also a handler that will not hear of it, and its place is free for the next."""
    release = asyncio.Event()

    async def sleep(_call: JobCall) -> None:
        await asyncio.sleep(60)

    async def ignore(_call: JobCall) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with works.running({"sleep": sleep, "ignore": ignore}, at_once=1, attempt_s=0.2):
        for kind in ("ignore", "sleep"):
            job = await works.until(await works.put(kind, max_attempts=1), "dead")
            assert job.error == "It took longer than 0.2 s and was ended."
    release.set()


async def test_no_more_than_so_many_at_once(works: Works) -> None:
    running = most = 0

    async def draw(_call: JobCall) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1

    ids = [await works.put() for _ in range(12)]
    async with works.running({"draw": draw}, at_once=3, poll_s=60, poll_most_s=60):
        for job_id in ids:
            await works.until(job_id, "done")
    assert most == 3


@pytest.mark.parametrize("at_once", [1, 2])
async def test_many_of_one_kind_do_not_keep_another_waiting(works: Works, at_once: int) -> None:
    """K7: neither do those that take for ever, as long as one place is left."""
    order: list[str] = []
    release = asyncio.Event()

    async def handle(call: JobCall) -> None:
        if call.job.payload.get("hangs"):
            await release.wait()
        order.append(call.job.kind)

    if at_once == 2:
        await works.put("remove", payload={"hangs": True})
    many = [await works.put("remove") for _ in range(20)]
    few = [await works.put("draw") for _ in range(3)]
    async with works.running({"remove": handle, "draw": handle, "sweep": handle}, at_once=at_once):
        for job_id in [*few, *many]:
            await works.until(job_id, "done")
        release.set()
    assert order.index("draw") <= 1
    assert [at for at, kind in enumerate(order) if kind == "draw"][-1] <= 6


async def test_progress_is_stored_while_it_runs_and_not_too_often(works: Works) -> None:
    release = asyncio.Event()

    async def draw(call: JobCall) -> None:
        step = 0
        while not release.is_set():
            step += 1
            call.progress(step / 1000, f"step {step}")
            await asyncio.sleep(0.001)

    seen: set[str] = set()
    async with works.running({"draw": draw}, progress_s=0.2):
        job_id = await works.put()

        async def moved() -> bool:
            seen.add((await works.find(job_id)).words)
            return len(seen) > 2

        start = time.monotonic()
        await eventually(moved)
        assert len(seen) <= (time.monotonic() - start) / 0.2 + 3
        release.set()
        await works.until(job_id, "done")


@pytest.mark.parametrize("told", [(7.0, 1.0), (-1.0, 0.0), (float("nan"), 0.0)])
async def test_progress_stays_between_0_and_1(works: Works, told: tuple[float, float]) -> None:
    said, stored = told

    async def draw(call: JobCall) -> None:
        call.progress(said, "x" * 1000)
        await asyncio.sleep(60)

    async with works.running({"draw": draw}, grace_s=0.01):
        job_id = await works.put()

        async def is_told() -> bool:
            return (await works.find(job_id)).words == "x" * 200

        await eventually(is_told)
        assert (await works.find(job_id)).progress == stored


async def test_a_lease_is_kept_as_long_as_the_job_runs(works: Works) -> None:
    """K2: two runners on one database, and a job that takes several leases."""
    begun = 0
    release = asyncio.Event()

    async def draw(_call: JobCall) -> None:
        nonlocal begun
        begun += 1
        await release.wait()

    async def nothing(_call: JobCall) -> None:
        pass

    works.clock.stop()
    handlers, times = {"draw": draw, "nothing": nothing}, {"lease_s": 3.0}
    async with works.running(handlers, **times), works.running(handlers, **times):
        job_id = await works.put()
        await works.until(job_id, "running")
        for _ in range(2):
            works.clock.move(2)
            await works.until_held(job_id, 3)
        # and whoever looks for jobs now leaves it alone
        await works.until(await works.put("nothing"), "done")
        release.set()
        job = await works.until(job_id, "done")
    assert (begun, job.attempts) == (1, 1)


async def test_a_lost_lease_ends_the_attempt_and_the_other_one_counts(works: Works) -> None:
    """K2: the clock of this process stood still, say, and another one took the job."""
    ended = asyncio.Event()

    async def draw(call: JobCall) -> dict[str, Any]:
        try:
            await asyncio.sleep(60 if call.job.attempts == 1 else 0)
        except asyncio.CancelledError:
            ended.set()
            raise
        return {"attempt": call.job.attempts}

    # renewed every 20 s: nobody does it between the jump and the next look
    async with works.running({"draw": draw}, lease_s=60.0):
        job_id = await works.put()
        await works.until(job_id, "running")
        works.clock.move(100)
        job = await works.until(job_id, "done")
        await asyncio.wait_for(ended.wait(), 60)
    assert (job.attempts, job.result) == (2, {"attempt": 2})
    assert await works.find(job_id) == job


async def test_a_stop_puts_back_what_runs_unspent(works: Works) -> None:
    """K6: what ends within the grace is done, the rest is queued as it was; nothing new is begun."""
    begun: list[str] = []
    stopping = asyncio.Event()

    async def draw(call: JobCall) -> None:
        begun.append(call.job.id)
        await (stopping if call.job.payload["ends"] else asyncio.Event()).wait()

    async def both_begun() -> bool:
        return len(begun) == 2

    async with works.running({"draw": draw}, at_once=2) as runner:
        quick = await works.put(payload={"ends": True})
        slow = await works.put(payload={"ends": False})
        await eventually(both_begun)
        waiting = await works.put(payload={"ends": True})
        start = time.monotonic()
        runner.stop()
        stopping.set()
    assert time.monotonic() - start < 30
    job = await works.find(slow)
    assert (job.state, job.attempts, job.error) == ("queued", 0, None)
    assert (await works.find(quick)).state == "done"
    assert (await works.find(waiting)).state == "queued"
    assert sorted(begun) == sorted([quick, slow])


async def test_what_fails_during_a_stop_is_put_back(works: Works) -> None:
    """K6: what it needs is closing."""
    stopping = asyncio.Event()

    async def draw(_call: JobCall) -> None:
        await stopping.wait()
        raise Unavailable

    async with works.running({"draw": draw}) as runner:
        job_id = await works.put()
        await works.until(job_id, "running")
        runner.stop()
        stopping.set()
    job = await works.find(job_id)
    assert (job.state, job.attempts) == ("queued", 0)


async def test_a_stop_does_not_wait_for_a_handler_that_will_not_end(works: Works) -> None:
    """K6: nobody else begins it either before its lease has run out."""
    release = asyncio.Event()

    async def ignore(_call: JobCall) -> None:
        while not release.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await release.wait()

    async with works.running({"ignore": ignore}):
        job_id = await works.put("ignore")
        await works.until(job_id, "running")
        start = time.monotonic()
    assert time.monotonic() - start < 30
    assert (await works.find(job_id)).state == "running"
    release.set()
    works.clock.move(30)
    async with works.running({"ignore": ignore}):
        assert (await works.until(job_id, "done")).attempts == 2


async def test_a_database_that_is_away_is_waited_for(works: Works) -> None:
    """K1: while the end of a job is stored, and while jobs are looked for; each time is logged once."""
    release = asyncio.Event()

    async def draw(_call: JobCall) -> dict[str, Any]:
        await release.wait()
        return {"done": True}

    def rename(name: str, into: str) -> Any:
        return lambda conn: conn.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {into}")

    def told() -> list[str]:
        return [one["event"] for one in lines if "database" in one["event"]]

    async def until_told(times: int) -> None:
        async def is_told() -> bool:
            return len(told()) == times

        await eventually(is_told)

    with capture_logs() as lines:
        # one at a time: nobody looks for jobs while one runs
        async with works.running({"draw": draw}, at_once=1):
            job_id = await works.put()
            await works.until(job_id, "running")
            for times in (1, 3):
                await as_system(works.database).write(rename("jobs", "elsewhere"))
                release.set()
                await until_told(times)
                await as_system(works.database).write(rename("elsewhere", "jobs"))
                await until_told(times + 1)
            job = await works.until(job_id, "done")
            await works.until(await works.put(), "done")
    assert (job.result, job.attempts) == ({"done": True}, 1)
    assert told() == ["jobs wait for the database", "jobs have the database again"] * 2
