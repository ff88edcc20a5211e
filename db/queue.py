"""The job queue: work that was asked for in a transaction and is done after it. Owns: the `jobs` table.
Does not own: what a job does, when to look for one, how long a retry waits (server/jobs).

A job is `queued`, then `running` under a lease, then `done` or `dead`. Rules kept (K in party/SPEC.md):

- `enqueue` is part of the caller's transaction, so the job exists exactly if the change does.
- Whoever claims a job holds its lease, a random text: `extend`, `report`, `finish`, `fail`, `give_up` and
  `put_back` change nothing for anybody else. A lease that ran out is taken back by the next `claim`.
- Claiming counts as an attempt at once: who is killed in the middle has used one up.
- A (kind, key) is queued once. A job that comes back into the queue while another of its key waits there
  loses its key, not its turn. (Where writers are not alone, on PostgreSQL, the other one may be enqueued in
  the same instant: then the unique index refuses the change, and repeating the transaction succeeds.)

Times are compared with the `now` of the callers, so the clocks of all processes agree to a few seconds.
Source: postgresql.org/docs/current/sql-select.html (SKIP LOCKED); sqlite.org/partialindex.html: a partial
index is used only when its condition stands in the query literally, hence no parameters for states here.
"""

# ruff: noqa: A002 - a job's id is `id` everywhere

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    text,
    update,
)
from ulid import ULID

from db.scopes import as_server
from db.tables import UtcDateTime, jobs
from db.upsert import insert_into

State = Literal["queued", "running", "done", "dead"]

MAX_ATTEMPTS = 5
LOST_MOST = 100
"""Most leases taken back by one claim."""

LOST = "The process that ran it ended in the middle, or lost its connection to the database."

UNREADABLE = "What it was asked to do can't be read."


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are aware, in UTC; `progress` is 0..1; `run_at` is the earliest time of a queued one.

    `payload` and `result` are empty where they can't be read.
    """

    id: str
    kind: str
    payload: dict[str, Any]
    state: State
    key: str | None
    run_at: datetime
    lease: str | None
    lease_until: datetime | None
    attempts: int
    max_attempts: int
    progress: float
    words: str
    result: dict[str, Any] | None
    error: str | None
    room_id: str | None
    user_id: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None


def encode(value: Mapping[str, Any]) -> str:
    """The JSON text of a payload or result. Raises TypeError or ValueError for what JSON can't hold."""
    return json.dumps(dict(value), allow_nan=False, separators=(",", ":"))


def enqueue(
    connection: Connection,
    *,
    kind: str,
    payload: Mapping[str, Any],
    now: datetime,
    id: str | None = None,
    run_at: datetime | None = None,
    room_id: str | None = None,
    user_id: str | None = None,
    key: str | None = None,
    max_attempts: int = MAX_ATTEMPTS,
) -> str:
    """Ask for a job in this transaction and return its id, by default a new ULID in lower case.

    While a job of this kind and `key` is queued, the id is that job's and nothing is added; it runs at the
    earlier of both times, unless it waits to be tried again. It can't begin before this transaction ended.
    Raises TypeError or ValueError for a payload that is not JSON.
    """
    job_id = id or str(ULID.from_datetime(now)).lower()
    values = {
        "id": job_id,
        "kind": kind,
        "payload": encode(payload),
        "state": "queued",
        "key": key,
        "run_at": run_at or now,
        "attempts": 0,
        "max_attempts": max_attempts,
        "progress": 0.0,
        "words": "",
        "room_id": room_id,
        "user_id": user_id,
        "created_at": now,
        "updated_at": now,
    }
    # work is the server's own, and a job of this key may be another's
    with as_server(connection):
        if key is None:
            connection.execute(_INSERT, values)
            return job_id
        dialect = connection.dialect.name
        if dialect not in _INSERT_KEYED:
            _INSERT_KEYED[dialect] = _insert_keyed(connection)
        return str(connection.execute(_INSERT_KEYED[dialect], values).scalar_one())


def _insert_keyed(connection: Connection) -> Executable:
    insert = insert_into(connection, jobs)
    is_sooner = and_(jobs.c.attempts == 0, insert.excluded.run_at < jobs.c.run_at)
    # DO NOTHING would leave the other job unlocked: a worker could run it before this transaction is seen
    return insert.on_conflict_do_update(
        index_elements=[jobs.c.kind, jobs.c.key],
        index_where=text("state = 'queued' AND key IS NOT NULL"),
        set_={"run_at": case((is_sooner, insert.excluded.run_at), else_=jobs.c.run_at)},
    ).returning(jobs.c.id)


def find_next(connection: Connection, kinds: Sequence[str]) -> datetime | None:
    """When there is something to claim next, perhaps long ago; None while there is nothing at all."""
    row = connection.execute(_next(tuple(kinds))).one()
    return min((at for at in row if at is not None), default=None)


