"""The supervisor: the small process that `kanvas serve` is, and the workers it starts, watches and replaces.

Owns: the listening sockets between two workers, the restart and its back-off, passing signals on, telling the
next worker what the last one had in hand, how the service ends. Does not own: serving (serve.py), one worker
seen from here (crew.py), the port when there are several (acceptor.py), the shared page's layout (flight.py),
who is to blame (party/quarantine.py). Keeps rules Q2, Q8, N3, N6.

A worker is a fork of the supervisor, which has one thread and next to nothing imported: forking it is sound
on Linux and macOS, takes no time, and the memory is shared. The first worker reads the settings, binds, and
hands the sockets up (SCM_RIGHTS), so nothing of that needs to be known here. With one worker that one accepts
by itself; with several the supervisor does. Not on Windows.

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
from types import FrameType
from typing import Any, Final, NoReturn

from server import flight
from server.crew import START_S, TICK_S, Ended, Worker, say, signal_name
from server.link import Link, Told, end_with

PASSED_ON: Final = ("SIGTERM", "SIGINT")

HELD_S: Final = 30.0
"""A room that was in hand at a crash waits as long for the worker that knows of it, instead of ending the
next one: as long as the acceptor waits for any worker."""

_link: Link | None = None


def current_link() -> Link | None:
    """This process's link when it is a worker."""
    return _link


def is_possible() -> bool:
    """Whether this platform can do it."""
    return hasattr(os, "fork") and hasattr(socket, "send_fds")


def supervise() -> Link:
    """Start workers for as long as they are wanted. Returns in each worker; the supervisor ends in here."""
    global _link  # noqa: PLW0603 - one per process, as a process id is
    _link = _Supervisor().run()
    return _link


