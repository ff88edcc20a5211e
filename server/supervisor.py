"""The supervisor: the small process that `kanvas serve` is, and the worker it starts, watches and replaces.

Owns: the listening sockets between two workers, the heart's deadline, the restart and its back-off, passing
signals on, telling the next worker what the last one had in hand. Does not own: serving (serve.py), the
shared page's layout (flight.py), who is to blame (party/quarantine.py). Keeps rules Q2, Q8.

A worker is a fork of the supervisor, which has one thread and next to nothing imported: forking it is sound
on Linux and macOS, takes no time, and the memory is shared. The first worker reads the settings, binds, and
hands the sockets up (SCM_RIGHTS), so nothing of that needs to be known here. Not on Windows.

Measured: a start takes 0.01 s longer than without; the supervisor has 12 MB, half of it shared with the
worker, and looks at the heart twice a second for 20 µs.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple, NoReturn

from server import flight

TICK_S: Final = 0.5
"""The heart is looked at as often; a longer gap means that we were stopped too, and counts as two."""

BEAT_S: Final = 0.25
START_S: Final = 120.0
END_S: Final = 30.0
"""After the event loop: the database closes within 15 s."""

FIRST_PAUSE_S: Final = 0.5
MOST_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""A worker that served as long may die and be replaced at once."""

CRASHES: Final = "crashes.jsonl"
"""In the data folder: what was in hand at each crash, until a worker has taken it in."""

PASSED_ON: Final = ("SIGTERM", "SIGINT")


class Told(NamedTuple):
    """What the first worker read in the settings."""

    hung_after_s: float
    data_dir: str
    json_logs: bool


class Link:
    """A worker's side: its sockets once they are bound, its heart, its recorder."""

    def __init__(self, page: Any, control: socket.socket, sockets: list[socket.socket], starts: int) -> None:
        self.page = page
        self.recorder = flight.FlightRecorder(page)
        self.sockets = sockets
        self.starts = starts
        """How many workers there were before; the first one greets."""

        self._control = control
        self._count = 0

    def hand_up(self, sockets: list[socket.socket], told: Told) -> None:
        """Give the supervisor the bound sockets, and what it needs to know."""
        line = f"{told.hung_after_s}\n{int(told.json_logs)}\n{told.data_dir}".encode()
        socket.send_fds(self._control, [line], [one.fileno() for one in sockets])
        self.sockets = sockets

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


_link: Link | None = None


def current_link() -> Link | None:
    """This process's link when it is a worker."""
    return _link


