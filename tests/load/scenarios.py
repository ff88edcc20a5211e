"""The rows of the goals table: what is done, what is measured, and what ours should reach.

Owns: the scenarios by name and one run of each. Does not own: clients (crowd), servers, how a row looks.
Every scenario of every server begins with a fresh server, so that one leaves nothing to the next.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.load.client import Client
from tests.load.crowd import Crowd, CrowdError, wait_until
from tests.load.edits import Edits
from tests.load.servers import Server, Target

CROWDED: Final = 0.2
"""Part of the time that a server waited for its core, from which on its latencies are not its own."""

BUSY: Final = 0.9
"""Part of a core from which on the load itself may be what limits the result."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a person may choose for all scenarios."""

    seconds: float = 5.0
    relay: bool = False
    clients: int = 100
    writers: int = 10
    per_s: float = 20.0


@dataclass(slots=True)
class Row:
    """One scenario's result for one server. `value` is what the goal is about, None when there is none."""

    scenario: str
    server: str
    what: str
    unit: str
    value: float | None
    goal: float | None = None
    more_is_better: bool = False
    cpu_ms: float | None = None
    """Processor time of the server's tree per 1,000 deliveries."""
    per_s: float | None = None
    """Deliveries per second."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    rss_bytes: int | None = None
    notes: list[str] = field(default_factory=list)
    delivered: int = 0
    expected: int = 0
    is_behind: bool = False
    """It delivered much less than was asked: what it used is no measure of the work."""
    failed: bool = False
    """The clients could not do what the scenario asks for; the last remark says why."""


@dataclass(slots=True)
class Run:
    """One scenario against one server."""

    target: Target
    options: Options
    core: int | None
    say: Callable[[str], None]

    @contextmanager
    def server(self) -> Iterator[Server]:
        self.say("getting the server ready")
        with self.target.running(self.core) as server:
            try:
                yield server
            except CrowdError as error:
                told = server.death()
                if told is None:
                    raise
                raise CrowdError(f"{error}\n{told}") from error


@dataclass(slots=True)
class Measured:
    """What happened between two moments."""

    seconds: float
    cpu_s: float | None
    delivered_in_time: int
    delivered: int
    expected: int
    cursors: int
    p50_ms: float | None
    p99_ms: float | None
    rss_bytes: int | None
    load_cores: float
    notes: list[str]

    @property
    def cores(self) -> float | None:
        return None if self.cpu_s is None else self.cpu_s / self.seconds

    @property
    def cpu_ms_per_1000(self) -> float | None:
        return None if self.cpu_s is None or not self.delivered else self.cpu_s * 1e6 / self.delivered

    @property
    def per_s(self) -> float:
        return self.delivered_in_time / self.seconds


async def measure(server: Server, crowd: Crowd, work: Awaitable[float], settle_s: float = 10.0) -> Measured:
    """Do the work, wait until all has arrived, and say what it took."""
    ledger = crowd.ledger
    ledger.reset()
    gc.collect()
    before, own_before = server.usage(), time.process_time()
    seconds = await work
    in_time, load_cores = ledger.delivered, (time.process_time() - own_before) / seconds
    settled = await crowd.settle(settle_s)
    after = server.usage()
    if server.death() is not None:
        raise CrowdError("The server did not survive the load.")
    notes = []
    if not settled:
        notes.append(f"{ledger.expected - ledger.delivered:,} of {ledger.expected:,} deliveries did not come")
    if lost := crowd.lost:
        notes.append(f"{len(lost)} connections ended: {lost[0]}")
    waited = (after.waited_s - before.waited_s) / seconds if before and after else 0.0
    if waited > CROWDED:
        notes.append(
            f"it waited for its core {waited:.0%} of the time: others ran there, or threads of its own"
        )
    if load_cores > BUSY:
        notes.append(f"the load used {load_cores:.2f} cores: the server may do better than this")
    return Measured(
        seconds,
        after.cpu_s - before.cpu_s if before and after else None,
        in_time,
        ledger.delivered,
        ledger.expected,
        ledger.cursors,
        ledger.quantile_ms(0.5),
        ledger.quantile_ms(0.99),
        after.rss_bytes if after else None,
        load_cores,
        notes,
    )


async def quiet(server: Server, seconds: float = 0.3) -> None:
    """Wait until the server has nothing to do any more, 10 s at most."""
    last = server.usage()

    def is_quiet() -> bool:
        nonlocal last
        before, last = last, server.usage()
        return before is None or last is None or last.cpu_s - before.cpu_s < 0.1 * seconds

    await asyncio.sleep(seconds)
    await wait_until(is_quiet, 10.0, every_s=seconds)


def row_of(measured: Measured, scenario: str, run: Run, what: str, unit: str, value: float | None) -> Row:
    return Row(
        scenario,
        run.target.name,
        what,
        unit,
        value,
        cpu_ms=measured.cpu_ms_per_1000,
        per_s=measured.per_s,
        p50_ms=measured.p50_ms,
        p99_ms=measured.p99_ms,
        rss_bytes=measured.rss_bytes,
        notes=list(measured.notes),
        delivered=measured.delivered,
        expected=measured.expected,
    )


async def enter_room(run: Run, server: Server, crowd: Crowd, clients: int, writers: int) -> list[Client]:
    """One new room with everybody in it, and at rest."""
    run.say(f"{clients} clients enter")
    (seats,) = server.seats(1, clients)
    members = crowd.room(seats, writers)
    for member in members:
        member.relays = run.options.relay
    # one first: pycrdt-websocket deadlocks when two open a room at the same moment
    await crowd.enter(members[:1])
    await crowd.enter(members[1:])
    if run.options.relay:
        # everybody is seen once: that is what stock clients relay when nobody moves
        await crowd.point(members, 10.0, 0.1)
    await quiet(server)
    return members


# -- processor time per delivery --------------------------------------------------------------------


async def edits(run: Run, name: str, clients: int, writers: int, per_s: float) -> Row:
    """Some of the clients of one room edit at a rate that the server can do."""
    with run.server() as server, Crowd(Edits()) as crowd:
        crowd.edits.make(int(per_s * run.options.seconds * 1.5) + 10)
        members = await enter_room(run, server, crowd, clients, writers)
        authors = members[:writers]
        run.say("warming up")
        await crowd.write(authors, per_s, min(1.0, run.options.seconds / 4))
        await crowd.settle()
        run.say(f"{writers} of {clients} write {per_s:g}/s")
        measured = await measure(server, crowd, crowd.write(authors, per_s, run.options.seconds))
    what = f"{clients} clients, {writers} write {per_s:g}/s"
    row = row_of(measured, name, run, what, "CPU ms per 1,000", measured.cpu_ms_per_1000)
    return behind(row, writers * per_s * (clients - 1), 0.9)


def behind(row: Row, asked_per_s: float, least: float) -> Row:
    """Say so when less than this part of what was asked came in time."""
    if row.per_s is not None and row.per_s < least * asked_per_s:
        row.is_behind = True
        row.notes.append(
            f"it did not keep up: {row.per_s:,.0f} of {asked_per_s:,.0f} deliveries/s came in time"
        )
    return row


async def latency(run: Run, name: str) -> Row:
    """One writer, ten who listen."""
    row = await edits(run, name, clients=11, writers=1, per_s=20.0)
    row.what, row.unit, row.value = "one writer, ten clients", "ms p50", row.p50_ms
    return row


# -- cores ----------------------------------------------------------------------------------------


async def cursors(run: Run, name: str, clients: int, per_s: float, *, relay: bool) -> Row:
    """Everybody moves the pointer."""
    with run.server() as server, Crowd(Edits()) as crowd:
        members = await enter_room(run, server, crowd, clients, 0)
        shared: dict[int, list[float]] = {}
        for number, member in enumerate(members):
            member.relays = relay or run.options.relay
            member.is_observer = number % 10 == 0
            member.cursor_sent = shared
        await crowd.point(members, per_s, min(1.0, run.options.seconds / 4))
        await quiet(server)
        run.say(f"{clients} move cursors {per_s:g}/s")
        measured = await measure(server, crowd, crowd.point(members, per_s, run.options.seconds))
    what = f"{clients} clients, all move cursors {per_s:g}/s" + (", all relay" if members[0].relays else "")
    row = row_of(measured, name, run, what, "cores", measured.cores)
    row.per_s = measured.cursors / measured.seconds
    row.cpu_ms = measured.cpu_s * 1e6 / measured.cursors if measured.cpu_s and measured.cursors else None
    row.notes.insert(0, "deliveries are states of presence")
    # states may be put together on the way: half of them is still a cursor that moves
    return behind(row, clients * (clients - 1) * per_s, 0.5)


async def rooms(run: Run, name: str, count: int, per_s: float) -> Row:
    """Many small rooms: in each of them two people, of whom one writes."""
    with run.server() as server, Crowd(Edits()) as crowd:
        run.say(f"making {count} rooms")
        seats = await asyncio.to_thread(server.seats, count, 2)
        pairs = [crowd.room(pair, 1) for pair in seats]
        run.say(f"{count * 2} clients enter")
        await crowd.enter([pair[0] for pair in pairs])
        await crowd.enter([pair[1] for pair in pairs])
        await quiet(server)
        authors = [pair[0] for pair in pairs]
        await crowd.write(authors, per_s, 1.0)
        await crowd.settle()
        run.say(f"{count} rooms, {per_s:g} update/s each")
        measured = await measure(server, crowd, crowd.write(authors, per_s, run.options.seconds))
    what = f"{count:,} rooms x 2 clients, {per_s:g} update/s each"
    return behind(row_of(measured, name, run, what, "cores", measured.cores), count * per_s, 0.9)