class _Supervisor:
    """The loop of the parent."""

    def __init__(self) -> None:
        self._crew = [Worker(0)]
        self._told: Told | None = None
        self._sockets: list[socket.socket] = []
        self._acceptor: Any = None
        """server.acceptor.Acceptor, imported when there are several workers."""

        self._poll = select.poll()
        self._wake_read, self._wake_write = os.pipe()
        for end in (self._wake_read, self._wake_write):
            os.set_blocking(end, False)
        self._poll.register(self._wake_read, select.POLLIN)
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._stop: int | None = None
        self._starts = 0
        self._has_served = False
        self._ends: list[Ended] = []
        """Those since the service was asked to stop."""

        self._looked_at_s = time.monotonic()

    def run(self) -> Link:
        signals = [getattr(signal, name) for name in PASSED_ON]
        before = {one: signal.getsignal(one) for one in signals}
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for one in signals:
            signal.signal(one, self._pass_on)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            for worker in self._crew:
                if not worker.pid and worker.due_at_s <= time.monotonic():
                    link = self._fork(worker, before)
                    if link is not None:
                        return link
            self._rest()
            self._reap()
            self._look()
            if self._stop is not None:
                self._close_sockets()
                if not any(worker.pid for worker in self._crew):
                    self._end(self._ends)

    # -- starting -------------------------------------------------------------------------------

    def _fork(self, worker: Worker, before: dict[signal.Signals, Any]) -> Link | None:
        """The worker's next process; returns its link in it and None here."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        # blocked, so that a signal meets either the supervisor's handlers or the worker's, never a mixture
        every = set(before) | {signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, every)
        if self._stop is not None:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, every)
            ours.close()
            theirs.close()
            return None
        flight.clear(worker.page)
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
            self._let_go()
            end_with(parent, self._lifeline_read)
            return Link(worker.page, theirs, self._sockets, self._starts, worker.slot)
        theirs.close()
        ours.setblocking(False)
        self._poll.register(ours, select.POLLIN)
        worker.began(pid, ours)
        self._starts += 1
        signal.pthread_sigmask(signal.SIG_UNBLOCK, every)
        return None

    def _let_go(self) -> None:
        """In a worker: what is open here and none of its business would stay open with it."""
        for handle in (self._wake_read, self._wake_write, self._lifeline_write):
            os.close(handle)
        for other in self._crew:
            if other.control is not None:
                other.control.close()
        if self._acceptor is not None:
            self._acceptor.close()

    def _listen(self, worker: Worker) -> None:
        """The worker's word: the first one's sockets, or that it closed its end; its exit follows."""
        assert worker.control is not None  # noqa: S101 - it was in the poll
        try:
            data, handles, _, _ = socket.recv_fds(worker.control, 65536, 64)
        except BlockingIOError:
            return
        except OSError:
            data, handles = b"", []
        if not data:
            self._hang_up(worker)
            return
        self._told = Told.decode(data)
        for handle in handles:
            os.set_inheritable(handle, False)
        sockets = [socket.socket(fileno=handle) for handle in handles]
        if self._told.workers == 1:
            self._sockets = sockets
        else:
            from server.acceptor import Acceptor  # noqa: PLC0415 - one worker accepts by itself

            self._acceptor = Acceptor(sockets, self._poll, self._takers, self._hand)

    def _takers(self) -> list[int]:
        return [worker.slot for worker in self._crew if worker.takes_connections]

    def _hand(self, slot: int, connection: socket.socket) -> bool:
        return self._crew[slot].take(connection)

    # -- waiting --------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Wait for a signal, a worker's word, a connection, or the time; then see to the connections."""
        now = time.monotonic()
        due_s = [self._looked_at_s + TICK_S - now]
        if self._stop is None:
            due_s += [worker.due_at_s - now for worker in self._crew if not worker.pid]
            if self._acceptor is not None and (next_s := self._acceptor.due_s(now)) is not None:
                due_s.append(next_s)
        elif not any(worker.pid for worker in self._crew):
            return
        events = self._poll.poll(max(0.0, min(due_s)) * 1000)
        now = time.monotonic()
        for handle, _ in events:
            if handle == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 1024)
            elif self._acceptor is not None and self._acceptor.mine(handle):
                self._acceptor.ready(handle, now)
            else:
                for worker in self._crew:
                    if worker.control is not None and worker.control.fileno() == handle:
                        self._listen(worker)
        if self._acceptor is not None:
            self._acceptor.tick(now)

    def _look(self) -> None:
        """Twice a second: every heart, and whether the rest of the crew can begin."""
        now = time.monotonic()
        if now - self._looked_at_s < TICK_S:
            return
        self._looked_at_s = now
        for worker in self._crew:
            worker.look(self._told)
        first = self._crew[0]
        if self._told is not None and len(self._crew) == 1 < self._told.workers and first.has_served:
            # it has migrated, and its settings are right: the others need not find that out
            self._crew += [Worker(slot) for slot in range(1, self._told.workers)]

    # -- the end of a worker --------------------------------------------------------------------

    def _reap(self) -> None:
        """Bury who has ended; in a container orphans may be ours, too."""
        while any(worker.pid for worker in self._crew):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            for worker in self._crew:
                if worker.pid == pid:
                    if worker.control is not None:
                        self._hang_up(worker)
                    self._mourn(worker, worker.ended(status))

    def _hang_up(self, worker: Worker) -> None:
        assert worker.control is not None  # noqa: S101 - who calls has looked
        self._poll.unregister(worker.control)
        worker.control.close()
        worker.control = None

    def _mourn(self, worker: Worker, ended: Ended) -> None:
        """Replace it, or note how it ended when the service is to end."""
        self._has_served = self._has_served or worker.has_served
        pause_s = worker.pause(was_asked=ended.code == 0)
        if self._has_served and ended.code not in (0, -(self._stop or 0)):
            worker.report(ended, self._told, pause_s, is_stopping=self._stop is not None)
        is_one_of_many = self._told is not None and self._told.workers > 1
        if self._stop is not None:
            self._ends.append(ended)
        elif not self._has_served or (ended.code == 0 and not is_one_of_many):
            self._end([ended])
        found = flight.read_flight(worker.page)
        if self._acceptor is not None and found is not None:
            self._acceptor.hold(found.room_id.encode(), worker.slot, time.monotonic() + HELD_S)

    def _close_sockets(self) -> None:
        # else whoever comes during the drain would wait in a queue that nobody empties
        for one in self._sockets:
            one.close()
        self._sockets = []
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        self._stop = number
        for worker in self._crew:
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)

    # -- the end of the service -----------------------------------------------------------------

    def _end(self, ends: list[Ended]) -> NoReturn:
        """End as the workers ended, as the worst of them: asked to, or before the first one got to serve."""
        if not ends:
            # the signal came while none was there
            self._say_stopped()
        code, was_hung = max(ends, key=self._gravity)
        if was_hung:
            words = "did not end" if self._has_served else f"did not start within {START_S:g} s"
            self._leave(f"The server process {words} and was killed.", 1)
        if code == 0:
            if len(self._crew) > 1:
                self._say_stopped()
            sys.exit(0)
        if code == -(self._stop or 0):
            if self._has_served:
                self._say_stopped()
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        if code < 0:
            self._leave(f"The server process ended by {signal_name(-code)}.", 128 - code)
        sys.exit(code)

    def _gravity(self, ended: Ended) -> int:
        if ended.was_hung:
            return 3
        return 0 if ended.code == 0 else 1 if ended.code == -(self._stop or 0) else 2

    def _leave(self, words: str, code: int) -> NoReturn:
        say(words)
        sys.exit(code)

    def _say_stopped(self) -> NoReturn:
        say("Kanvas has stopped.", 1)
        sys.exit(0)
