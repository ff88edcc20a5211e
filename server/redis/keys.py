"""Every key and channel in Redis: its name behind the prefix, what it is, how long it lives.

Owns: the table, which the README repeats and a test holds real keys against. Does not own: what is in them.
Rule: every key expires by itself.
"""

from math import ceil
from typing import Final, NamedTuple

from server.rates.actions import ACTIONS
from server.rates.base import SLICES

RATE_S: Final = ceil(
    max(one.rate.window_s for one in ACTIONS.values() if one.rate is not None) * (SLICES + 2) / SLICES
)
"""The longest window by default, and a slice of it before and behind."""

REGISTRY_S: Final = 300
PARTICIPANTS_S: Final = 90
STATS_S: Final = 90
LATEST_S: Final = 300
META_S: Final = 300
NODE_S: Final = 10
PRESENCE_S: Final = 60


class Key(NamedTuple):
    """One row. `seconds` is the longest it lives after it was written last; None for a channel."""

    name: str
    meaning: str
    seconds: int | None


KEYS: Final = (
    Key(
        "rate_limit:{user}:{action}:{window}",
        "how often somebody did something within the window: 62/60 of it, here of the longest by default",
        RATE_S,
    ),
    Key("rooms:registry", "public rooms with people in them", REGISTRY_S),
    Key("rooms:{id}:participants", "who is in a room, and in which process", PARTICIPANTS_S),
    Key("rooms:{id}:stats", "people, connections, version and size, by process", STATS_S),
    Key("presence:{user}", "the room somebody is in, and when that was known", PRESENCE_S),
    Key("canvas:{room}:latest", "a room's newest version and a digest of its state", LATEST_S),
    Key("assets:{id}:meta", "what the database knows of a file", META_S),
    Key("nodes:registry", "the names of the processes", REGISTRY_S),
    Key("nodes:{node}", "a process's heartbeat: where it runs, rooms, connections", NODE_S),
    Key("bus:{database}:all", "channel: to every process", None),
    Key("bus:{database}:{node}", "channel: to one process", None),
)
