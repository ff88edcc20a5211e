"""What one edit costs in the engine: `python -m tests.bench.engine`.

Prints microseconds per edit through one room for 1, 10 and 100 recorded connections, admission and layout per
update, the load of a large room, and a profile. No sockets and no disk: what is left is ours and pycrdt's.
"""

import asyncio
import cProfile
import io
import pstats
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from party import wire
from party.admission import dissect
from party.document import Document, compact
from party.hub import open_hub
from party.layout import Layout
from party.limits import Limits
from party.memory import MemoryBus, MemoryJournal
from party.room import Room
from tests.party.peers import ANNA, Peer, Wire, open_room

EDITS = 2000


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def edits(count: int) -> tuple[bytes, list[bytes]]:
    """An element and `count` moves of it, each one update."""
    peer = Peer()
    peer.draw("moved")
    for number in range(count):
        peer.elements["moved"]["geometry"] = {"x": number, "y": 1.5, "width": 10, "height": 10, "angle": 0}
    first, *moves = peer.outgoing
    return first, moves


def drawing(count: int) -> bytes:
    peer = Peer()
    for number in range(count):
        peer.draw(f"e{number}", x=number)
    return peer.doc.get_update()


def crowd(room: Room, connections: int) -> tuple[Peer, list[Wire]]:
    peers = [Peer(ANNA) for _ in range(connections)]
    for peer in peers:
        peer.enter(room)
        peer.wire.sent.clear()
    return peers[0], [peer.wire for peer in peers]


def best_us(work: Callable[[], int], repeat: int = 3) -> float:
    """Microseconds per thing that `work` says it did, the best of some runs."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        done = work()
        best = min(best, (time.perf_counter() - start) / done)
    return best * 1e6


def through_room(connections: int, per_batch: int) -> Callable[[], int]:
    def work() -> int:
        room = open_room()
        author, wires = crowd(room, connections)
        first, moves = edits(EDITS)
        messages = [wire.encode_update(move) for move in moves]
        author.send(wire.encode_update(first))
        commit(room)
        start = time.perf_counter()
        for at in range(0, len(messages), per_batch):
            for message in messages[at : at + per_batch]:
                author.send(message)
            commit(room)
        work.seconds = time.perf_counter() - start  # type: ignore[attr-defined]
        assert all(one.sent for one in wires)
        return len(messages)

    return work


def commit(room: Room) -> None:
    batch = room.take_batch(0.0)
    assert batch is not None
    room.commit(room.view.seq + len(batch.entries), 0.0)


def measure_rooms() -> None:
    for connections in (1, 10, 100):
        for per_batch in (1, 20):
            work = through_room(connections, per_batch)
            best = float("inf")
            for _ in range(3):
                count = work()
                best = min(best, work.seconds / count)  # type: ignore[attr-defined]
            name = f"room, {connections:3} connections, {per_batch:2} edits a batch"
            say(f"{name}: {best * 1e6:6.1f} us an edit")


async def measure_hub() -> None:
    journal = MemoryJournal()
    journal.create("r")
    async with open_hub(journal, Limits()) as hub:
        author = await Peer(ANNA).connect(hub)
        others = [await Peer(ANNA).connect(hub) for _ in range(9)]
        author.read()
        first, moves = edits(EDITS)
        author.send(wire.encode_update(first))
        await asyncio.sleep(0.05)
        heard = len(others[0].wire.sent)
        start = time.perf_counter()
        for move in moves:
            author.send(wire.encode_update(move))
            await asyncio.sleep(0)
        while not author.wire.sent or journal_seq(journal) < EDITS + 1:
            await asyncio.sleep(0)
        spent = time.perf_counter() - start
        assert len(others[0].wire.sent) > heard
        say(f"hub, 10 connections, the journal in memory: {spent / EDITS * 1e6:6.1f} us an edit")


async def measure_nodes() -> None:
    """CPU of one room with an author and 9 others, at one node and spread over two."""
    spent = {}
    for count in (1, 2):
        journal = MemoryJournal()
        journal.create("r")
        async with AsyncExitStack() as stack:
            first_bus = MemoryBus("n0")
            buses = [first_bus, *(MemoryBus(f"n{n}", first_bus) for n in range(1, count))]
            hubs = [await stack.enter_async_context(open_hub(journal, Limits(), bus=bus)) for bus in buses]
            author = await Peer(ANNA).connect(hubs[0])
            others = [await Peer(ANNA).connect(hubs[n % count]) for n in range(9)]
            await asyncio.sleep(0.1)
            for peer in (author, *others):
                peer.read()
            first, moves = edits(200)
            author.send(wire.encode_update(first))
            await asyncio.sleep(0.05)
            start = time.process_time()
            for move in moves:
                author.send(wire.encode_update(move))
                await asyncio.sleep(0.02)
            spent[count] = (time.process_time() - start) / len(moves)
            assert len(others[-1].wire.of(wire.Update)) > len(moves) // 2
    one, two = spent[1] * 1e6, spent[2] * 1e6
    say(f"one room, an edit each 20 ms: {one:6.1f} us CPU at one node, {two:6.1f} at two ({two / one:.2f} x)")


def journal_seq(journal: MemoryJournal) -> int:
    return journal._rooms["r"].seq


def measure_parts() -> None:
    first, moves = edits(EDITS)
    state = drawing(2000)

    def admit() -> int:
        for move in moves:
            dissect(move)
        return len(moves)

    def decode() -> int:
        for message in messages:
            wire.decode_message(message)
        return len(messages)

    def apply() -> int:
        document = Document(watch_elements=True)
        for made in (first, *moves):
            with document.batch():
                document.apply(made)
        return len(moves)

    def lay_out() -> int:
        layout = Layout(256)
        layout.add(dissect(state), {})
        return 1

    messages = [wire.encode_update(move) for move in moves]
    say(f"wire, decode of one update: {best_us(decode):6.1f} us")
    say(f"admission, one move of {len(moves[0])} bytes: {best_us(admit):6.1f} us")
    say(f"admission, an element of {len(first)} bytes: {best_us(lambda: (dissect(first), 1)[1]):6.1f} us")
    say(f"document, apply of one move: {best_us(apply):6.1f} us")
    structs = len(dissect(state).places)
    per_struct = best_us(lambda: (dissect(state), structs)[1])
    say(f"admission, {structs} structs in {len(state)} bytes: {per_struct:6.2f} us a struct")
    say(f"layout of the same room: {best_us(lay_out) / structs:6.2f} us a struct")
    say(f"load of the same room: {best_us(lambda: (open_room(updates=[state]), 1)[1]) / 1000:6.1f} ms")
    say(f"compact of the same room: {best_us(lambda: (compact(None, [state]), 1)[1]) / 1000:6.1f} ms")


def profile() -> None:
    watch = cProfile.Profile()
    work = through_room(10, 1)
    watch.enable()
    work()
    watch.disable()
    out = io.StringIO()
    pstats.Stats(watch, stream=out).sort_stats("tottime").print_stats(14)
    lines = [line for line in out.getvalue().splitlines() if line.strip()]
    say("profile, 10 connections, one edit a batch:")
    say("\n".join(lines[2:]))


def main() -> None:
    measure_parts()
    measure_rooms()
    asyncio.run(measure_hub())
    asyncio.run(measure_nodes())
    profile()


if __name__ == "__main__":
    main()
