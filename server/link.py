"""A worker's side of the supervisor: what it hands up, what it gets, and how it shows that it lives.

Owns: the messages between the two, the heart's beat, where crashes are noted. Does not own: the supervisor's
side (supervisor.py), the shared page's layout (flight.py). Imports next to nothing: the supervisor loads it.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Self

from server import flight

BEAT_S: Final = 0.25

CRASHES: Final = "crashes.jsonl"
"""In the data folder: what was in hand at each crash, until a worker has taken it in."""

ALL_CRASHES: Final = "crashes*.jsonl"
"""Those of every worker there was, and of a service that had more of them."""


def crash_file(slot: int) -> str:
    """A file for each worker: one takes its own in while another one's is written."""
    return f"crashes.{slot}.jsonl" if slot else CRASHES


class Told(NamedTuple):
    """What the first worker read in the settings."""

    hung_after_s: float
    data_dir: str
    json_logs: bool
    workers: int = 1

    def encode(self) -> bytes:
        return f"{self.hung_after_s}\n{int(self.json_logs)}\n{self.workers}\n{self.data_dir}".encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        hung_after_s, json_logs, workers, data_dir = data.decode().split("\n", 3)
        return cls(float(hung_after_s), data_dir, json_logs == "1", int(workers))


class Post(NamedTuple):
    """What a serving process has to do beside serving, and which notes of crashes it takes in."""

    crashes: str = ALL_CRASHES
    does_chores: bool = True
    """Jobs and the hourly clean-up: one of several workers is enough."""

    slot: int = 0
    """Its number among the workers, by which its own metrics are asked for."""


class Link:
    """A worker's side: its sockets once they are bound, its heart, its recorder."""

    def __init__(
        self, page: Any, control: socket.socket, sockets: list[socket.socket], starts: int, slot: int = 0
    ) -> None:
        self.page = page
        self.recorder = flight.FlightRecorder(page)
        self.control = control
        """With several workers connections come by it (adoption.py)."""

        self.sockets = sockets
        self.starts = starts
        """How many workers there were before; the first one greets."""

        self.slot = slot
        self._count = 0

    @property
    def post(self) -> Post:
        crashes = ALL_CRASHES if self.starts == 0 else crash_file(self.slot)
        return Post(crashes, does_chores=self.slot == 0, slot=self.slot)

    def hand_up(self, sockets: list[socket.socket], told: Told) -> None:
        """Give the supervisor the bound sockets, and what it needs to know. It keeps them when it accepts."""
        socket.send_fds(self.control, [told.encode()], [one.fileno() for one in sockets])
        if told.workers == 1:
            self.sockets = sockets
            return
        for one in sockets:
            one.close()

    def set_phase(self, phase: flight.Phase) -> None:
        flight.set_phase(self.page, phase)

    def beat_with(self, loop: Any) -> Callable[[], None]:
        """Beat as long as this event loop turns; the returned call ends it."""
        timer: list[Any] = []

        def beat() -> None:
            self._count += 1
            flight.beat(self.page, self._count)
            timer[:] = [loop.call_later(BEAT_S, beat)]

        beat()

        def stop() -> None:
            timer[0].cancel()

        return stop


def end_with(parent: int, lifeline: int) -> None:
    """In a worker: end when the supervisor is killed, on Linux even while native code hangs.

    `lifeline` is the reading end of a pipe whose other end only the supervisor has.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - of all platforms only here

        pr_set_pdeathsig = 1
        if ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL) == 0:
            if os.getppid() != parent:
                os._exit(1)
            return
    import threading  # noqa: PLC0415

    def watch() -> None:
        with contextlib.suppress(OSError):
            os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor watch", daemon=True).start()
