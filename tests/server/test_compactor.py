"""Checkpoints in a child process: right, off the event loop, and gone when the server is."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pycrdt import Doc, Map

from party.errors import Unavailable
from party.ports import StoredRoom, Tombstones
from server.compactor import INLINE_BYTES, open_compactor
from tests.party.contents import content
from tests.party.peers import doc_of
from tests.server.hangs import hold_the_gil

ROOT = Path(__file__).parents[2]

ROOMY = """
import asyncio
import time

from server.compactor import open_compactor
from tests.server.test_compactor import large_room

async def main():
    async with open_compactor() as compactor:
        await compactor(large_room())
        print(*[child.pid for child in compactor.child.processes()], flush=True)
        time.sleep(60)

if __name__ == "__main__":
    asyncio.run(main())
"""


def large_room() -> StoredRoom:
    doc: Doc[object] = Doc()
    with doc.transaction():
        doc.get("map", type=Map)["long"] = "x" * (2 * INLINE_BYTES)
        doc.get("elements", type=Map)["gone"] = Map({"deleted": True})
    return StoredRoom("r", "canvas", 1, seq=1, checkpoint_seq=0, checkpoint=None, updates=(doc.get_update(),))


def until_gone(pid: int) -> None:
    """Wait for the end of a process that somebody else waits for, too."""
    end = time.monotonic() + 30
    with contextlib.suppress(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            assert time.monotonic() < end, "the child outlived the server"
            time.sleep(0.02)


async def test_a_large_document_is_compacted_beside_the_event_loop() -> None:
    """J5, J7: the same state comes back, with what is deleted in it, and the loop turns meanwhile."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    stored = large_room()
    async with open_compactor() as compactor:
        counting = asyncio.create_task(count())
        made = await compactor(stored)
        assert content(doc_of(made.state)) == content(doc_of(*stored.updates))
        assert made.tombstones == Tombstones(new=frozenset({"gone"}))
        counting.cancel()
        assert turns > 1
        (child,) = compactor.child.processes()
        assert child.pid is not None
    await asyncio.to_thread(until_gone, child.pid)


async def test_a_checkpoint_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """J5: its child is killed at the deadline; the next checkpoint is computed by a fresh one."""
    stored = large_room()
    async with open_compactor(deadline_s=0.2) as compactor:
        monkeypatch.setattr("server.compactor.make_checkpoint", hold_the_gil)
        with pytest.raises(Unavailable, match="too long"):
            await compactor(stored)
        assert compactor.child.processes() == []
    monkeypatch.undo()
    async with open_compactor() as compactor:
        made = await compactor(stored)
        assert content(doc_of(made.state)) == content(doc_of(*stored.updates))


def test_the_child_ends_when_the_server_is_killed(tmp_path: Path) -> None:
    """A server that is killed can't end its child; the child notices."""
    script = tmp_path / "roomy.py"
    script.write_text(ROOMY, encoding="utf-8")
    server = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert server.stdout is not None
    child = int(server.stdout.readline())
    server.kill()
    server.wait()
    until_gone(child)
