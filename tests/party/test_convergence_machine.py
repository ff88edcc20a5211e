"""The convergence machine: people, a journal and a process that do what they do on bad days, in virtual time.

Six people edit one room, and stall, lose their connection, close the page; the journal is slow, fails, fails
after it has saved, hangs beyond the deadline; the process drains or dies and another one takes over. Whatever
is sent to anybody is in the journal at that instant; in the end all have the same. The seed is in the test's
name.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from party import wire
from party.admission import dissect
from party.document import compact
from party.errors import Unavailable
from party.hub import Hub, open_hub
from party.limits import MIB, Limits
from party.memory import MemoryJournal
from party.ports import Basis, Entry, Principal, Schema
from party.seat import Seat
from party.tint import tint
from tests.party.peers import NOTICE, Peer, Wire, doc_of, everything
from tests.party.test_convergence import edit_anything, edit_drawing
from tests.party.virtual_time import run_virtually

SEEDS = range(int(os.environ.get("TEST_MACHINE_SEEDS", "6")))
STEPS = int(os.environ.get("TEST_MACHINE_STEPS", "200"))
PEOPLE = 6
EXPIRY_S = 30.0


class MachineJournal(MemoryJournal):
    """A journal with moods, which knows what it holds."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self.held: dict[int, int] = {}
        """Client id to next clock, of all rows ever appended."""

        self.failing_until_s = 0.0
        self.unknown_until_s = 0.0
        self.hangs_until_s = 0.0
        self.is_dead = False
        self.violations: list[str] = []
        """What was sent and was not here; not raised at once, the hub would take it for a failing room."""

    async def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> int:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._random.choice([0, 0, 0.001, 0.05, 0.8]))
        await asyncio.sleep(max(0.0, self.hangs_until_s - loop.time()))
        if self.is_dead or loop.time() < self.failing_until_s:
            raise Unavailable
        seq = await super().append(room_id, epoch, entries, basis)
        for entry in entries:
            self.held |= dissect(entry.update).advances(self.held)
        if loop.time() < self.unknown_until_s:
            raise Unavailable
        return seq

    def survivor(self) -> "MachineJournal":
        """What the next process finds after this one died: the rows, and none of what comes later."""
        self.is_dead = True
        other = MachineJournal(self._random)
        other._rooms = dict(self._rooms)
        other.held = dict(self.held)
        other.violations = self.violations
        return other


class CheckedWire(Wire):
    """What is sent is looked at while it is sent: journal before eyes."""

    def __init__(self, journal: MachineJournal) -> None:
        super().__init__()
        self._journal = journal
        self.shown: dict[int, int] = {}

    def send(self, *messages: bytes) -> None:
        if self.closed is None:
            super().send(*messages)
            for message in messages:
                if not message.startswith(NOTICE):
                    self._look(wire.decode_message(message))

    def _look(self, decoded: wire.Message) -> None:
        told: dict[int, int] = {}
        if isinstance(decoded, wire.Step1):
            told = wire.decode_state_vector(decoded.state_vector)
        elif isinstance(decoded, wire.Step2 | wire.Update):
            told = dissect(decoded.update).advances({})
        held = self._journal.held
        ahead = {client: clock for client, clock in told.items() if clock > held.get(client, 0)}
        if ahead:
            self._journal.violations.append(f"sent and not in the journal: {ahead}")
        for client, clock in told.items():
            self.shown[client] = max(clock, self.shown.get(client, 0))


