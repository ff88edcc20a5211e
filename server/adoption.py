"""A worker's end of the acceptor: connections it is handed become connections of its HTTP server.

Owns: reading sockets from the supervisor (SCM_RIGHTS) and giving each to the event loop. Does not own: who is
handed which (acceptor.py), the protocol they then speak (transport.py). Rules: a socket that was closed
meanwhile costs itself; the port, and with it everything that waits there, is never here; without file handles
nothing is read, so that what is handed over waits instead of being lost. Keeps rules N3, N4.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger("kanvas.adoption")

AT_ONCE: Final = 32
"""Messages read in one turn of the loop; each brings one socket."""

PAUSE_S: Final = 0.1
"""After file handles ran short."""

CLOSE_ON_EXEC: Final[int] = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Adopter:
    """Reads what the supervisor hands over, between `start` and `stop`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._tasks: set[asyncio.Task[None]] = set()
        self._make_protocol: Callable[[], asyncio.Protocol] | None = None
        self._is_short = False

    def start(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        """From now on every socket that is handed over gets a protocol of its own."""
        self._make_protocol = make_protocol
        self._control.setblocking(False)
        asyncio.get_running_loop().add_reader(self._control.fileno(), self._read)

    def stop(self) -> None:
        """Take no more. What lies in the queue is closed with this process. Idempotent."""
        if self._make_protocol is not None:
            self._make_protocol = None
            asyncio.get_running_loop().remove_reader(self._control.fileno())

    def _has_handle(self) -> bool:
        """Whether one more socket can be had; else what is read now would be closed by the kernel."""
        try:
            os.close(os.dup(self._control.fileno()))
        except OSError:
            if not self._is_short:
                log.error("no file handles are left, so connections wait; raise the limit (ulimit -n)")
            self._is_short = True
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._control.fileno())
            loop.call_later(PAUSE_S, self._go_on)
            return False
        return True

    def _go_on(self) -> None:
        if self._make_protocol is not None:
            asyncio.get_running_loop().add_reader(self._control.fileno(), self._read)

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            if not self._has_handle():
                return
            try:
                data, handles, flags, _ = socket.recv_fds(self._control, 64, 64, CLOSE_ON_EXEC)
            except BlockingIOError:
                self._is_short = False
                return
            except OSError as error:
                log.error("no more connections come from the supervisor", reason=str(error))
                self.stop()
                return
            if not data:
                # it was killed, and so are we
                self.stop()
                return
            if flags & socket.MSG_CTRUNC:
                # another thread took the last one in between
                log.error("a connection was lost: no file handles are left; raise the limit (ulimit -n)")
            for handle in handles:
                task = asyncio.get_running_loop().create_task(self._adopt(handle))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _adopt(self, handle: int) -> None:
        make_protocol = self._make_protocol
        connection = socket.socket(fileno=handle)
        if make_protocol is None:
            connection.close()
            return
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(make_protocol, connection)
        except OSError:
            # its peer was gone already
            with contextlib.suppress(OSError):
                connection.close()