def is_possible() -> bool:
    """Whether this platform can do it."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds")


def supervise() -> Link:
    """Start workers for as long as one is wanted. Returns in each worker; the supervisor ends in here."""
    global _link  # noqa: PLW0603 - one per process, as a process id is
    _link = _Supervisor().run()
    return _link


class _Supervisor:
    """The loop of the parent."""

    def __init__(self) -> None:
        import mmap  # noqa: PLC0415 - not needed by who only imports this module

        # shared and without a file: no disk is touched, nothing is left behind
        self._page = mmap.mmap(-1, flight.PAGE_BYTES)
        self._told: Told | None = None
        self._sockets: list[socket.socket] = []
        self._pid = 0
        self._control: socket.socket | None = None
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._stop: int | None = None
        self._starts = 0
        self._has_served = False
        self._quick_ends = 0
        self._is_hung = False

    def run(self) -> Link:
        signals = [getattr(signal, name) for name in PASSED_ON]
        before = {one: signal.getsignal(one) for one in signals}
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for one in signals:
            signal.signal(one, self._pass_on)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            link = self._fork(before)
            if link is not None:
                return link
            began = time.monotonic()
            code = self._watch()
            served = flight.read_phase(self._page) in ("serving", "ending")
            self._has_served = self._has_served or served
            is_steady = served and time.monotonic() - began >= STEADY_S
            self._quick_ends = 1 if is_steady else self._quick_ends + 1
            pause_s = self._pause_s()
            if self._has_served and code not in (0, -(self._stop or 0)):
                self._report(code, pause_s)
            self._end_if_done(code)
            self._wait(pause_s)

    # -- a worker's life ------------------------------------------------------------------------

    def _fork(self, before: dict[signal.Signals, Any]) -> Link | None:
        """The next worker; returns its link in it and None here."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        flight.clear(self._page)
        self._is_hung = False
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        # blocked, so that a signal meets either the supervisor's handlers or the worker's, never a mixture
        every = set(before) | {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, every)
        if self._stop is not None:
            self._wait(0)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for one, handler in before.items():
                signal.signal(one, handler)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # a terminal's Ctrl+C goes to its whole group, and reaches a worker only through us; it may write
            # to the terminal from another group all the same
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, every)
            ours.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            _end_with(parent, theirs)
            return Link(self._page, theirs, self._sockets, self._starts)
        self._pid = pid
        theirs.close()
        self._control = ours
        self._starts += 1
        signal.pthread_sigmask(signal.SIG_UNBLOCK, every)
        return None

    def _watch(self) -> int:
        """Until the worker has ended; its exit code, or a signal's number below zero."""
        heart = _Heart(self._page)
        while True:
            self._rest(TICK_S)
            code = self._reap()
            if code is not None:
                return code
            patience_s = self._told.hung_after_s if self._told is not None else START_S
            if heart.is_silent(patience_s):
                self._is_hung = True
                os.kill(self._pid, signal.SIGKILL)

    def _reap(self) -> int | None:
        """The worker's exit code once it has ended; in a container orphans may be ours to bury, too."""
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return None
            if pid == self._pid:
                break
        self._pid = 0
        if self._control is not None:
            self._control.close()
            self._control = None
        return os.waitstatus_to_exitcode(status)

    def _rest(self, seconds: float) -> None:
        """Wait for a signal, the worker's word, or the time."""
        waited: list[Any] = [self._wake_read]
        if self._control is not None:
            waited.append(self._control)
        ready, _, _ = select.select(waited, [], [], seconds)
        if self._wake_read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_read, 1024)
        if self._control is not None and self._control in ready:
            self._listen(self._control)

    def _listen(self, control: socket.socket) -> None:
        try:
            data, handles, _, _ = socket.recv_fds(control, 65536, 64)
        except OSError:
            data, handles = b"", []
        if not data:
            # it closed its end; its exit follows
            control.close()
            self._control = None
            return
        hung_after_s, json_logs, data_dir = data.decode().split("\n", 2)
        self._told = Told(float(hung_after_s), data_dir, json_logs == "1")
        for handle in handles:
            os.set_inheritable(handle, False)
        self._sockets = [socket.socket(fileno=handle) for handle in handles]
        if self._stop is not None:
            self._close_sockets()

    def _close_sockets(self) -> None:
        # else whoever comes during the drain would wait in a queue that nobody empties
        for one in self._sockets:
            one.close()
        self._sockets = []

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self._stop = number
        self._close_sockets()
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    # -- the end of a worker --------------------------------------------------------------------

    def _end_if_done(self, code: int) -> None:
        """End as the worker ended: when it was asked to, when it never got to serve, or all is well."""
        if code == 0:
            sys.exit(0)
        if self._stop is None and self._has_served:
            return
        if self._is_hung:
            words = "did not end" if self._has_served else f"did not start within {START_S:g} s"
            self._leave(f"The server process {words} and was killed.", 1)
        if code == -(self._stop or 0):
            if self._has_served:
                self._say_stopped()
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        if code < 0:
            self._leave(f"The server process ended by {_signal_name(-code)}.", 128 - code)
        sys.exit(code)

    def _leave(self, words: str, code: int) -> NoReturn:
        sys.stderr.write(words + "\n")
        sys.exit(code)

    def _pause_s(self) -> float:
        """0 for the first end, then 0.5 s doubled up to 30 s, jittered."""
        if self._quick_ends <= 1:
            return 0.0
        longest = min(FIRST_PAUSE_S * 2.0 ** min(self._quick_ends - 2, 32), MOST_PAUSE_S)
        return longest * (0.5 + os.urandom(1)[0] / 510)

    def _report(self, code: int, pause_s: float) -> None:
        """One log line, and for the next worker what this one had in hand."""
        import json  # noqa: PLC0415 - once in a while; a supervisor should be small
        from datetime import UTC, datetime  # noqa: PLC0415

        name = _signal_name(-code) if code < 0 else None
        reason = "hung" if self._is_hung else "killed" if name == "SIGKILL" else "crashed"
        found = flight.read_flight(self._page)
        ended: dict[str, Any] = {"reason": reason, "signal": name, "exit_code": code if code >= 0 else None}
        if found is not None:
            ended |= {"stage": found.stage, "room_id": found.room_id, "user_id": found.user_id}
        line = {
            "event": "worker ended while it was stopped" if self._stop else "worker ended and is replaced",
            **{key: value for key, value in ended.items() if value is not None},
            "restarts": self._starts,
            "pause_s": round(pause_s, 2),
            "level": "error",
            "logger": "kanvas.supervisor",
            "at": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        }
        if self._told is None or self._told.json_logs:
            sys.stderr.write(json.dumps(line) + "\n")
        else:
            told = " ".join(f"{key}={value}" for key, value in line.items() if key not in ("event", "level"))
            sys.stderr.write(f"[error] {line['event']}: {told}\n")
        sys.stderr.flush()
        if found is None or self._told is None:
            return
        crash = {**ended, "at": time.time(), "client_ids": found.client_ids, "is_exact": found.is_exact}
        try:
            with open(os.path.join(self._told.data_dir, CRASHES), "a", encoding="utf-8") as file:  # noqa: PTH118, PTH123 - pathlib takes longer to load than all of this
                file.write(json.dumps(crash) + "\n")
        except OSError as error:
            sys.stderr.write(f"What the server process had in hand can't be noted: {error.strerror}.\n")

    def _wait(self, pause_s: float) -> None:
        """The back-off; a signal to stop ends it, and us."""
        end = time.monotonic() + pause_s
        while (left_s := end - time.monotonic()) > 0 and self._stop is None:
            self._rest(left_s)
        if self._stop is not None:
            self._say_stopped()

    def _say_stopped(self) -> NoReturn:
        sys.stdout.write("Kanvas has stopped.\n")
        sys.exit(0)


class _Heart:
    """Whether the worker's event loop still turns."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._seen: tuple[str, int] = ("", -1)
        self._silent_s = 0.0
        self._looked_at = time.monotonic()

    def is_silent(self, patience_s: float) -> bool:
        """True when nothing moved for too long, by our own count: what stops us too does not count."""
        now = time.monotonic()
        passed_s, self._looked_at = min(now - self._looked_at, 2 * TICK_S), now
        phase = flight.read_phase(self._page)
        seen = (phase, flight.read_beat(self._page))
        if seen != self._seen or phase == "migrating":
            # a migration takes as long as it takes; to end it in the middle would only begin it again
            self._seen, self._silent_s = seen, 0.0
            return False
        self._silent_s += passed_s
        return self._silent_s > {"starting": START_S, "serving": patience_s}.get(phase, END_S)


def _end_with(parent: int, control: socket.socket) -> None:
    """In a worker: end when the supervisor is killed, on Linux even while native code hangs."""
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
            control.recv(1)
        os._exit(1)

    threading.Thread(target=watch, name="supervisor watch", daemon=True).start()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