class Person(Peer):
    """A peer that can stall, and comes back with the page it had or a new one."""

    def __init__(self, number: int, client_id: int) -> None:
        super().__init__(Principal(f"u{number}", f"P{number}"), client_id)
        self.is_stalled = False
        self.said = 0
        self._seat: Seat | None = None
        self._heard: dict[int, tuple[float, wire.ClientState]] = {}

    @property
    def is_online(self) -> bool:
        return self._send is not None and self.wire.closed is None

    async def enter_hub(self, hub: Hub, journal: MachineJournal) -> None:
        self.disconnect()
        self.is_stalled = False
        # as y-websocket does when its socket closes
        self.states.clear()
        self._start(CheckedWire(journal))
        self._seat = await hub.join("r", self.principal, self.wire)
        self._send, self._leave = self._seat.receive, self._seat.leave
        self.hello()

    def stall(self) -> None:
        """Reads nothing: what is sent stays in the server."""
        self.is_stalled = True
        self.wire.buffered_bytes = 2 * MIB

    def wake(self) -> None:
        self.is_stalled = False
        self.wire.buffered_bytes = 0
        if self.is_online and self._seat is not None:
            self._seat.drained()

    def lose(self) -> None:
        """The process at the other end is gone without a word."""
        self._send = self._leave = self._seat = None
        if self.wire.closed is None:
            self.wire.closed = 1006, ""

    def turn(self) -> None:
        """Read, answer, and send what was edited."""
        if not self.is_stalled and self.is_online:
            self.read()
            if self.is_online and self.synced:
                self.flush()

    def read(self) -> None:
        """Also forget whom nothing was heard of for 30 s, as y-protocols does."""
        super().read()
        now = asyncio.get_running_loop().time()
        for client, state in list(self.states.items()):
            since_s, before = self._heard.get(client, (now, None))
            if state is not before:
                self._heard[client] = now, state
            elif now - since_s > EXPIRY_S:
                del self.states[client]

    def point(self, at: Any) -> None:
        self.said += 1
        self.say(self.doc.client_id, self.said, {"cursor": at})

    def acknowledged(self) -> int:
        """The clock up to which this page was told that its edits are saved."""
        assert isinstance(self.wire, CheckedWire)
        return self.wire.shown.get(self.doc.client_id, 0)


