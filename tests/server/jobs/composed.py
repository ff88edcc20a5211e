"""`kanvas worker` with kinds of the test's own: python -m tests.server.jobs.composed worker

TEST_LEASE_S=<seconds>   how long a lease lasts
TEST_CLOCK=<file>        the time of the database's rows is what is written there; it stands still otherwise

Owns: what the real process is composed of. A job's payload names a file; what happens is told there, a line
each, appended in one write so that several processes can.
"""

import asyncio
import contextlib
import os
import sys
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import server.serve
import server.services
import server.worker
from server import cli
from server.jobs.base import JobCall
from server.jobs.timing import Timing


def tell(call: JobCall, what: str) -> None:
    line = f"{what} {call.job.id} {os.getpid()}\n".encode()
    out = os.open(call.job.payload["file"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, line)
    os.close(out)


async def draw(call: JobCall) -> None:
    """Takes so many seconds, each attempt of its own."""
    tell(call, "begin")
    takes_s = call.job.payload["takes_s"]
    await asyncio.sleep(takes_s[min(call.job.attempts, len(takes_s)) - 1])
    tell(call, "end")


async def wait(call: JobCall) -> None:
    """Until there is a file of this name."""
    tell(call, "begin")
    while not Path(call.job.payload["for"]).exists():
        await asyncio.sleep(0.02)


async def ignore(call: JobCall) -> None:
    """Never ends."""
    tell(call, "begin")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


def main() -> None:
    lease_s = float(os.environ["TEST_LEASE_S"])
    timing = replace(Timing(), lease_s=lease_s, poll_s=0.05, poll_most_s=0.2, grace_s=0.3, settle_s=20.0)
    real_runner = server.services.Runner

    def make_runner(*arguments: Any, **more: Any) -> Any:
        if clock := os.environ.get("TEST_CLOCK"):
            more["now"] = lambda: datetime.fromisoformat(Path(clock).read_text())
        return real_runner(*arguments, **more, timing=timing)

    server.services.Runner = make_runner  # type: ignore[misc, assignment]
    real_open = server.worker.open_services
    handlers = {"draw": draw, "wait": wait, "ignore": ignore}
    server.worker.open_services = partial(real_open, handlers=handlers)  # type: ignore[assignment]
    server.serve.END_S = 0.5  # type: ignore[misc]
    sys.argv[0] = Path(sys.argv[0]).name
    cli.main()


if __name__ == "__main__":
    main()
