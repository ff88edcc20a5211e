"""What the job queue does, whatever SQL database it lies in. Source: the docstrings of db.queue.

Another database is one more class in test_queue.py, with a `database` fixture of its own.
"""

import random
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, update

from db import queue
from db.database import Database
from db.queue import Job
from db.tables import jobs
from party.errors import Conflict
from tests.db.conftest import NOW

LEASE_S = 30.0


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def put(database: Database, *, kind: str = "draw", seconds: float = 0, **more: Any) -> str:
    return await database.write(
        lambda conn: queue.enqueue(conn, kind=kind, payload={"n": 1}, now=at(seconds), **more)
    )


async def take(
    database: Database,
    holder: str,
    *,
    seconds: float = 0,
    limit: int = 10,
    kinds: tuple[str, ...] = ("draw",),
) -> list[Job]:
    return await database.write(
        lambda conn: queue.claim(
            conn, kinds=kinds, now=at(seconds), lease_s=LEASE_S, limit=limit, holder=holder
        )
    )


async def find(database: Database, job_id: str) -> Job:
    job = await database.read(lambda conn: queue.find_job(conn, job_id))
    assert job is not None
    return job


async def fail(database: Database, job_id: str, holder: str, seconds: float = 0) -> str | None:
    return await database.write(
        lambda conn: queue.fail(
            conn, job_id, holder, error="It broke.", run_at=at(seconds + 5), now=at(seconds)
        )
    )


async def claims_to_be_over(database: Database, job_id: str, holder: str, now: datetime) -> list[bool]:
    """Everything only the holder may do; each in a transaction of its own."""

    def tries(conn: Connection) -> list[bool]:
        return [
            queue.extend(conn, job_id, holder, now=now, lease_s=LEASE_S),
            queue.report(conn, job_id, holder, progress=0.5, words="half", now=now),
            queue.put_back(conn, job_id, holder, now=now),
            queue.give_up(conn, job_id, holder, error="no", now=now),
            queue.fail(conn, job_id, holder, error="no", run_at=now, now=now) is not None,
            queue.finish(conn, job_id, holder, result=None, now=now),
        ]

    return await database.write(tries)


