"""server.children: work beside the event loop that is killed when it hangs. With real processes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

import pytest

from party.readings import read_root
from server.children import ChildEnded, ChildNotStarted, Crowded, Overdue, open_child
from tests.server.hangs import die, echo, fail, hold_the_gil, is_imported, leave_a_mark, mark
from tests.server.test_compactor import ROOT, until_gone

KILLED_WHILE_IT_HANGS = """
import asyncio
import os

from server.children import open_child
from tests.server.hangs import echo, hold_the_gil

async def main():
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        await child.run(echo, b"started")
        hanging = asyncio.create_task(child.run(hold_the_gil))
        await asyncio.sleep(0.5)
        print(*[one.pid for one in child.processes()], flush=True)
        os.kill(os.getpid(), 9)

if __name__ == "__main__":
    asyncio.run(main())
"""


async def test_one_child_does_all_the_work_in_order() -> None:
    """It starts on first use and ends with the block."""
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        assert child.processes() == []
        done = await asyncio.gather(*(child.run(echo, bytes([n])) for n in range(8)))
        assert [value for value, _ in done] == [bytes([n]) for n in range(8)]
        (process,) = child.processes()
        assert {pid for _, pid in done} == {process.pid}
    assert process.pid is not None
    await asyncio.to_thread(until_gone, process.pid)


async def test_work_that_hangs_is_killed_and_the_others_are_done_by_a_fresh_child() -> None:
    """R1: a read that hangs in native code costs its asker, not those behind it."""
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        _, first = await child.run(echo, b"before")
        child._deadline_s = 0.5
        hanging = asyncio.create_task(child.run(hold_the_gil))
        await asyncio.sleep(0)
        # the others have time enough on a busy machine
        child._deadline_s = 60
        behind = [asyncio.create_task(child.run(echo, bytes([n]))) for n in range(3)]
        with pytest.raises(Overdue):
            await hanging
        done = await asyncio.gather(*behind)
        assert [value for value, _ in done] == [b"\x00", b"\x01", b"\x02"]
        assert first not in {pid for _, pid in done}
        await asyncio.to_thread(until_gone, first)


async def test_who_gives_up_ends_the_work() -> None:
    """Nobody waits for an answer that nobody wants."""
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        await child.run(echo, b"started")
        hanging = asyncio.create_task(child.run(hold_the_gil))
        await asyncio.sleep(0.05)
        hanging.cancel()
        assert (await child.run(echo, b"after"))[0] == b"after"
        with pytest.raises(asyncio.CancelledError):
            await hanging


async def test_a_child_that_dies_is_started_anew() -> None:
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        with pytest.raises(ChildEnded):
            await child.run(die)
        assert (await child.run(echo, b"after"))[0] == b"after"


async def test_a_child_that_is_killed_while_it_rests_costs_nobody_anything() -> None:
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        _, first = await child.run(echo, b"before")
        os.kill(first, signal.SIGKILL)
        await asyncio.to_thread(until_gone, first)
        assert (await child.run(echo, b"after"))[0] == b"after"


async def test_a_child_that_somebody_else_reaped_is_seen_to_be_gone() -> None:
    """Who asks for its exit status second learns nothing: so does who asks while the executor is asking."""
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        _, first = await child.run(echo, b"before")
        reaping = asyncio.create_task(asyncio.to_thread(os.waitpid, first, 0))
        await asyncio.sleep(0.05)
        os.kill(first, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            await reaping
        await asyncio.to_thread(until_gone, first)
        assert (await child.run(echo, b"after"))[0] == b"after"


async def test_a_child_is_prepared_before_any_work() -> None:
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60, prepare=leave_a_mark) as child:
        assert await child.run(mark) == "prepared"


async def test_no_work_pays_for_what_it_imports() -> None:
    """That is part of the start, which takes long where the processor is elsewhere."""
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        await child._started(read_root)
        assert await child.run(is_imported, read_root.__module__)


async def test_a_child_that_can_not_be_prepared_is_not_the_works_fault() -> None:
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60, prepare=die) as child:
        for _ in range(2):
            with pytest.raises(ChildNotStarted):
                await child.run(echo, b"never")


async def test_a_child_without_work_goes_when_it_should() -> None:
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60, idle_s=0.5) as child:
        _, first = await child.run(echo, b"one")
        # work that comes in time keeps it, also work that takes longer than it may rest
        assert (await child.run(echo, b"two", 0.8)) == (b"two", first)
        await asyncio.to_thread(until_gone, first)
        assert child.processes() == []
        assert (await child.run(echo, b"three"))[1] != first


async def test_what_the_work_raises_is_raised_and_the_child_goes_on() -> None:
    async with open_child(deadline_s=60, most_waiting=8, wait_s=60) as child:
        _, first = await child.run(echo, b"before")
        with pytest.raises(TimeoutError, match="of the work itself"):
            await child.run(fail)
        assert await child.run(echo, b"after") == (b"after", first)


async def test_the_queue_is_bounded_in_length_and_in_time() -> None:
    """At once when too many wait, later when the turn does not come."""
    async with open_child(deadline_s=60, most_waiting=1, wait_s=0.2) as child:
        busy = asyncio.create_task(child.run(hold_the_gil))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(child.run(echo, b"late"))
        await asyncio.sleep(0)
        with pytest.raises(Crowded):
            await child.run(echo, b"too many")
        with pytest.raises(Crowded):
            await waiting
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await busy
        assert (await child.run(echo, b"after"))[0] == b"after"


async def test_a_child_that_hangs_ends_with_a_killed_server() -> None:
    """R1: native code that never lets go of the GIL does not outlive whoever asked for it."""
    command = [sys.executable, "-c", KILLED_WHILE_IT_HANGS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        child = int(await asyncio.to_thread(server.stdout.readline))
    await asyncio.to_thread(until_gone, child)