def claim(
    connection: Connection, *, kinds: Sequence[str], now: datetime, lease_s: float, limit: int, holder: str
) -> list[Job]:
    """Take up to `limit` jobs of `kinds` that are due, each for `lease_s` from `now`.

    The kinds share evenly, those named first before the others, and of each the oldest go first; what one
    does not need the others get. `holder` is random and used for this call only. Two transactions at once
    get different jobs. Leases that ran out, of any kind, are taken back first: what has attempts left is
    queued at once, the rest dies.
    """
    lost = connection.execute(_LOST, {"now": now, "most": LOST_MOST}).scalars().all()
    for job_id in lost:
        # one after another: two of one key can't both keep it
        connection.execute(_TAKE_BACK, {"job_id": job_id, "now": now, "at": now, "why": LOST})
    values = {"now": now, "holder": holder, "until": now + timedelta(seconds=lease_s)}
    taken: list[Job] = []
    waiting = list(kinds)
    while waiting and len(taken) < limit:
        share = max(1, (limit - len(taken)) // len(waiting))
        for kind in waiting[: limit - len(taken)]:
            found = connection.execute(_CLAIM, {**values, "one_kind": kind, "most": share}).all()
            for row in found:
                if _object(row.payload) is None:
                    # it would come first at every claim, and none would succeed
                    give_up(connection, row.id, holder, error=UNREADABLE, now=now)
                else:
                    taken.append(_job(row))
            if len(found) < share:
                waiting.remove(kind)
    return sorted(taken, key=lambda job: (job.run_at, job.id))


def extend(connection: Connection, id: str, holder: str, *, now: datetime, lease_s: float) -> bool:
    """Hold the job for `lease_s` from `now`; False when the lease is lost."""
    return _change(connection, id, holder, lease_until=now + timedelta(seconds=lease_s))


def report(
    connection: Connection, id: str, holder: str, *, progress: float, words: str, now: datetime
) -> bool:
    """Say how far it is, 0..1, and with what; False when the lease is lost."""
    return _change(connection, id, holder, progress=progress, words=words, updated_at=now)


def replace_payload(connection: Connection, id: str, holder: str, payload: Mapping[str, Any]) -> bool:
    """Put this in the place of what it was asked to do; False when the lease is lost.

    For what must not lie here longer than it is needed; a later attempt finds this.
    """
    return _change(connection, id, holder, payload=encode(payload))


def finish(
    connection: Connection,
    id: str,
    holder: str,
    *,
    result: str | None,
    words: str | None = None,
    now: datetime,
) -> bool:
    """It is done; `result` is the text of a JSON object. False when the lease is lost."""
    more: dict[str, Any] = {} if words is None else {"words": words}
    return _change(
        connection,
        id,
        holder,
        state="done",
        progress=1.0,
        result=result,
        error=None,
        **_finished(now),
        **more,
    )


def fail(
    connection: Connection, id: str, holder: str, *, error: str, run_at: datetime, now: datetime
) -> State | None:
    """It failed: "queued" to be tried again at `run_at`, "dead" after the last attempt; None: lease lost."""
    values = {"job_id": id, "holder": holder, "why": error, "at": run_at, "now": now}
    state: State | None = connection.execute(_FAIL, values).scalar_one_or_none()
    return state


def give_up(connection: Connection, id: str, holder: str, *, error: str, now: datetime) -> bool:
    """It can't succeed: dead, whatever attempts are left. False when the lease is lost."""
    return _change(connection, id, holder, state="dead", error=error, **_finished(now))


def put_back(connection: Connection, id: str, holder: str, *, now: datetime) -> bool:
    """It is queued as if it had not been claimed, the attempt not counted. False when the lease is lost."""
    return connection.execute(_PUT_BACK, {"job_id": id, "holder": holder, "now": now}).rowcount > 0


def revive(connection: Connection, id: str, *, now: datetime) -> bool:
    """A dead job is queued with all its attempts; False when there is no dead job of this id."""
    statement = (
        update(jobs)
        .where(jobs.c.id == id, _is("dead"))
        .values(state="queued", key=_free_key(), attempts=0, run_at=now, updated_at=now, finished_at=None)
    )
    return connection.execute(statement).rowcount > 0


def find_job(connection: Connection, id: str) -> Job | None:
    row = connection.execute(select(jobs).where(jobs.c.id == id)).one_or_none()
    return None if row is None else _job(row)


def list_jobs(
    connection: Connection,
    *,
    state: State | None = None,
    kind: str | None = None,
    before: str | None = None,
    limit: int,
) -> list[Job]:
    """Jobs, the newest id first, at most `limit`, all with ids below `before`."""
    statement = select(jobs)
    if state is not None:
        statement = statement.where(_is(state))
    if kind is not None:
        statement = statement.where(jobs.c.kind == kind)
    if before is not None:
        statement = statement.where(jobs.c.id < before)
    return [_job(row) for row in connection.execute(statement.order_by(jobs.c.id.desc()).limit(limit))]


def count_jobs(connection: Connection) -> dict[State, int]:
    """How many there are in each state that any is in."""
    rows = connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
    return {row[0]: row[1] for row in rows}


def purge_finished(
    connection: Connection, *, done_before: datetime, dead_before: datetime, limit: int
) -> int:
    """Delete at most `limit` of each: jobs done before the one time, or dead before the other; how many."""
    purged = 0
    for state, before in (("done", done_before), ("dead", dead_before)):
        old = select(jobs.c.id).where(_is(state), jobs.c.finished_at < before).limit(limit)
        purged += connection.execute(delete(jobs).where(jobs.c.id.in_(old))).rowcount
    return purged


def _is(state: str) -> ColumnElement[bool]:
    return jobs.c.state == literal_column(f"'{state}'")


def _free_key() -> ColumnElement[str | None]:
    """The job's key, or NULL when a job of that key is queued already."""
    other = jobs.alias("other")
    is_taken = (
        exists()
        .where(
            other.c.state == literal_column("'queued'"),
            other.c.kind == jobs.c.kind,
            other.c.key == jobs.c.key,
        )
        .correlate(jobs)
    )
    return case((is_taken, null()), else_=jobs.c.key)


def _finished(now: datetime) -> dict[str, Any]:
    return {"lease": None, "lease_until": None, "updated_at": now, "finished_at": now}


def _change(connection: Connection, id: str, holder: str, **values: object) -> bool:
    return connection.execute(_MINE, {"job_id": id, "holder": holder, **values}).rowcount > 0


def _job(row: Row[*tuple[Any, ...]]) -> Job:
    values = dict(row._mapping)
    values["payload"] = _object(values["payload"]) or {}
    if values["result"] is not None:
        values["result"] = _object(values["result"]) or {}
    return Job(**values)


def _object(encoded: str) -> dict[str, Any] | None:
    """What `encode` encoded; None when it is something else."""
    try:
        value = json.loads(encoded)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _time(name: str) -> Any:
    return bindparam(name, type_=UtcDateTime)


def _end_attempt() -> dict[str, Any]:
    """Queued again at :at, or dead when this was the last attempt; in both cases :why is kept."""
    is_last = jobs.c.attempts >= jobs.c.max_attempts
    return {
        "state": case((is_last, "dead"), else_="queued"),
        "key": case((is_last, jobs.c.key), else_=_free_key()),
        "run_at": case((is_last, jobs.c.run_at), else_=_time("at")),
        "finished_at": case((is_last, _time("now")), else_=null()),
        "error": bindparam("why"),
        "lease": None,
        "lease_until": None,
        "updated_at": _time("now"),
    }


# Built once: building a statement takes as long as running it.
_INSERT = jobs.insert()
_INSERT_KEYED: dict[str, Executable] = {}


@cache
def _next(kinds: tuple[str, ...]) -> Select[*tuple[Any, ...]]:
    """The earliest time of each kind, and of a lease. One look into the index for each: `IN` would sort what
    waits."""
    lost = select(jobs.c.lease_until).where(_is("running")).order_by(jobs.c.lease_until).limit(1)
    queued = [
        select(jobs.c.run_at)
        .where(_is("queued"), jobs.c.kind == kind)
        .order_by(jobs.c.run_at, jobs.c.id)
        .limit(1)
        for kind in kinds
    ]
    return select(*(one.scalar_subquery().label(f"at_{n}") for n, one in enumerate([lost, *queued])))


_LOST = (
    select(jobs.c.id)
    .where(_is("running"), jobs.c.lease_until <= _time("now"))
    .order_by(jobs.c.lease_until)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_TAKE_BACK = (
    update(jobs)
    .where(jobs.c.id == bindparam("job_id"), _is("running"), jobs.c.lease_until <= _time("now"))
    .values(_end_attempt())
)
_MINE = update(jobs).where(jobs.c.id == bindparam("job_id"), jobs.c.lease == bindparam("holder"))
_FAIL = _MINE.values(_end_attempt()).returning(jobs.c.state)
_PUT_BACK = _MINE.values(
    state="queued",
    key=_free_key(),
    attempts=jobs.c.attempts - 1,
    lease=None,
    lease_until=None,
    progress=0.0,
    words="",
    updated_at=_time("now"),
)
# In a CTE, because PostgreSQL may run a plain subquery several times, and would then lock and take more than
# the limit.
_DUE = (
    select(jobs.c.id)
    .where(_is("queued"), jobs.c.kind == bindparam("one_kind"), jobs.c.run_at <= _time("now"))
    .order_by(jobs.c.run_at, jobs.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("due")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_CLAIM = (
    update(jobs)
    .where(jobs.c.id.in_(select(_DUE.c.id)))
    .values(
        state="running",
        lease=bindparam("holder"),
        lease_until=_time("until"),
        attempts=jobs.c.attempts + 1,
        progress=0.0,
        words="",
        updated_at=_time("now"),
    )
    .returning(*jobs.c)
)
