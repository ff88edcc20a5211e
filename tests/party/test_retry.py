"""When a journal that failed is asked again, and by how many rooms."""

import asyncio
from collections.abc import Sequence

from party.errors import Unavailable
from party.hub import open_hub
from party.limits import Limits
from party.memory import MemoryJournal
from party.ports import Basis, Entry
from party.retry import OFTEN_S, PROBES, SELDOM_S, Retry
from tests.party.peers import ANNA
from tests.party.updates import ANY, ANY_FIVE, item, update
from tests.party.virtual_time import run_virtually

ROOMS = 300
OUTAGE_S = 9.0


class DownJournal(MemoryJournal):
    """Fails until it is back, and counts who asked in which second."""

    def __init__(self, rooms: int) -> None:
        super().__init__()
        self.back_at_s = 0.0
        self.asked: list[float] = []
        for number in range(rooms):
            self.create(f"r{number}", "open")

    async def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> int:
        now = asyncio.get_running_loop().time()
        if now < self.back_at_s:
            self.asked.append(now)
            raise Unavailable
        return await super().append(room_id, epoch, entries, basis)


def test_after_an_outage_everybody_is_back_within_a_second() -> None:
    """R14, R7: and while it lasts the journal is asked by a few often, and by the others seldom."""

    async def game() -> None:
        loop = asyncio.get_running_loop()
        journal = DownJournal(ROOMS)
        async with open_hub(journal, Limits()) as hub:
            start = loop.time()
            journal.back_at_s = start + OUTAGE_S
            edit = update((1, 0, [item(ANY, ANY_FIVE, parent="list")]))

            async def write(number: int) -> float:
                await hub.submit(f"r{number}", ANNA, edit)
                return loop.time()

            done = await asyncio.gather(*map(write, range(ROOMS)))
            assert journal.back_at_s < min(done) <= journal.back_at_s + OFTEN_S
            assert max(done) <= journal.back_at_s + 1.0
            settled = [at_s - start for at_s in journal.asked if at_s > start + 4]
            per_s = len(settled) / (OUTAGE_S - 4)
            # between half a pause and a whole one
            assert 2 * PROBES < per_s < 4 * PROBES + (ROOMS - PROBES) * 2 / SELDOM_S

    run_virtually(game())


def test_others_luck_makes_nobody_ask_at_once() -> None:
    """R14: a room whose own rows the journal can't take does not ask as often as all others write."""

    async def game() -> None:
        loop, retry = asyncio.get_running_loop(), Retry()
        start, times = loop.time(), []

        async def luck() -> None:
            while True:
                await asyncio.sleep(0.001)
                retry.answered()

        async def one(who: int) -> None:
            for tries in range(1, 30):
                await retry.pause(who, tries)
                times.append(loop.time() - start)
            retry.done(who)

        lucky = asyncio.create_task(luck())
        await asyncio.gather(*map(one, range(PROBES + 1)))
        lucky.cancel()
        assert (PROBES + 1) * 2 < len([at_s for at_s in times if 5 < at_s <= 6]) <= (PROBES + 1) * 5
        assert not retry._waiting

    run_virtually(game())
