"""Joining a large document: alone, a hundred at once, and after a start.

Owns: these three scenarios. Does not own: clients and servers. A client is in when it has read the last byte
of its sync step 2; of those bytes it keeps none, so that a hundred of them read as fast as one core can.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from tests.load.client import Client, Seat
from tests.load.crowd import Crowd, CrowdError
from tests.load.edits import Edits, drawing
from tests.load.scenarios import Row, Run, quiet
from tests.load.servers import Server

DOCUMENT_BYTES: Final = 5_000_000
ALONE: Final = 15
KEPT_BYTES: Final = 64
UPLOAD_S: Final = 60.0


@contextmanager
def crowd_of(seats: list[Seat]) -> Iterator[tuple[Crowd, list[Client]]]:
    """Clients who only come in; not connected yet."""
    with Crowd(Edits()) as crowd:
        members = crowd.room(seats, 0)
        for member in members:
            member.keep_only(KEPT_BYTES)
        yield crowd, members


@asynccontextmanager
async def uploaded(run: Run, server: Server, seats: list[Seat]) -> AsyncIterator[int]:
    """A large document in the room, and its size as the server gives it. Raises CrowdError.

    Who brought it stays: peers forget a document with its last client.
    """
    run.say("uploading the document")
    update = await asyncio.to_thread(drawing, DOCUMENT_BYTES)
    first, *checks = seats
    with crowd_of([first]) as (crowd, (author,)):
        # as a stock client does: the answer to the server's question for what it lacks
        author.answer = first.dialect.step_2(update)
        await crowd.enter([author])
        end = time.monotonic() + UPLOAD_S
        for seat in checks:
            await asyncio.sleep(0.5)
            if author.closed is not None:
                raise CrowdError(f"The document was not taken: {author.closed}")
            size, _ = await join(seat)
            if size > len(update) * 0.9:
                await quiet(server)
                yield size
                return
            if time.monotonic() > end:
                break
    raise CrowdError(f"The document of {len(update):,} bytes did not get in.")


async def join(seat: Seat) -> tuple[int, float]:
    """Come in and leave: bytes of the step 2, and the seconds from connecting until it was here."""
    with crowd_of([seat]) as (crowd, (client,)):
        began = time.perf_counter()
        await crowd.enter([client])
        return client.step_2_bytes, client.synced_at - began


async def large(run: Run, name: str, how: str) -> Row:
    """`how`: alone, crowd or start."""
    with run.server() as server:
        (seats,) = server.seats(1, 160)
        holders, seats = seats[:30], seats[30:]
        async with uploaded(run, server, holders) as size:
            if how == "alone":
                row = await alone(run, name, seats, size)
            elif how == "crowd":
                row = await at_once(run, name, server, seats[:100], size)
            else:
                row = await after_start(run, name, server, seats[0], size)
        usage = server.usage()
        row.rss_bytes = usage.rss_bytes if usage else None
    row.notes.insert(0, f"the document's step 2 has {size / 1e6:.1f} MB")
    return row


def check_size(size: int, whole: int) -> None:
    """Raises CrowdError when somebody got something else than the document."""
    if size < whole * 0.9:
        raise CrowdError(f"Somebody who joined got {size:,} bytes instead of {whole:,}.")


async def alone(run: Run, name: str, seats: list[Seat], whole: int) -> Row:
    run.say(f"{ALONE} joins, one after the other")
    took_ms = []
    for seat in seats[:ALONE]:
        size, took_s = await join(seat)
        check_size(size, whole)
        took_ms.append(took_s * 1e3)
        await asyncio.sleep(0.1)
    p50 = statistics.median(took_ms)
    return Row(
        name, run.target.name, "join a 5 MB document, alone", "ms p50", p50, p50_ms=p50, p99_ms=max(took_ms)
    )


async def at_once(run: Run, name: str, server: Server, seats: list[Seat], whole: int) -> Row:
    run.say(f"{len(seats)} join at once")
    before = server.usage()
    with crowd_of(seats) as (crowd, members):
        began = time.perf_counter()
        await crowd.enter(members, at_once=len(members))
        took_s = sorted(member.synced_at - began for member in members)
        check_size(min(member.step_2_bytes for member in members), whole)
        await quiet(server)
    after = server.usage()
    row = Row(name, run.target.name, f"{len(seats)} join it at once, until the last has it", "s", took_s[-1])
    row.p50_ms, row.p99_ms = took_s[len(took_s) // 2] * 1e3, took_s[-1] * 1e3
    if before and after:
        row.notes.append(f"{(after.cpu_s - before.cpu_s) * 1e3 / len(seats):.1f} ms of the server a join")
    return row


async def after_start(run: Run, name: str, server: Server, seat: Seat, whole: int) -> Row:
    row = Row(name, run.target.name, "the first join of it after a start", "s", None)
    restart = getattr(server, "restart", None)
    if restart is None:
        row.notes.append("after a start there is nothing to join: it keeps nothing, or is not ours to start")
        return row
    run.say("stopping and starting the server")
    started_in_s = await asyncio.to_thread(restart)
    size, row.value = await join(seat)
    check_size(size, whole)
    row.p50_ms = row.value * 1e3
    row.notes.append(f"it was ready {started_in_s:.2f} s after it was started, counted before")
    return row