class QueueContract:
    async def test_a_job_is_there_as_it_was_enqueued(self, database: Database) -> None:
        job_id = await database.write(
            lambda conn: queue.enqueue(
                conn,
                kind="draw",
                payload={"name": "é\U0001f3a8", "deep": [{"n": 1.5}, None]},
                now=NOW,
                room_id="r",
                user_id="ada",
                key="k",
            )
        )
        assert len(job_id) == 26
        assert await find(database, job_id) == Job(
            id=job_id,
            kind="draw",
            payload={"name": "é\U0001f3a8", "deep": [{"n": 1.5}, None]},
            state="queued",
            key="k",
            run_at=NOW,
            lease=None,
            lease_until=None,
            attempts=0,
            max_attempts=5,
            progress=0.0,
            words="",
            result=None,
            error=None,
            room_id="r",
            user_id="ada",
            created_at=NOW,
            updated_at=NOW,
            finished_at=None,
        )

    async def test_a_transaction_that_is_rolled_back_enqueues_nothing(self, database: Database) -> None:
        """K1."""

        def change(conn: Connection) -> None:
            queue.enqueue(conn, kind="draw", payload={}, now=NOW)
            raise Conflict

        with pytest.raises(Conflict):
            await database.write(change)
        assert await database.read(queue.count_jobs) == {}
        assert await take(database, "h") == []

    @pytest.mark.parametrize("payload", [{"at": NOW}, {"n": float("nan")}, {"b": b"x"}])
    async def test_what_is_no_json_is_not_enqueued(self, database: Database, payload: dict[str, Any]) -> None:
        with pytest.raises((TypeError, ValueError)):
            await database.write(lambda conn: queue.enqueue(conn, kind="draw", payload=payload, now=NOW))
        assert await database.read(queue.count_jobs) == {}

    async def test_jobs_are_taken_in_order_when_they_are_due(self, database: Database) -> None:
        late = await put(database, run_at=at(10))
        first = await put(database, id="1")
        second = await put(database, id="2")
        early = await put(database, run_at=at(-5))
        other = await put(database, kind="other")
        assert [job.id for job in await take(database, "a", limit=2)] == [early, first]
        assert [job.id for job in await take(database, "b", limit=2)] == [second]
        assert await take(database, "c", seconds=9.9) == []
        taken = await take(database, "d", seconds=10, kinds=("draw", "other"))
        assert [(job.id, job.state, job.lease, job.attempts) for job in taken] == [
            (other, "running", "d", 1),
            (late, "running", "d", 1),
        ]
        assert taken[0].lease_until == at(10 + LEASE_S)

    async def test_kinds_take_turns(self, database: Database) -> None:
        """K7: the first named first; what one kind leaves free the others take."""
        many = [await put(database, seconds=n) for n in range(5)]
        late = await put(database, kind="print", seconds=9)
        jobs = await take(database, "a", seconds=10, limit=2, kinds=("draw", "print", "none"))
        assert [job.id for job in jobs] == [many[0], late]
        later = await put(database, kind="print", seconds=9)
        assert [
            job.id for job in await take(database, "b", seconds=10, limit=1, kinds=("print", "draw"))
        ] == [later]
        jobs = await take(database, "c", seconds=10, limit=3, kinds=("print", "draw"))
        assert [job.id for job in jobs] == many[1:4]

    async def test_one_that_can_not_be_read_keeps_nobody_waiting(self, database: Database) -> None:
        """Changed by hand, or written by a program that is not ours: it is dead, and it can be looked at."""
        bad, good = await put(database), await put(database, seconds=1)
        await database.write(
            lambda conn: conn.execute(update(jobs).where(jobs.c.id == bad).values(payload='{"n":'))
        )
        assert [job.id for job in await take(database, "h", seconds=2)] == [good]
        job = await find(database, bad)
        assert (job.state, job.error, job.payload) == ("dead", queue.UNREADABLE, {})
        assert await take(database, "h", seconds=3) == []

    async def test_it_says_when_there_is_something_next(self, database: Database) -> None:
        """K5: what is queued, and what was lost."""

        async def find_next() -> datetime | None:
            return await database.read(lambda conn: queue.find_next(conn, ["draw"]))

        assert await find_next() is None
        await put(database, kind="other")
        assert await find_next() is None
        assert await database.read(lambda conn: queue.find_next(conn, ["draw", "other", "third"])) == NOW
        assert await database.read(lambda conn: queue.find_next(conn, [])) is None
        await put(database, run_at=at(50))
        assert await find_next() == at(50)
        await put(database)
        assert await find_next() == NOW
        await take(database, "h")
        assert await find_next() == at(LEASE_S)

    async def test_one_that_is_finished_stays_so(self, database: Database) -> None:
        job_id = await put(database)
        await take(database, "h")
        await database.write(
            lambda conn: queue.report(conn, job_id, "h", progress=0.25, words="one of four", now=at(1))
        )
        job = await find(database, job_id)
        assert (job.progress, job.words, job.updated_at) == (0.25, "one of four", at(1))
        await database.write(
            lambda conn: queue.finish(conn, job_id, "h", result='{"size": 3}', words="all", now=at(2))
        )
        job = await find(database, job_id)
        assert (job.state, job.progress, job.words, job.result) == ("done", 1.0, "all", {"size": 3})
        assert (job.lease, job.lease_until, job.finished_at, job.error) == (None, None, at(2), None)
        assert not any(await claims_to_be_over(database, job_id, "h", at(3)))
        assert await find(database, job_id) == job
        assert await take(database, "b", seconds=1000) == []

    async def test_one_that_fails_is_tried_again_and_dies_after_the_last_attempt(
        self, database: Database
    ) -> None:
        """K3: the fifth."""
        job_id = await put(database)
        for attempt in range(1, 6):
            seconds = attempt * 100
            assert [job.attempts for job in await take(database, "h", seconds=seconds)] == [attempt]
            assert await fail(database, job_id, "h", seconds) == ("dead" if attempt == 5 else "queued")
            assert await take(database, "h", seconds=seconds + 4.9) == []
        job = await find(database, job_id)
        assert (job.state, job.error, job.finished_at, job.attempts) == ("dead", "It broke.", at(500), 5)
        assert await take(database, "h", seconds=10_000) == []

    async def test_one_that_gives_up_is_dead_at_once(self, database: Database) -> None:
        """K3."""
        job_id = await put(database)
        await take(database, "h")
        assert await database.write(lambda conn: queue.give_up(conn, job_id, "h", error="No use.", now=at(1)))
        job = await find(database, job_id)
        assert (job.state, job.error, job.attempts, job.finished_at) == ("dead", "No use.", 1, at(1))

    async def test_a_dead_one_is_revived(self, database: Database) -> None:
        """K3: with all its attempts; nothing else is."""
        job_id = await put(database, max_attempts=1)
        revive = lambda conn: queue.revive(conn, job_id, now=at(50))  # noqa: E731
        assert not await database.write(revive)
        await take(database, "h")
        assert not await database.write(revive)
        assert await fail(database, job_id, "h") == "dead"
        assert await database.write(revive)
        assert not await database.write(revive)
        job = await find(database, job_id)
        assert (job.state, job.attempts, job.run_at, job.finished_at) == ("queued", 0, at(50), None)
        assert [one.attempts for one in await take(database, "h", seconds=50)] == [1]

    async def test_one_that_is_put_back_has_spent_nothing(self, database: Database) -> None:
        """K6."""
        job_id = await put(database, max_attempts=1, seconds=-7)
        await take(database, "h")
        assert await database.write(lambda conn: queue.put_back(conn, job_id, "h", now=at(1)))
        job = await find(database, job_id)
        assert (job.state, job.attempts, job.run_at, job.lease) == ("queued", 0, at(-7), None)
        assert [one.attempts for one in await take(database, "b", seconds=1)] == [1]

    async def test_a_lease_that_ran_out_is_somebody_elses(self, database: Database) -> None:
        """K1 K2 K3: it counts as an attempt, and the first holder has no say any more."""
        job_id = await put(database)
        await take(database, "a")
        assert await take(database, "b", seconds=LEASE_S - 0.1) == []
        taken = await take(database, "b", seconds=LEASE_S)
        assert [(job.id, job.attempts, job.lease, job.error) for job in taken] == [
            (job_id, 2, "b", queue.LOST)
        ]
        assert not any(await claims_to_be_over(database, job_id, "a", at(LEASE_S + 1)))
        assert await find(database, job_id) == taken[0]

    async def test_a_lease_that_is_extended_is_kept(self, database: Database) -> None:
        """K2."""
        job_id = await put(database)
        await take(database, "a")
        for seconds in (20, 40, 60):
            assert await database.write(
                lambda conn, seconds=seconds: queue.extend(
                    conn, job_id, "a", now=at(seconds), lease_s=LEASE_S
                )
            )
            assert await take(database, "b", seconds=seconds + LEASE_S - 1) == []
        assert len(await take(database, "b", seconds=60 + LEASE_S)) == 1

    async def test_one_that_is_lost_at_its_last_attempt_is_dead(self, database: Database) -> None:
        """K3: of any kind, whoever looks."""
        job_id = await put(database, max_attempts=2)
        await take(database, "a")
        await take(database, "b", seconds=LEASE_S)
        assert await take(database, "c", seconds=3 * LEASE_S, kinds=("other",)) == []
        job = await find(database, job_id)
        assert (job.state, job.error, job.attempts) == ("dead", queue.LOST, 2)
        assert job.finished_at == at(3 * LEASE_S)

    async def test_of_one_key_one_is_queued(self, database: Database) -> None:
        """K4: one that runs already may have missed what the next is asked for."""
        first = await put(database, key="k")
        assert await put(database, key="k") == first
        assert await put(database, key="other") != first
        assert await put(database, kind="other", key="k") != first
        await take(database, "h")
        second = await put(database, key="k")
        assert second != first
        assert await put(database, key="k") == second
        assert await database.read(queue.count_jobs) == {"queued": 2, "running": 2}

    async def test_asking_again_brings_it_forward_but_not_a_retry(self, database: Database) -> None:
        """K4."""
        job_id = await put(database, key="k", run_at=at(100))
        await put(database, key="k", run_at=at(50))
        await put(database, key="k", run_at=at(70))
        assert (await find(database, job_id)).run_at == at(50)
        await take(database, "h", seconds=50)
        await fail(database, job_id, "h", 50)
        assert await put(database, key="k", seconds=51) == job_id
        assert (await find(database, job_id)).run_at == at(55)

    @pytest.mark.parametrize("way", ["fail", "put_back", "lost", "revive"])
    async def test_one_that_comes_back_beside_another_of_its_key_keeps_its_turn(
        self, database: Database, way: str
    ) -> None:
        """K1 K4."""
        first = await put(database, key="k", max_attempts=2)
        await take(database, "a")
        if way == "revive":
            await database.write(lambda conn: queue.give_up(conn, first, "a", error="no", now=NOW))
        second = await put(database, key="k", run_at=at(90))
        if way == "fail":
            await fail(database, first, "a")
        elif way == "put_back":
            await database.write(lambda conn: queue.put_back(conn, first, "a", now=NOW))
        elif way == "revive":
            await database.write(lambda conn: queue.revive(conn, first, now=NOW))
        else:
            await take(database, "b", seconds=LEASE_S, kinds=("other",))
        assert [(one, (await find(database, one)).key) for one in (first, second)] == [
            (first, None),
            (second, "k"),
        ]
        assert await put(database, key="k") == second
        taken = await take(database, "c", seconds=60)
        assert [job.id for job in taken] in ([first], [second, first], [first, second])

    async def test_two_of_one_key_that_are_lost_together_both_come_back(self, database: Database) -> None:
        """K1 K4."""
        ids = set()
        for _ in range(3):
            ids.add(await put(database, key="k"))
            await take(database, "a")
        assert {job.id for job in await take(database, "b", seconds=LEASE_S)} == ids

    async def test_jobs_are_listed_newest_first_in_pages(self, database: Database) -> None:
        ids = [await put(database, seconds=n, kind="draw" if n % 2 else "other") for n in range(7)]
        await take(database, "h", seconds=3, kinds=("other",))

        async def listed(**what: Any) -> list[str]:
            found = await database.read(lambda conn: queue.list_jobs(conn, **what))
            return [job.id for job in found]

        assert await listed(limit=10) == ids[::-1]
        assert await listed(limit=3) == ids[:3:-1]
        assert await listed(limit=3, before=ids[4]) == ids[3:0:-1]
        assert await listed(limit=10, state="running") == [ids[2], ids[0]]
        assert await listed(limit=10, state="queued", kind="other") == [ids[6], ids[4]]
        assert await listed(limit=10, state="dead") == []

    async def test_what_ended_long_ago_is_purged(self, database: Database) -> None:
        for seconds in range(6):
            job_id = await put(database)
            await take(database, "h")
            finish = queue.give_up if seconds % 2 else queue.finish
            end: dict[str, Any] = {"error": "no"} if seconds % 2 else {"result": None}
            await database.write(
                lambda conn, job_id=job_id, finish=finish, end=end, seconds=seconds: finish(
                    conn, job_id, "h", now=at(seconds), **end
                )
            )
        await put(database)
        purge = lambda conn: queue.purge_finished(  # noqa: E731
            conn, done_before=at(3), dead_before=at(2), limit=1
        )
        assert [await database.write(purge) for _ in range(3)] == [2, 1, 0]
        assert await database.read(queue.count_jobs) == {"queued": 1, "done": 1, "dead": 2}

    @pytest.mark.parametrize("seed", range(3))
    async def test_random_holders_that_vanish_lose_nothing(self, database: Database, seed: int) -> None:
        """K1 K2 K3: every job that was asked for ends, none is held twice at once, none dies early."""
        chance = random.Random(seed)
        clock = 0.0
        asked: set[str] = set()
        held: dict[str, tuple[str, float]] = {}
        attempts: dict[str, int] = {}
        ended: set[str] = set()
        for turn in range(150):
            clock += chance.choice((0.1, 1, 5, LEASE_S / 2, LEASE_S))
            if turn < 60:
                asked.add(await put(database, seconds=clock, key=chance.choice((None, "a", "b"))))
            holder = f"h{turn}"
            for job in await take(database, holder, seconds=clock, limit=chance.randrange(1, 4)):
                assert job.id not in held or held[job.id][1] <= clock, "taken while it was held"
                attempts[job.id] = attempts.get(job.id, 0) + 1
                assert job.attempts == attempts[job.id] <= job.max_attempts
                held[job.id] = (holder, clock + LEASE_S)
            for job_id, (lease, until) in list(held.items()):
                job = await find(database, job_id)
                is_mine = job.lease == lease
                assert is_mine or until <= clock
                what = chance.randrange(6)
                if what == 0:
                    done = await database.write(
                        partial(queue.finish, id=job_id, holder=lease, result=None, now=at(clock))
                    )
                    assert done == is_mine
                    if done:
                        assert job_id not in ended
                        ended.add(job_id)
                elif what == 1:
                    assert (await fail(database, job_id, lease, clock) is not None) == is_mine
                elif what == 2:
                    done = await database.write(
                        partial(queue.put_back, id=job_id, holder=lease, now=at(clock))
                    )
                    assert done == is_mine
                    attempts[job_id] -= done
                if what < 4:
                    # ended, or vanished without a word
                    del held[job_id]
        counts = await database.read(queue.count_jobs)
        assert sum(counts.values()) == len(asked)
        for _ in range(40):
            clock += 3 * LEASE_S
            for job in await take(database, "last", seconds=clock):
                await database.write(
                    partial(queue.finish, id=job.id, holder="last", result=None, now=at(clock))
                )
        for job_id in asked:
            job = await find(database, job_id)
            assert job.state in ("done", "dead")
            assert job.state == "done" or job.attempts == job.max_attempts