@dataclass
class Machine:
    """One game."""

    random: Random
    schema: Schema
    journal: MachineJournal = field(init=False)
    people: list[Person] = field(default_factory=list)
    saved: dict[int, int] = field(default_factory=dict)
    """Client id to the clock that a page was told is saved before it was closed."""

    pages: int = 0
    done: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journal = MachineJournal(self.random)
        self.journal.create("r", self.schema)
        self.people = [self._page(number) for number in range(PEOPLE)]

    def _page(self, number: int) -> Person:
        self.pages += 1
        return Person(number, client_id=1000 + self.pages)

    async def play(self) -> None:
        # a wrong value is written again and again here; being closed for it has its own tests
        limits = Limits(max_repairs=10**6, checkpoint_rows=20)
        lives = 1 + self.random.randrange(1, 4)
        for life in range(lives):
            async with AsyncExitStack() as stack:
                hub = await stack.enter_async_context(open_hub(self.journal, limits))
                for _ in range(STEPS // lives):
                    await self._step(hub)
                if life == lives - 1:
                    await self._come_to_rest(hub)
                    await self._check(hub)
                elif self.random.random() < 0.6:
                    self._count("crash")
                    self.journal = self.journal.survivor()
                    for person in self.people:
                        self._note(person)
                        person.lose()
                else:
                    self._count("drain")
            for person in self.people:
                self._note(person)
                person.lose()

    def _count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    def _note(self, person: Person) -> None:
        if isinstance(person.wire, CheckedWire):
            client = person.doc.client_id
            self.saved[client] = max(self.saved.get(client, 0), person.acknowledged())

    async def _step(self, hub: Hub) -> None:
        random = self.random
        now = asyncio.get_running_loop().time()
        which = random.randrange(PEOPLE)
        person = self.people[which]
        edit = edit_drawing if self.schema == "canvas" else edit_anything
        dice = random.random()
        if dice < 0.5:
            with person.doc.transaction():
                for _ in range(random.choice([1, 1, 4])):
                    edit(random, person)
        elif dice < 0.6:
            if person.is_online:
                person.point([which, random.random()])
        elif dice < 0.68:
            self._count("stall")
            person.wake() if person.is_stalled else person.stall()
        elif dice < 0.74:
            self._note(person)
            person.disconnect()
        elif dice < 0.76:
            # the page is closed: of what it was not told to be saved nobody knows
            self._count("page closed")
            person.read() if person.is_online and not person.is_stalled else None
            self._note(person)
            person.disconnect()
            self.people[which] = self._page(which)
        elif dice < 0.80:
            self._count("journal fails")
            self.journal.failing_until_s = now + random.choice([0.2, 2, 25])
        elif dice < 0.84:
            self._count("outcome unknown")
            self.journal.unknown_until_s = now + random.choice([0.2, 2, 25])
        elif dice < 0.86:
            self._count("journal hangs")
            self.journal.hangs_until_s = now + random.choice([0.5, 5, 40])
        elif not person.is_online:
            self._note(person)
            await self._enter(person, hub)
        for one in self.people:
            if random.random() < 0.6:
                one.turn()
        await asyncio.sleep(random.choice([0, 0, 0.001, 0.02, 0.5, 3.0, 12.0]))
        assert self.journal.violations == []

    async def _enter(self, person: Person, hub: Hub) -> None:
        try:
            await person.enter_hub(hub, self.journal)
        except Unavailable:
            self._count("no entry")

    async def _come_to_rest(self, hub: Hub) -> None:
        self.journal.failing_until_s = self.journal.unknown_until_s = self.journal.hangs_until_s = 0.0
        for _ in range(2000):
            for person in self.people:
                person.wake()
                if not person.is_online or not person.synced:
                    self._note(person)
                    await self._enter(person, hub)
                for _ in range(3):
                    person.turn()
                    await asyncio.sleep(0.05)
            first = everything(self.people[0].doc)
            if all(one.synced and not one.outgoing and everything(one.doc) == first for one in self.people):
                return
        raise AssertionError("the documents do not become equal")

    async def _check(self, hub: Hub) -> None:
        expected = everything(self.people[0].doc)
        stored = self.journal._rooms["r"]
        rows = [*([stored.checkpoint] if stored.checkpoint else []), *stored.updates]
        assert everything(doc_of((await hub.state("r"))[1])) == expected
        assert everything(doc_of(*rows)) == expected
        assert everything(doc_of(compact(None, rows))) == expected
        _, vector, _ = expected
        for person in self.people:
            self._note(person)
        assert self.journal.violations == []
        lost = {client: clock for client, clock in self.saved.items() if clock > vector.get(client, 0)}
        assert not lost, f"told to be saved and lost: {lost}"
        await self._check_presence()

    async def _check_presence(self) -> None:
        # a removal that a full connection was not sent (P5) is the other end's expiry; renewed every 10 s
        for _ in range(4):
            for which, person in enumerate(self.people):
                # higher than whatever this client id had before it was lost
                person.said += 1000
                person.point(["last", which])
            for _ in range(20):
                await asyncio.sleep(0.5)
                for person in self.people:
                    person.turn()
        ids = {person.doc.client_id: which for which, person in enumerate(self.people)}
        for person in self.people:
            seen = {client: person.states[client].state for client in ids if client in person.states}
            assert seen == {
                client: {
                    "cursor": ["last", which],
                    "user": {"id": f"u{which}", "name": f"P{which}", "color": tint(f"u{which}")},
                }
                for client, which in ids.items()
            }
            others = [
                client for client, one in person.states.items() if one.state is not None and client not in ids
            ]
            assert others == [], "somebody who is gone is still shown"


@pytest.mark.parametrize("schema", ["canvas", "open"])
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed{seed}")
def test_whatever_happens_all_are_equal_in_the_end(
    seed: int, schema: Schema, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2 R5 R7 R8 R10 D4 D6 H4 H7 J6 P4: and what anybody was sent was in the journal when it was sent."""
    monkeypatch.setattr("party.retry.random", Random(f"{seed} hub"))
    machine = Machine(Random(f"{seed} {schema}"), schema)
    run_virtually(machine.play())
    print(machine.done)
    assert sum(machine.saved.values()) > 0


def test_the_machine_notices_a_journal_that_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    """R5 J1: one append of forty is acknowledged and not kept; that is what all of this is about."""
    keep = MachineJournal.append
    dice = Random(1)

    async def forget(
        self: MachineJournal, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> int:
        if dice.random() < 1 / 40:
            return self._rooms[room_id].seq + len(entries)
        return await keep(self, room_id, epoch, entries, basis)

    monkeypatch.setattr(MachineJournal, "append", forget)
    with pytest.raises(ExceptionGroup) as found:
        run_virtually(Machine(Random("liar"), "open").play())
    assert "not in the journal" in str(found.value.exceptions[0])
