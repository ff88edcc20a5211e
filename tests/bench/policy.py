"""What it costs to ask who may: `python -m tests.bench.policy`.

Prints nanoseconds of the check that every update goes through, beside a whole update; and what a join and a
read over HTTP take with the look at the role, beside the same without.
"""

import asyncio
import statistics
import tempfile
import time
import timeit
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from db.database import Database, open_database
from db.migrate import upgrade
from db.scopes import as_system
from db.standing import find_standings
from party.batch import Mail
from party.hub import open_hub
from party.memory import MemoryJournal
from party.policy import can
from party.ports import Principal
from party.session import Session
from server.access import RoleKeeper
from server.auth import Identity
from tests.backends.postgres import open_postgres
from tests.db.conftest import make_room
from tests.drawings import drawing
from tests.party.peers import Peer, Wire, open_room, settle

CHECKS = 1_000_000
JOINS = 2_000
UPDATES = 2_000


def check_ns() -> float:
    """One check, as the writer makes it: who the mail's author is now, and what he may."""
    mail = Mail(b"", Session(Principal("u", "U", "editor"), Wire()))
    took = min(timeit.repeat(lambda: can(mail.principal.role, "edit"), number=CHECKS, repeat=5))
    empty = min(timeit.repeat(lambda: None, number=CHECKS, repeat=5))
    return (took - empty) / CHECKS * 1e9


def update_us() -> float:
    """A whole update of one client through a room, in batches of 100."""
    room, peer = open_room(), Peer()
    peer.enter(room)
    peer.read()
    settle(room)
    peer.draw("a")
    for number in range(UPDATES):
        with peer.doc.transaction():
            peer.elements["a"]["geometry"] = {"x": number, "y": 0, "width": 1, "height": 1, "angle": 0}
    start = time.perf_counter()
    for at in range(0, UPDATES, 100):
        for update in peer.outgoing[at : at + 100]:
            peer.send(b"\x00\x02" + bytes(_length(len(update))) + update)
        settle(room)
    return (time.perf_counter() - start) / UPDATES * 1e6


def _length(size: int) -> list[int]:
    return [size] if size < 128 else [size % 128 + 128, size // 128]


async def join_us(database: Database) -> dict[str, float]:
    """Medians, in microseconds."""
    now = datetime.now(UTC)
    await database.write(partial(make_room, room_id="r"))
    journal = MemoryJournal()
    journal.create("r")
    who = Identity("u", "U", False, now, now)
    async with open_hub(journal) as hub:
        access = RoleKeeper(database, hub, lambda: datetime.now(UTC))
        seat = await hub.join("r", Principal("u", "U"), Wire())
        await hub.submit("r", Principal("u", "U"), drawing(1)[0])

        async def without() -> None:
            (await hub.join("r", Principal("u", "U"), Wire())).leave()

        async def with_role() -> None:
            (await access.seat("r", who, Wire()))[0].leave()

        async def look() -> None:
            await database.read(partial(find_standings, room_id="r", user_ids=["u"]))

        found = {}
        for name, work in (("join", without), ("join with role", with_role), ("the look alone", look)):
            took = []
            for _ in range(JOINS):
                start = time.perf_counter()
                await work()
                took.append((time.perf_counter() - start) * 1e6)
            found[name] = statistics.median(took)
        seat.leave()
        return found


async def main() -> None:
    print(f"the check of one update   {check_ns():8.0f} ns")
    print(f"a whole update            {update_us():8.1f} µs")
    with tempfile.TemporaryDirectory() as folder:
        path = f"sqlite:///{Path(folder) / 'kanvas.db'}"
        await asyncio.to_thread(upgrade, path)
        async with open_database(path) as adapter:
            for name, took in (await join_us(as_system(adapter))).items():
                print(f"SQLite      {name:15} {took:8.0f} µs")
    with open_postgres() as server:
        url = server.create()
        await asyncio.to_thread(upgrade, url)
        async with open_database(url) as adapter:
            for name, took in (await join_us(as_system(adapter))).items():
                print(f"PostgreSQL  {name:15} {took:8.0f} µs")


if __name__ == "__main__":
    asyncio.run(main())
