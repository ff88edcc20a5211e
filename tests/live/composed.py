"""`kanvas serve` with faults built in: python -m tests.live.composed serve

TEST_FAULT=<kill|stop>:<point>:<n>   SIGKILL or SIGSTOP to itself when `point` is reached the n-th time
TEST_SYNCHRONOUS=NORMAL              the database does not fsync at each commit
TEST_LIMITS={"idle_s": 0.1}          limits of the engine, as JSON

Owns: wrapping what the real process is composed of. Production code knows nothing of it.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Engine, event

import db.journal
import db.sqlite
import server.serve
import server.services
from db.journal import SqlJournal
from db.scopes import as_system
from party import hub
from party.limits import Limits
from party.ports import Basis, Entry
from party.room import Room
from party.session import Session
from server import cli

PR_SET_PTRACER = 0x59616D61

POINTS = (
    "before-commit",
    "after-commit",
    "in-fan-out",
    "checkpoint-computed",
    "checkpoint-in-transaction",
    "checkpoint-installed",
    "unloading",
    "unloaded",
)


class Fault:
    """Counts how often its point is reached; the n-th time it strikes."""

    def __init__(self, text: str) -> None:
        what, self.point, times = text.split(":")
        if self.point not in POINTS:
            raise ValueError(f"there is no point {self.point}; there are {', '.join(POINTS)}")
        self._signal = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[what]
        self._left = int(times)

    def reach(self, point: str) -> None:
        if point == self.point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)


def install(fault: Fault) -> None:
    """Put the points into the classes and functions the composition root takes."""

    class FaultyJournal(SqlJournal):
        async def append(
            self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
        ) -> int:
            seq = await super().append(room_id, epoch, entries, basis)
            fault.reach("after-commit")
            return seq

        async def checkpoint(self, room_id: str, epoch: int, **what: Any) -> bool:
            # stopped here and not in the middle of a write, which would hold the database
            await as_system(self._database).write(lambda _connection: None)
            fault.reach("checkpoint-computed")
            done = await super().checkpoint(room_id, epoch, **what)
            fault.reach("checkpoint-installed")
            return done

    def with_point(work: Callable[..., Any], point: str) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            result = work(*args, **named)
            fault.reach(point)
            return result

        return run

    def unload(self: hub.Hub, room: Room) -> None:
        fault.reach("unloading")
        real_unload(self, room)
        fault.reach("unloaded")

    def send(self: Session, *what: Any) -> None:
        real_send(self, *what)
        if any(isinstance(one, bytes) and one[:2] == b"\x00\x02" for one in what):
            fault.reach("in-fan-out")

    real_unload, real_send = hub.Hub._unload, Session.send
    db.journal.SqlJournal = FaultyJournal  # type: ignore[misc]
    # the last statement of a transaction is done, its COMMIT is not
    db.journal._append = with_point(db.journal._append, "before-commit")
    db.journal._move_head = with_point(db.journal._move_head, "checkpoint-in-transaction")
    hub.Hub._unload = unload  # type: ignore[method-assign]
    Session.send = send  # type: ignore[method-assign]


def weaken(synchronous: str) -> None:
    """Every connection gets another PRAGMA synchronous behind those of db/sqlite.py."""
    real_engine = db.sqlite.sqlite_engine

    def weak_engine(*args: Any, **named: Any) -> Engine:
        engine = real_engine(*args, **named)

        @event.listens_for(engine, "connect")
        def _weaken(connection: Any, _record: object) -> None:
            connection.execute(f"PRAGMA synchronous={synchronous}")

        return engine

    db.sqlite.sqlite_engine = weak_engine


def allow_tracing() -> None:
    """Where Yama lets a process be traced by its ancestors alone (Ubuntu), let anybody of ours."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)


def main() -> None:
    allow_tracing()
    # the process that is started is the one that serves, and nobody starts it again
    os.environ.setdefault("KANVAS_SUPERVISOR", "off")
    if text := os.environ.get("TEST_FAULT"):
        install(Fault(text))
    if synchronous := os.environ.get("TEST_SYNCHRONOUS"):
        weaken(synchronous)
    if limits := os.environ.get("TEST_LIMITS"):
        real_open = server.serve.open_services
        server.serve.open_services = partial(real_open, limits=Limits(**json.loads(limits)))  # type: ignore[assignment]
    cli.main()


if __name__ == "__main__":
    main()
