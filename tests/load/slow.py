"""Slow readers: a hundred clients that never read, beside a writer and ten who do.

Owns: this scenario. What is asked: how much later the others get their edits, and what each of the hundred
costs in memory. Both are differences to the same writing without them.
"""

from typing import Final

from tests.load.crowd import Crowd
from tests.load.edits import Edits
from tests.load.scenarios import Measured, Row, Run, measure, quiet, row_of
from tests.load.servers import Server

READERS: Final = 10
BULK_BYTES: Final = 32 * 1024
"""One edit: at 40/s a slow reader falls 1.3 MB behind every second, more than a kernel buffers for it."""

PER_S: Final = 40.0
RECEIVE_BYTES: Final = 4096


async def slow(run: Run, name: str, count: int) -> Row:
    """p99 of the others with `count` slow readers, and without."""
    with run.server() as server:
        # what comes with the first megabytes, such as a process for checkpoints, is no reader's cost
        await once(run, server, 0)
        # in turn, and the better one of each: what else runs on the machine is no reader's doing
        runs = [(await once(run, server, 0), await once(run, server, count)) for _ in range(2)]
    without, without_bytes = min((pair[0] for pair in runs), key=lateness)
    beside, beside_bytes = min((pair[1] for pair in runs), key=lateness)
    row = row_of(beside, name, run, f"{count} clients never read: p99 of the others rises by", "ms", None)
    if beside.p99_ms is not None and without.p99_ms is not None:
        row.value = beside.p99_ms - without.p99_ms
        row.notes.append(f"p99 {without.p99_ms:.1f} ms without them, {beside.p99_ms:.1f} ms beside them")
    if without_bytes is not None and beside_bytes is not None:
        each = (beside_bytes - without_bytes) / count / 2**20
        row.notes.append(f"{each:.2f} MiB of the server for each slow reader (goal of ours: 1)")
    return row


def lateness(result: tuple[Measured, int | None]) -> float:
    """The p99 of a run."""
    return result[0].p99_ms or 0.0


async def once(run: Run, server: Server, count: int) -> tuple[Measured, int | None]:
    """The writing beside so many slow readers, in a new room: what came, and how far the memory grew."""
    (seats,) = server.seats(1, 1 + READERS + count)
    before = server.usage()
    edits = Edits(BULK_BYTES)
    seconds = max(4.0, run.options.seconds)
    edits.make(int(PER_S * (seconds + 1)) + 10)
    with Crowd(edits) as crowd:
        members = crowd.room(seats, 1)
        normal, slow = members[: 1 + READERS], members[1 + READERS :]
        await crowd.enter(normal[:1])
        await crowd.enter(normal[1:])
        await crowd.enter(slow, receive_buffer_bytes=RECEIVE_BYTES)
        for client in slow:
            client.stop_reading()
        await quiet(server)
        run.say(f"writing {PER_S:g} edits/s of 32 KiB beside {count} slow readers")
        measured = await measure(server, crowd, crowd.write(normal[:1], PER_S, seconds))
        after = server.usage()
    await quiet(server)
    return measured, after.rss_bytes - before.rss_bytes if before and after else None
