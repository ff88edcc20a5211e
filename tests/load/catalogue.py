"""The scenarios by name, each with the goal of ours.

Owns: names, goals, and which run when nobody says. Does not own: what a scenario does.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.load import joins, memory, search, slow
from tests.load.scenarios import Row, Run, cursors, edits, latency, rooms

Action = Callable[[Run, str], Awaitable[Row]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named scenario. `goal` is what ours should reach, in the row's unit; shown, never asserted."""

    name: str
    about: str
    action: Action
    goal: float | None = None
    is_default: bool = False


def _of(function: Callable[..., Awaitable[Row]], **settings: Any) -> Action:
    return partial(_call, function, settings)


async def _call(
    function: Callable[..., Awaitable[Row]], settings: dict[str, Any], run: Run, name: str
) -> Row:
    return await function(run, name, **settings)


async def own(run: Run, name: str) -> Row:
    """Whatever --clients, --writers and --rate say."""
    options = run.options
    return await edits(run, name, options.clients, options.writers, options.per_s)


SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario(
            "ten-write",
            "100 clients, 10 write 20/s: CPU per delivery",
            _of(edits, clients=100, writers=10, per_s=20.0),
            2.0,
            is_default=True,
        ),
        Scenario(
            "all-write",
            "100 clients, all write 5/s: CPU per delivery",
            _of(edits, clients=100, writers=100, per_s=5.0),
            1.0,
            is_default=True,
        ),
        Scenario(
            "one-writes",
            "300 clients, 1 writes 30/s: CPU per delivery",
            _of(edits, clients=300, writers=1, per_s=30.0),
            5.0,
            is_default=True,
        ),
        Scenario(
            "cursors",
            "100 clients, all move cursors 20/s: cores",
            _of(cursors, clients=100, per_s=20.0, relay=False),
            0.12,
            is_default=True,
        ),
        Scenario(
            "cursors-relay",
            "the same, and everybody sends everybody's presence back",
            _of(cursors, clients=100, per_s=20.0, relay=True),
            0.12,
        ),
        Scenario(
            "most-ten-write",
            "100 clients, 10 write: most deliveries/s with p99 under 100 ms",
            _of(search.most, clients=100, writers=10),
            1_500_000,
        ),
        Scenario(
            "most-all-write",
            "100 clients, all write: most deliveries/s with p99 under 100 ms",
            _of(search.most, clients=100, writers=100),
            1_500_000,
        ),
        Scenario(
            "most-crowd",
            "300 clients, all write: most deliveries/s with p99 under 100 ms",
            _of(search.most, clients=300, writers=300),
            3_000_000,
        ),
        Scenario(
            "rooms",
            "2,000 rooms with 2 clients, 1 update/s each: cores",
            _of(rooms, count=2000, per_s=1.0),
            0.20,
        ),
        Scenario(
            "rooms-busy",
            "2,000 rooms with 2 clients, 3 updates/s each: cores",
            _of(rooms, count=2000, per_s=3.0),
        ),
        Scenario("latency", "one writer, ten clients: p50 and p99", latency, 1.5, is_default=True),
        Scenario(
            "join",
            "join a 5 MB document, alone: p50",
            _of(joins.large, how="alone"),
            30.0,
        ),
        Scenario(
            "join-crowd",
            "100 join a 5 MB document at once: time until the last has it",
            _of(joins.large, how="crowd"),
            1.0,
        ),
        Scenario(
            "join-start",
            "start, then the first join of a 5 MB document",
            _of(joins.large, how="start"),
            0.2,
        ),
        Scenario(
            "memory-connections",
            "1,000 idle connections in 10 rooms: memory of each",
            _of(
                memory.growth,
                rooms=10,
                clients=100,
                draws=False,
                what="an idle connection (1,000 in 10 rooms)",
                per_rooms=False,
            ),
            10.0,
        ),
        Scenario(
            "memory-rooms",
            "1,000 small rooms with one client: memory of each",
            _of(
                memory.growth,
                rooms=1000,
                clients=1,
                draws=True,
                what="a small room with one client (900)",
                per_rooms=True,
            ),
            25.0,
        ),
        Scenario(
            "slow-readers",
            "100 clients that never read: p99 of the others, memory of each",
            _of(slow.slow, count=100),
            5.0,
        ),
        Scenario("own", "--clients, --writers and --rate as you say: CPU per delivery", own),
    )
}
