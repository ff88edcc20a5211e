"""The most deliveries a second with a p99 under 100 ms: raise the rate until it breaks, then close in.

Owns: the search. Does not own: one measurement (scenarios). Each step has a room of its own, so that what a
step too far left behind is not what breaks the next.
"""

from typing import Final

from tests.load.crowd import Crowd
from tests.load.edits import Edits
from tests.load.scenarios import BUSY, Measured, Row, Run, enter_room, measure, quiet, row_of
from tests.load.servers import Server

LIMIT_MS: Final = 100.0
IN_TIME: Final = 0.95
"""Part of the deliveries that must have come when the last edit was sent; the rest is on its way."""

FACTOR: Final = 1.7
HALVINGS: Final = 2
MOST_STEPS: Final = 16
TRIES: Final = 3
"""A rate breaks when it broke that often: what else runs on the machine shall not end the search."""


def holds(measured: Measured, asked_per_s: float) -> bool:
    """Whether the server kept up with what was asked."""
    return (
        measured.p99_ms is not None
        and measured.p99_ms < LIMIT_MS
        and measured.delivered == measured.expected
        and measured.per_s >= IN_TIME * asked_per_s
    )


async def most(run: Run, name: str, clients: int, writers: int) -> Row:
    """Deliveries a second at the highest rate that holds."""
    step_s = max(1.0, run.options.seconds * 0.6)
    made = Edits()
    best: Measured | None = None
    worst: Measured | None = None
    limited = False
    low, high = 0.0, 0.0
    with run.server() as server:
        rate = 20_000 / (clients - 1) / writers
        for _ in range(MOST_STEPS):
            asked = rate * writers * (clients - 1)
            run.say(f"{clients} clients, {writers} write {rate:,.1f}/s: {asked:,.0f} deliveries/s")
            measured = await step(run, server, made, clients, writers, rate, step_s)
            for _ in range(TRIES - 1):
                if holds(measured, asked):
                    break
                measured = await step(run, server, made, clients, writers, rate, step_s)
            limited |= measured.load_cores > BUSY
            if holds(measured, asked):
                best, low = measured, rate
                rate = (low + high) / 2 if high else rate * FACTOR
            else:
                worst, high = measured, rate
                rate = (low + high) / 2
            if high and (high - low) <= low * (FACTOR - 1) / 2**HALVINGS:
                break
            if not low and rate < 0.01:
                break
    shown = best or worst
    assert shown is not None
    what = f"most deliveries/s, {clients} clients, {writers} write, p99 under {LIMIT_MS:.0f} ms"
    row = row_of(shown, name, run, what, "deliveries/s", best.per_s if best else None)
    row.more_is_better = True
    if best is None:
        row.notes.append(f"no rate was found that holds; this is {high:.2f} edits/s of each")
    elif worst is not None:
        broke = "nothing" if worst.p99_ms is None else f"p99 {worst.p99_ms:.0f} ms"
        row.notes.append(f"{low:,.1f} edits/s of each; at {high:,.1f}: {worst.per_s:,.0f}/s, {broke}")
    if limited and not any("the load used" in note for note in row.notes):
        row.notes.append("the load itself was at its limit in a step: the server may do better")
    return row


async def step(
    run: Run, server: Server, made: Edits, clients: int, writers: int, per_s: float, seconds: float
) -> Measured:
    """One rate for some seconds in a new room."""
    # all are made before, and half as many more for the writing to begin with
    made.make(int(per_s * (seconds + 0.5)) + 10)
    say, run.say = run.say, lambda _: None
    try:
        with Crowd(made) as crowd:
            members = await enter_room(run, server, crowd, clients, writers)
            authors = members[:writers]
            await crowd.write(authors, per_s, 0.5)
            await crowd.settle(3.0)
            measured = await measure(server, crowd, crowd.write(authors, per_s, seconds), settle_s=3.0)
    finally:
        run.say = say
    await quiet(server)
    return measured
