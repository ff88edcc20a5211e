"""The load benchmark: `python -m tests.load`, and the load test for a server of your own with `--url`.

Owns: the options, the order of things, what is said meanwhile. Does not own: scenarios, servers, the table.
"""

import argparse
import gc
import os
import platform
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvloop
from rich.console import Console

from tests.load import table
from tests.load.catalogue import SCENARIOS, Scenario
from tests.load.crowd import CrowdError
from tests.load.nodes import Nodes
from tests.load.peer import PEERS
from tests.load.processes import can_read, cores, pinned
from tests.load.scenarios import Options, Row, Run
from tests.load.servers import Deployment, Kanvas, ServerError, Target

ABOUT = "Put a y-protocols server under load and print what it took."


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.load", description=ABOUT)
    add = parser.add_argument
    add("--scenario", action="append", metavar="NAME", help="run this one; may be repeated")
    add("--all", action="store_true", help="run all of them (about a quarter of an hour)")
    add("--list", action="store_true", help="say which there are")
    add("--seconds", type=float, default=5.0, help="how long each measures (default: 5)")
    add("--relay", action="store_true", help="clients send everybody's awareness back, as stock ones do")
    add("--peer", action="append", choices=sorted(PEERS), default=[], help="run this one beside ours, too")
    add("--only-peer", action="store_true", help="leave ours out")
    add("--url", help="a running server, such as ws://host/path/{room}; none is started then")
    add("--token", help="sent as ?token=..., as stock clients do")
    add("--header", action="append", default=[], metavar="NAME:VALUE", help="for --url; may be repeated")
    add("--pid", type=int, help="the process of --url, if it is on this machine: its CPU and memory are read")
    add("--nodes", type=int, metavar="N", help="ours as N processes on one PostgreSQL and one Redis")
    add("--spread", action="store_true", help="with --nodes: each room's clients take turns on all of them")
    add("--setting", action="append", default=[], metavar="KANVAS_X=Y", help="start ours with this setting")
    add("--clients", type=int, default=100, help="for --scenario own")
    add("--writers", type=int, default=10, help="for --scenario own")
    add("--rate", type=float, default=20.0, help="edits/s of each writer, for --scenario own")
    add("--json", type=Path, metavar="FILE", help="write everything there, too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 with a sentence."""
    chosen = parse(sys.argv[1:] if arguments is None else arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if chosen.list:
        for one in SCENARIOS.values():
            console.print(f"{one.name:16} {one.about}", highlight=False)
        return 0
    rows: list[Row] = []
    was_stopped = False
    try:
        targets = choose_targets(chosen)
        scenarios = choose_scenarios(chosen)
        raise_file_limit()
        for row in run_all(console, chosen, targets, scenarios):
            rows.append(row)
    except (ServerError, CrowdError) as error:
        Console(stderr=True).print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        was_stopped = True
        Console(stderr=True).print("Stopped; this is what there is so far." if rows else "Stopped.")
    if not rows:
        return 1
    table.show(console, rows)
    if chosen.json:
        facts = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
        table.store(chosen.json, rows, facts)
        console.print(f"All of it is in {chosen.json}.", highlight=False)
    return 1 if was_stopped or any(row.failed for row in rows) else 0


def choose_targets(chosen: argparse.Namespace) -> list[Target]:
    peers: list[Target] = [PEERS[name] for name in dict.fromkeys(chosen.peer)]
    if chosen.url:
        return [Deployment(chosen.url, chosen.token, pairs(chosen.header, ":"), chosen.pid), *peers]
    if chosen.only_peer:
        return peers
    settings = pairs(chosen.setting, "=")
    if chosen.nodes:
        return [Nodes(chosen.nodes, spread=chosen.spread, settings=settings), *peers]
    return [Kanvas(settings), *peers]


def choose_scenarios(chosen: argparse.Namespace) -> list[Scenario]:
    if chosen.all:
        return [one for one in SCENARIOS.values() if one.name != "own"]
    if chosen.scenario:
        unknown = [name for name in chosen.scenario if name not in SCENARIOS]
        if unknown:
            raise ServerError(
                f"There is no scenario {', '.join(unknown)}; there are: {', '.join(SCENARIOS)}."
            )
        return [SCENARIOS[name] for name in dict.fromkeys(chosen.scenario)]
    return [one for one in SCENARIOS.values() if one.is_default]


def pairs(given: Sequence[str], sign: str) -> dict[str, str]:
    found = {}
    for one in given:
        name, there, value = one.partition(sign)
        if not there or not name.strip():
            raise ServerError(f"{one!r} should look like NAME{sign}VALUE.")
        found[name.strip()] = value.strip()
    return found


def raise_file_limit() -> None:
    """4,000 clients are 4,000 sockets; the server inherits what we may have."""
    try:
        import resource
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def run_all(
    console: Console, chosen: argparse.Namespace, targets: Sequence[Target], scenarios: Sequence[Scenario]
) -> Iterator[Row]:
    """Every scenario with every server, one after the other."""
    if not can_read():
        console.print("This system has no /proc: processor time and memory of the server stay unknown.")
    both = cores()
    if both is None:
        console.print("There are no two cores to pin to here: server and load take turns on what there is.")
    server_core, load_core = both or (None, None)
    for target in targets:
        with console.status(f"installing {target.name}"):
            target.install()
        for note in target.notes:
            console.print(f"{target.name}: {note}", highlight=False)
    options = Options(chosen.seconds, chosen.relay, chosen.clients, chosen.writers, chosen.rate)
    # what the load allocates stays until a scenario is over: no pause of ours ends up in a latency
    gc.disable()
    with pinned(load_core), collecting_again(), console.status("") as status:
        for number, scenario in enumerate(scenarios, 1):
            for target in targets:
                head = f"[{number}/{len(scenarios)}] {scenario.name}, {target.name}"

                def say(text: str, head: str = head) -> None:
                    if console.is_terminal:
                        status.update(f"{head}: {text}")
                    else:
                        console.print(f"{head}: {text}", markup=False, highlight=False)

                run = Run(target, options, server_core, say)
                row = replace(run_one(scenario, run), goal=scenario.goal)
                result = "failed" if row.failed else f"{table.number(row.value)} {row.unit}"
                console.print(f"{head}: {result}", markup=False, highlight=False)
                yield row
                gc.collect()


@contextmanager
def collecting_again() -> Iterator[None]:
    """Python's collector works again afterwards."""
    try:
        yield
    finally:
        gc.enable()


def run_one(scenario: Scenario, run: Run) -> Row:
    """One scenario with one server; what a server can't do is a remark in its row, not the end."""

    async def work() -> Row:
        return await scenario.action(run, scenario.name)

    try:
        return uvloop.run(work())
    except (CrowdError, ServerError) as error:
        failed = Row(scenario.name, run.target.name, scenario.about, "", None, notes=[str(error)])
        failed.failed = True
        return failed


if __name__ == "__main__":
    # who ends us with SIGTERM shall not leave our servers behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
