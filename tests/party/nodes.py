"""Nodes of one installation in one event loop: hubs over one journal and a bus with bad days.

Owns: `RoughBus`, which loses, repeats, delays and damages; `NodeJournal`, one node's way to a journal that
all share; `Node`, a hub in a task of its own that can be killed.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from party.admission import dissect
from party.errors import Unavailable
from party.hub import Hub, open_hub
from party.limits import Limits
from party.memory import MemoryBus, MemoryJournal
from party.ports import NO_TOMBSTONES, Basis, Entry, Head, Schema, StoredRoom, Tail, Tombstones


class RecordedJournal(MemoryJournal):
    """What all nodes write; keeps every row ever appended."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[str, list[bytes]] = {}
        self.held: dict[int, int] = {}
        """Client id to next clock, of all rows."""

    def create(self, room_id: str, schema: Schema = "canvas", epoch: int = 1) -> None:
        super().create(room_id, schema, epoch)
        self.log[room_id] = []

    async def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> int:
        seq = await super().append(room_id, epoch, entries, basis)
        for entry in entries:
            self.log[room_id].append(entry.update)
            self.held |= dissect(entry.update).advances(self.held)
        return seq


class NodeJournal:
    """One node's way to the journal: slow, failing, failing after the fact, or cut off for good."""

    def __init__(self, shared: RecordedJournal, random: Random | None = None) -> None:
        self.shared = shared
        self._random = random
        self.is_dead = False
        self.dies_after_append = False
        self.failing_until_s = 0.0
        self.unknown_until_s = 0.0
        self.violations: list[str] = []
        self.late_checkpoints = 0
        """Another node was faster."""

    @property
    def held(self) -> dict[int, int]:
        return self.shared.held

    async def _wait(self) -> None:
        if self._random is not None:
            await asyncio.sleep(self._random.choice([0, 0, 0.001, 0.01, 0.05, 0.4]))
        if self.is_dead or asyncio.get_running_loop().time() < self.failing_until_s:
            raise Unavailable

    async def load(self, room_id: str) -> StoredRoom:
        await self._wait()
        stored = await self.shared.load(room_id)
        await self._wait()
        return stored

    async def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> int:
        await self._wait()
        seq = await self.shared.append(room_id, epoch, entries, basis)
        if self.dies_after_append:
            self.is_dead = True
        await self._wait()
        if asyncio.get_running_loop().time() < self.unknown_until_s:
            raise Unavailable
        return seq

    async def read(self, room_id: str, epoch: int, after_seq: int) -> Tail:
        await self._wait()
        tail = await self.shared.read(room_id, epoch, after_seq)
        await self._wait()
        return tail

    async def heads(self, known: Mapping[str, tuple[int, int]]) -> list[Head]:
        await self._wait()
        return await self.shared.heads(known)

    async def checkpoint(
        self,
        room_id: str,
        epoch: int,
        *,
        after_seq: int,
        seq: int,
        state: bytes,
        tombstones: Tombstones = NO_TOMBSTONES,
    ) -> bool:
        await self._wait()
        is_taken = await self.shared.checkpoint(
            room_id, epoch, after_seq=after_seq, seq=seq, state=state, tombstones=tombstones
        )
        self.late_checkpoints += not is_taken
        return is_taken


class RoughBus(MemoryBus):
    """With a `random`: delays and reorders, and while it `is_rough` loses, repeats and damages."""

    def __init__(self, node: str, other: MemoryBus | None = None, random: Random | None = None) -> None:
        super().__init__(node, other)
        self._random = random
        self.is_rough = False
        self.sent: list[tuple[str | None, bytes]] = []
        self.keeps = False

    def send(self, data: bytes, to: str | None = None) -> None:
        if self.keeps:
            self.sent.append((to, data))
        random = self._random
        if random is None:
            super().send(data, to)
            return
        if not self.is_connected:
            return
        for node, bus in list(self._nodes.items()):
            if node == self.node or to not in (None, node):
                continue
            dice = random.random() if self.is_rough else 1.0
            if dice < 0.15:
                continue
            if dice < 0.2:
                damaged = bytearray(data)
                damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
                data = bytes(damaged)
            for _ in range(2 if dice < 0.3 else 1):
                delay_s = random.choice([0, 0, 0.001, 0.03, 0.3] if self.is_rough else [0, 0.001])
                asyncio.get_running_loop().call_later(delay_s, bus._hear, self.node, data)


@dataclass(eq=False)
class Node:
    """One process: a hub, its bus, its way to the journal."""

    hub: Hub
    bus: RoughBus
    journal: NodeJournal
    _end: asyncio.Event
    _task: "asyncio.Task[None]"

    def kill(self) -> None:
        """As SIGKILL: nothing it says or writes from now on reaches anybody."""
        self.journal.is_dead = True
        self.bus.cut()
        self.bus.close()
        self._end.set()

    async def drain(self) -> None:
        """As SIGTERM."""
        self._end.set()
        await self._task
        self.bus.close()


class Cluster:
    """The nodes over one journal."""

    def __init__(self, limits: Limits, random: Random | None = None, poll_s: float | None = None) -> None:
        self.shared = RecordedJournal()
        self.nodes: list[Node] = []
        self._limits = limits
        self._random = random
        self._poll_s = poll_s
        self._started = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Cluster":
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:
            node._end.set()
        await asyncio.gather(*self._tasks)

    async def start(self, name: str | None = None) -> Node:
        self._started += 1
        bus = RoughBus(name or f"n{self._started}", self.nodes[0].bus if self.nodes else None, self._random)
        journal = NodeJournal(self.shared, self._random)
        end, ready = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def run() -> None:
            async with open_hub(journal, self._limits, bus=bus, poll_s=self._poll_s) as hub:
                ready.set_result(hub)
                await end.wait()

        task = asyncio.create_task(run())
        self._tasks.append(task)
        node = Node(await ready, bus, journal, end, task)
        self.nodes.append(node)
        return node

    async def kill(self, node: Node) -> None:
        self.nodes.remove(node)
        node.kill()

    async def drain(self, node: Node) -> None:
        self.nodes.remove(node)
        await node.drain()
