"""Sending many away: in which portions, how long it is between two of them, and when each comes back.

Owns: the arithmetic. Pure: the caller closes, waits and brings the chance. Keeps rule N8.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

Member = TypeVar("Member")

WAVE: Final = 25
"""As many may come back at once anywhere: a room takes 100 joins in a quarter of a second."""

MOST_WAVES: Final = 10
SPAN_S: Final = 2.0
"""All the waves there may be take as long."""

SOONEST_S: Final = 0.1
LATEST_S: Final = 1.0
"""When those of one wave are told to come back: some node has the room by then, and nobody waits for 3 s."""


def split(everybody: Sequence[Member]) -> list[Sequence[Member]]:
    """Portions in the order given: one of up to `WAVE`, or up to `MOST_WAVES` of about one size."""
    count = min(MOST_WAVES, -(-len(everybody) // WAVE))
    size = -(-len(everybody) // count) if count else 1
    return [everybody[at : at + size] for at in range(0, len(everybody), size)]


def retry_s(chance: float) -> float:
    """Seconds after which one of a wave comes back, by `chance` (0 to 1): not all of it at once."""
    return SOONEST_S + (LATEST_S - SOONEST_S) * chance


def gap_s(deadline_s: float, chance: float) -> float:
    """Seconds to the next wave, a half more or less by `chance` (0 to 1); a short deadline shortens it."""
    return min(SPAN_S, deadline_s / 2) / MOST_WAVES * (0.5 + chance)
