"""One worker as its supervisor sees it: its process, its heart, its back-off, the note of its end.

Owns: the deadline of a heart, how long a pause is, the words about an end. Does not own: the loop, signals
and how the service ends (supervisor.py), what the page holds (flight.py). Keeps rules Q2, Q3, Q8.
"""

import contextlib
import mmap
import os
import signal
import socket
import time
from typing import Any, Final, NamedTuple

from server import flight
from server.link import Told, crash_file

TICK_S: Final = 0.5
"""The heart is looked at as often; a longer gap means that we were stopped too, and counts as two."""

QUIET_S: Final = 1.2
"""A heart that was silent as long gets no connections while there are others."""

START_S: Final = 120.0
END_S: Final = 30.0
"""After the event loop: the database closes within 15 s."""

FIRST_PAUSE_S: Final = 0.5
MOST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""A worker that served as long may die and be replaced at once."""

SERVED: Final = frozenset({"serving", "draining", "ending"})


class Ended(NamedTuple):
    """How a worker ended: exit code, or a signal's number below zero."""

    code: int
    was_hung: bool


class Worker:
    """A place in the crew. `slot` is its number for good; the processes in it come and go."""

    def __init__(self, slot: int) -> None:
        # shared and without a file: no disk is touched, nothing is left behind
        self.page: Any = mmap.mmap(-1, flight.PAGE_BYTES)
        self.slot = slot
        self.pid = 0
        self.control: socket.socket | None = None
        self.starts = 0
        self.due_at_s = 0.0
        """When the next process may be started."""

        self._heart = Heart(self.page)
        self._began_at_s = 0.0
        self._quick_ends = 0
        self._is_hung = False

    def began(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control
        self.starts += 1
        self._is_hung = False
        self._heart = Heart(self.page)
        self._began_at_s = time.monotonic()

    def ended(self, status: int) -> Ended:
        """Note the end of the process, whatever its cause."""
        self.pid = 0
        return Ended(os.waitstatus_to_exitcode(status), self._is_hung)

    @property
    def has_served(self) -> bool:
        return flight.read_phase(self.page) in SERVED

    @property
    def takes_connections(self) -> bool:
        return (
            self.control is not None
            and flight.read_phase(self.page) == "serving"
            and self._heart.silent_s < QUIET_S
        )

    def take(self, connection: socket.socket) -> bool:
        """Hand it over; False when the worker reads too slowly, or is no more."""
        if self.control is None:
            return False
        try:
            socket.send_fds(self.control, [b"."], [connection.fileno()])
        except OSError:
            # its queue is full (EAGAIN, ETOOMANYREFS), or its end is about to be noticed (EPIPE)
            return False
        return True

    def look(self, told: Told | None) -> None:
        """Kill it when its heart was silent for too long."""
        if self.pid and self._heart.is_silent(told.hung_after_s if told is not None else START_S):
            self._is_hung = True
            os.kill(self.pid, signal.SIGKILL)

    def pause(self, *, was_asked: bool) -> float:
        """Seconds until the next start: 0 for the first end, then 0.5 s doubled up to 30 s, jittered."""
        if was_asked:
            self._quick_ends = 0
        elif self.has_served and time.monotonic() - self._began_at_s >= STEADY_S:
            self._quick_ends = 1
        else:
            self._quick_ends += 1
        pause_s = 0.0
        if self._quick_ends > 1:
            longest = min(FIRST_PAUSE_S * 2.0 ** min(self._quick_ends - 2, 32), MOST_PAUSE_S)
            pause_s = longest * (0.5 + os.urandom(1)[0] / 510)
        self.due_at_s = time.monotonic() + pause_s
        return pause_s

    def report(self, ended: Ended, told: Told | None, pause_s: float, *, is_stopping: bool) -> None:
        """One log line, and for the next worker what this one had in hand."""
        import json  # noqa: PLC0415 - once in a while; a supervisor should be small
        from datetime import UTC, datetime  # noqa: PLC0415

        code = ended.code
        name = signal_name(-code) if code < 0 else None
        reason = "hung" if ended.was_hung else "killed" if name == "SIGKILL" else "crashed"
        found = flight.read_flight(self.page)
        what: dict[str, Any] = {"reason": reason, "signal": name, "exit_code": code if code >= 0 else None}
        if found is not None:
            what |= {"stage": found.stage, "room_id": found.room_id, "user_id": found.user_id}
        line = {
            "event": "worker ended while it was stopped" if is_stopping else "worker ended and is replaced",
            **{key: value for key, value in what.items() if value is not None},
            **({"worker": self.slot} if told is not None and told.workers > 1 else {}),
            "restarts": self.starts,
            "pause_s": round(pause_s, 2),
            "level": "error",
            "logger": "kanvas.supervisor",
            "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        if told is None or told.json_logs:
            say(json.dumps(line))
        else:
            words = " ".join(f"{key}={value}" for key, value in line.items() if key not in ("event", "level"))
            say(f"[error] {line['event']}: {words}")
        if found is None or told is None:
            return
        crash = {**what, "at": time.time(), "client_ids": found.client_ids, "is_exact": found.is_exact}
        try:
            with open(os.path.join(told.data_dir, crash_file(self.slot)), "a", encoding="utf-8") as file:  # noqa: PTH118, PTH123 - pathlib takes longer to load than all of this
                file.write(json.dumps(crash) + "\n")
        except OSError as error:
            say(f"What the server process had in hand can't be noted: {error.strerror}.")


class Heart:
    """Whether the worker's event loop still turns."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._seen: tuple[str, int] = ("", -1)
        self.silent_s = 0.0
        self._looked_at = time.monotonic()

    def is_silent(self, patience_s: float) -> bool:
        """True when nothing moved for too long, by our own count: what stops us too does not count."""
        now = time.monotonic()
        passed_s, self._looked_at = min(now - self._looked_at, 2 * TICK_S), now
        phase = flight.read_phase(self._page)
        seen = (phase, flight.read_beat(self._page))
        if seen != self._seen or phase == "migrating":
            # a migration takes as long as it takes; to end it in the middle would only begin it again
            self._seen, self.silent_s = seen, 0.0
            return False
        self.silent_s += passed_s
        patience = {"starting": START_S, "serving": patience_s, "draining": patience_s}
        return self.silent_s > patience.get(phase, END_S)


def say(words: str, handle: int = 2) -> None:
    """A line to standard error, or output. That nobody reads it any more is no reason to end."""
    # past Python's buffers: what can't be written would fail again at every flush
    with contextlib.suppress(OSError):
        os.write(handle, f"{words}\n".encode())


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
