"""Retry: when a journal that failed is asked again.

Owns: pauses. Does not own: what is asked (committer, relay), deadlines. Keeps rule R14.

After an outage thousands of rooms wait for the journal. A few of them ask often; the others ask when it
answered somebody, or after a longer pause, should what fails be a room's own.
"""

import asyncio
import random
from itertools import islice
from typing import Final

FIRST_S: Final = 0.05
OFTEN_S: Final = 0.5
SELDOM_S: Final = 2.0
PROBES: Final = 4
"""So many ask often: one alone might hang."""


class Retry:
    """The rooms of one hub that wait for the journal."""

    def __init__(self) -> None:
        self._waiting: dict[object, None] = {}
        """In the order they began."""
        self._answer: asyncio.Future[None] | None = None

    async def pause(self, who: object, tries: int) -> None:
        """Wait after the failure number `tries` of `who`, which ends with `done`.

        At least half of OFTEN_S from the fourth on, so that others' luck makes nobody ask at once again.
        """
        self._waiting.setdefault(who)
        share = random.uniform(0.5, 1.0)
        growing_s = FIRST_S * 2 ** min(tries - 1, 10)
        least_s = share * min(growing_s, OFTEN_S)
        await asyncio.sleep(least_s)
        if who in islice(self._waiting, PROBES):
            return
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._answer], timeout=share * min(growing_s, SELDOM_S) - least_s)

    def done(self, who: object) -> None:
        """It waits no more. Idempotent."""
        self._waiting.pop(who, None)

    def answered(self) -> None:
        """The journal answered somebody."""
        if self._answer is not None:
            self._answer.set_result(None)
            self._answer = None
