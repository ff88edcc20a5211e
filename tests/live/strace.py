"""The order of a server's system calls, as strace saw them: is every send behind the fsync that covers it?

Owns: starting strace, reading what it wrote, the judgement. Does not own: the server and its clients.
A marker is a word that is in one update and nowhere else: it is in the WAL where SQLite wrote the update, and
in what was sent where somebody was shown it.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

OVERRIDE = "TEST_STRACE"
CALLS = "fsync,fdatasync,pwrite64,pwritev,write,writev,sendto,sendmsg"
WRITES = ("pwrite64", "pwritev", "write", "writev")
SENDS = ("write", "writev", "sendto", "sendmsg")

LINE = re.compile(r"^(?P<pid>\d+) +(?P<rest>.*)$")
CALL = re.compile(r"^(?P<name>\w+)\((?P<fd>\d+)<(?P<file>[^>]*)>(?P<more>.*)$")
RESUMED = re.compile(r"^<\.\.\. (?P<name>\w+) resumed>(?P<more>.*)$")
RESULT = re.compile(r"= (-?\d+)[^=]*$")


def find_strace() -> str:
    """The program named by TEST_STRACE, else the one in PATH."""
    found = os.environ.get(OVERRIDE) or shutil.which("strace")
    if found is None:
        raise RuntimeError(f"no strace in PATH; `make test` finds or installs one, or set {OVERRIDE}")
    return found


def traced(command: Iterable[str], output: str) -> tuple[str, ...]:
    """`command` under strace. Strings whole and as they are: a marker is found by searching."""
    return (find_strace(), "-f", "-y", "-s", "65536", "-o", output, "-e", f"trace={CALLS}", *command)


@dataclass(slots=True)
class Order:
    """What is known of one marker: at which line it was written, covered and first sent."""

    written: int | None = None
    covered: int | None = None
    sent: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Event:
    """One call; `began` and `ended` are line numbers, `ended` is None when it never returned."""

    name: str
    file: str
    text: str
    began: int
    ended: int | None
    result: int | None


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """The calls in the order in which they ended. A call that others interrupted is put together again."""
    open_calls: dict[str, tuple[re.Match[str], int]] = {}
    for number, line in enumerate(lines):
        found = LINE.match(line)
        if found is None:
            continue
        pid, rest = found["pid"], found["rest"]
        call = CALL.match(rest)
        if call is not None and "<unfinished ...>" in rest:
            open_calls[pid] = call, number
        elif call is not None:
            yield _event(call, call["more"], number, number)
        elif (resumed := RESUMED.match(rest)) is not None and pid in open_calls:
            before, began = open_calls.pop(pid)
            yield _event(before, before["more"] + resumed["more"], began, number)
    for before, began in open_calls.values():
        yield Event(before["name"], before["file"], before["more"], began, None, None)


def _event(call: re.Match[str], text: str, began: int, ended: int) -> Event:
    result = RESULT.search(text)
    return Event(call["name"], call["file"], text, began, ended, int(result[1]) if result else None)


def order_of(events: Iterable[Event], markers: Iterable[str]) -> dict[str, Order]:
    """Per marker: its first write to the WAL, the first fsync of the WAL behind that, its sends."""
    orders = {marker: Order() for marker in markers}
    for event in events:
        if event.name in ("fsync", "fdatasync"):
            if event.file.endswith("-wal") and event.result == 0:
                for order in orders.values():
                    if order.written is not None and order.covered is None and order.written < event.began:
                        order.covered = event.ended
            continue
        is_wal = event.file.endswith("-wal") and event.name in WRITES
        is_send = event.file.startswith(("TCP:", "socket:")) and event.name in SENDS
        if not is_wal and not is_send:
            continue
        for marker, order in orders.items():
            if marker not in event.text:
                continue
            if is_send:
                order.sent.append(event.began)
            elif order.written is None:
                order.written = event.ended
    return orders


def violations(lines: Iterable[str], markers: Iterable[str]) -> list[str]:
    """What was shown before it was on the disk, in words; also what was not seen at all."""
    found = []
    for marker, order in order_of(read_events(lines), markers).items():
        if order.written is None:
            found.append(f"{marker} was never written to the WAL")
        elif not order.sent:
            found.append(f"{marker} was never sent")
        elif order.covered is None:
            found.append(f"{marker} was sent in line {min(order.sent)} and never synced")
        elif min(order.sent) < order.covered:
            found.append(
                f"{marker} was sent in line {min(order.sent)}, before the sync of line {order.covered}"
            )
    return found
