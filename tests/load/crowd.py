"""Many clients: bring them into rooms, let them edit at a rate, wait until all has arrived.

Owns: the clients of one measurement, the pace, the wait at the end. Does not own: servers and what is made of
the numbers (scenarios).
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Final, Self

from tests.load.client import Client, Memory, Seat
from tests.load.deliveries import Author, Ledger, Room
from tests.load.edits import LEAST_ID, MOST_ID, Edits
from tests.load.frames import BadAnswer

AT_ONCE: Final = 50
"""Clients that connect at the same time."""

ENTER_S: Final = 60.0
BURST: Final = 64
"""Most edits in one go: arriving bytes wait no longer than these take to send (0.3 ms)."""

LEAST_PAUSE_S: Final = 0.001
"""Between two looks at what is due: a shorter one would only burn our core."""


class CrowdError(Exception):
    """The clients could not do what the scenario needs; the message is for people."""


class Crowd:
    """Clients in rooms. Leave it as a context manager, and all are gone."""

    def __init__(self, edits: Edits) -> None:
        self.edits = edits
        self.ledger = Ledger()
        self.clients: list[Client] = []
        self._memory = Memory()
        self._lost = 0
        # never the ids of an earlier run: a room that is still there would know their edits already
        self._ids = random.Random()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients:
            client.leave()

    @property
    def lost(self) -> list[str]:
        """Why connections ended that should have stayed."""
        return [client.closed for client in self.clients if client.closed is not None]

    def room(self, seats: Sequence[Seat], writers: int) -> list[Client]:
        """Clients for one room, the first `writers` of them authors; not connected yet."""
        room = Room()
        ids = [self._new_id() for _ in seats]
        for index, client_id in enumerate(ids[:writers]):
            author = Author(room, index, client_id, self.edits.first_clock)
            room.authors.append(author)
            self.ledger.authors[client_id] = author
        clients = []
        for index, (seat, client_id) in enumerate(zip(seats, ids, strict=True)):
            client = Client(seat, room, self.ledger, self._memory, client_id)
            client.on_lost = self._note_lost
            client.author = room.authors[index] if index < writers else None
            clients.append(client)
        self.clients += clients
        return clients

    def _new_id(self) -> int:
        while (client_id := self._ids.randrange(LEAST_ID, MOST_ID)) in self.ledger.authors:
            pass
        return client_id

    async def enter(
        self, clients: Iterable[Client], *, at_once: int = AT_ONCE, receive_buffer_bytes: int | None = None
    ) -> None:
        """Connect and sync; the authors draw their elements. Raises CrowdError."""
        waiting = iter(list(clients))

        async def work() -> None:
            for client in waiting:
                await client.connect(receive_buffer_bytes)
                await client.synced
                if client.author is not None:
                    client.draw(self.edits)

        try:
            async with asyncio.timeout(ENTER_S):
                await asyncio.gather(*(work() for _ in range(at_once)))
        except (OSError, BadAnswer) as error:
            why = str(error) or f"it took longer than {ENTER_S:.0f} s"
            raise CrowdError(f"A client could not get in: {why}") from error

    async def write(self, writers: Sequence[Client], per_s: float, seconds: float) -> float:
        """Each writer edits `per_s` times a second, spread evenly. Returns the seconds it took."""
        return await self._pace(len(writers) * per_s, seconds, [client.edit for client in writers])

    async def point(self, clients: Sequence[Client], per_s: float, seconds: float) -> float:
        """Each client moves its cursor `per_s` times a second."""
        return await self._pace(
            len(clients) * per_s, seconds, [lambda _, client=client: client.point() for client in clients]
        )

    async def _pace(self, per_s: float, seconds: float, acts: Sequence[Callable[[Edits], None]]) -> float:
        turns = itertools.cycle(acts)
        whole, done, start = max(1, round(per_s * seconds)), 0, perf_counter()
        while done < whole:
            if self._lost:
                break
            due = min(whole, int((perf_counter() - start) * per_s) + 1)
            for _ in range(min(due - done, BURST)):
                next(turns)(self.edits)
                done += 1
            behind = done < due
            await asyncio.sleep(0 if behind else max(LEAST_PAUSE_S, start + done / per_s - perf_counter()))
            # somebody who can't keep up is not waited for longer than twice the time
            if behind and perf_counter() - start > 2 * seconds:
                break
        await asyncio.sleep(max(0.0, start + seconds - perf_counter()))
        return perf_counter() - start

    def _note_lost(self) -> None:
        self._lost += 1

    async def settle(self, deadline_s: float = 10.0) -> bool:
        """Wait until every edit reached everybody it should; False when some do not come."""
        return await wait_until(lambda: self.ledger.delivered >= self.ledger.expected, deadline_s)


async def wait_until(is_done: Callable[[], bool], deadline_s: float, every_s: float = 0.01) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + deadline_s
    while not is_done():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(every_s)
    return True
