"""The pace of one connection: how many messages and bytes it may send, and what happens when it sends more.

Owns: the arithmetic. Does not own: sockets (line.py), the numbers (actions.py). Pure; time is passed in.
Keeps rule L6.

A message is a span of time: so much for being one, so much for each byte. A line adds them up and compares
the sum with the burst, which is all that most messages cost (70 ns); only when it is passed is the clock
looked at, and what has gone by since then taken off. The look comes late, so at most two bursts pass at once.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from server.rates.base import Rate

MAX_HOLDS: Final = 30
"""Held back so often without a rest: 150 s of a flood with the rates as they are."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a connection may send."""

    message_s: float = 0.0
    """What one message takes off."""

    byte_s: float = 0.0
    """What one byte takes off."""

    burst_s: float = inf
    """What may be ahead of time; inf is no limit at all."""

    most_bytes: int = 0
    """A longer message counts as one of this length: a first sync may be 64 MiB, and has its own budget."""

    words: str = ""


NO_PACE: Final = Pace()


def make_pace(messages: Rate | None, size: Rate | None, most_bytes: int) -> Pace:
    """The pace of so many messages and so many bytes; None is not limited."""
    if messages is None and size is None:
        return NO_PACE
    told = []
    if messages is not None:
        told.append(f"{messages.limit} messages in {messages.window_s:g} s")
    if size is not None:
        told.append(f"{size.limit} bytes in {size.window_s:g} s")
    return Pace(
        message_s=messages.window_s / messages.limit if messages else 0.0,
        byte_s=size.window_s / size.limit if size else 0.0,
        burst_s=min(rate.window_s for rate in (messages, size) if rate is not None),
        most_bytes=most_bytes,
        words=f"You send more than {' or '.join(told)}; it is read more slowly now, and nothing is lost.",
    )


@dataclass(slots=True)
class Holds:
    """What is remembered of a connection that was too fast."""

    count: int = 0
    until_s: float = 0.0
    """When it is read again."""

    def again(self, now: float, pace: Pace, spent_s: float) -> float | None:
        """Hold it back once more: seconds until half of the burst is free again; None is the end."""
        # whoever kept to its pace for a whole burst begins anew
        self.count = 1 if now - self.until_s > pace.burst_s else self.count + 1
        if self.count > MAX_HOLDS:
            return None
        wait_s = spent_s - pace.burst_s / 2
        self.until_s = now + wait_s
        return wait_s
