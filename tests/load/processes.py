"""The server's process tree: its processor time and memory, and which core it may use.

Owns: reading /proc, and pinning. Does not own: starting processes (servers).
A tree is looked up anew at each reading, so that children that come and go are counted: what a process that
is gone had used is in its parent's figures once the parent has waited for it.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tree has used so far."""

    cpu_s: float
    rss_bytes: int
    waited_s: float
    """How long its threads could have run and others had the core."""


def can_read() -> bool:
    """Whether this system tells about processes in the way of Linux."""
    return (PROC / "self" / "stat").exists() and hasattr(os, "sysconf")


def read_tree(pid: int) -> Usage | None:
    """What the process and all below it have used; None when it is gone or the system does not tell."""
    return _read(_tree(pid), ended=True) if can_read() else None


def read_alone(pid: int) -> Usage | None:
    """What the process has used without those below it; None as with `read_tree`."""
    return _read([pid], ended=False) if can_read() else None


def _read(pids: Sequence[int], *, ended: bool) -> Usage | None:
    """The sum; `ended` counts children that are gone, too."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    cpu_s, waited_s, rss_bytes = 0.0, 0.0, 0
    for one in pids:
        try:
            # the name in brackets may hold anything, so count from behind it
            stat = (PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
            threads = [path.read_text().split() for path in (PROC / str(one) / "task").glob("*/schedstat")]
        except OSError:
            continue
        own_s = (int(stat[11]) + int(stat[12])) * tick_s
        # ticks of 10 ms lose what nanoseconds tell, and those tell nothing of threads that ended
        exact_s = sum(int(thread[0]) for thread in threads if thread) / 1e9
        cpu_s += max(own_s, exact_s) + (ended and (int(stat[13]) + int(stat[14])) * tick_s)
        waited_s += sum(int(thread[1]) for thread in threads if len(thread) > 1) / 1e9
        rss_bytes += int(stat[21]) * page_bytes
    return Usage(cpu_s, rss_bytes, waited_s) if rss_bytes else None


def _tree(pid: int) -> list[int]:
    """The process and its descendants."""
    found, at = [pid], 0
    while at < len(found):
        try:
            for path in (PROC / str(found[at]) / "task").glob("*/children"):
                found += [int(child) for child in path.read_text().split()]
        except OSError:
            pass
        at += 1
    return found


def cores() -> tuple[int, int] | None:
    """A core for the server and one for the load; None where there are no two, or no pinning."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) >= 2 else None


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """This process on one core for a while; processes it starts meanwhile, and their threads, stay there."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
