"""One serving process: its socket, its server, its end.

Owns: binding (with a sentence when it fails), uvicorn's configuration, the order of a graceful stop.
Does not own: services and routes. Rules: the rooms are drained while their sockets still work, then uvicorn
ends, then the database closes; all of it takes less than 10 s, and skipping it loses nothing.
"""

import asyncio
import errno
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from party.ports import Recorder
from server.adoption import Adopter
from server.app import create_app
from server.link import Link, Post
from server.services import Services, open_services
from server.settings import Settings
from server.transport import KanvasHttp, KanvasProtocol

DRAIN_S: Final = 5.0
"""For the rooms: settle what is in flight, send everybody away (1012), checkpoint."""

BACKLOG: Final = 2048

FINISH_S: Final = 3
"""For HTTP answers under way, after that."""

END_S: Final = 10.0
"""For whatever is left when the database is closed."""


class CannotListen(Exception):
    """The address can't be listened on; the message says why and what to do."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets for every address of `host`, not listening yet. Raises CannotListen."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise CannotListen(f"KANVAS_HOST={host} names no address of this machine.") from error
    sockets: list[socket.socket] = []
    failed: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        # with port 0 every further address takes the port the first one was given
        chosen = sockets[0].getsockname()[1] if sockets and port == 0 else port
        one = socket.socket(family, kind, protocol)
        try:
            if sys.platform != "win32":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], chosen, *address[2:]))
            # not only reserved but listening: of two servers that start at once the second is told now
            one.listen(BACKLOG)
        except OSError as error:
            one.close()
            # a name such as localhost may have an address this machine does not do
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                failed = failed or error
                continue
            for other in sockets:
                other.close()
            raise CannotListen(_why(error, host, port)) from error
        sockets.append(one)
    if not sockets:
        raise CannotListen(_why(failed or OSError(errno.EADDRNOTAVAIL, ""), host, port)) from failed
    return sockets


def bind_patiently(host: str, port: int) -> list[socket.socket]:
    """As `bind`; a port in use is tried again for a second. Blocks.

    Of a Kanvas that was killed the supervisor is gone at once and the worker, perhaps in a write, soon after.
    """
    for _ in range(10):
        try:
            return bind(host, port)
        except CannotListen as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
                raise
        time.sleep(0.1)
    return bind(host, port)


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} of {host} is in use, perhaps by another Kanvas; stop it or choose another: "
            f"KANVAS_PORT={port + 1 if port < 65535 else 8000}"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Port {port} of {host} needs more rights; choose one above 1023: KANVAS_PORT=8000"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"KANVAS_HOST={host} is no address of this machine; 127.0.0.1 is, and 0.0.0.0 means all."
    return f"Can't listen on port {port} of {host}: {error.strerror or error}."


class KanvasServer(uvicorn.Server):
    """uvicorn, with our order of stopping."""

    def __init__(
        self,
        config: uvicorn.Config,
        services: Services,
        on_start: Callable[[], None],
        link: Link | None = None,
    ) -> None:
        super().__init__(config)
        self._services = services
        self._on_start = on_start
        self._link = link
        # without a port of its own it gets its connections from the supervisor
        is_fed = link is not None and not link.sockets
        self._adopter = Adopter(link.control) if link is not None and is_fed else None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # what is there by now stays as long as the process; looking for garbage in it takes 60 ms
            gc.freeze()
            gc.enable()
            if self._adopter is not None:
                self._adopter.start(self._make_protocol)
            self._services.oversight.stop = self._stop
            self._on_start()

    def _make_protocol(self) -> asyncio.Protocol:
        return KanvasHttp(self.config, self.server_state, self.lifespan.state)

    def _stop(self) -> None:
        """As SIGTERM does."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._link is not None:
            # the others get what comes from now on
            self._link.set_phase("draining")
        self._services.readiness.drain()
        # beside the drain, so that both together stay within our time
        self._services.jobs.stop()
        for server in self.servers:
            server.close()
        await self._services.hub.drain(DRAIN_S)
        if self._adopter is not None:
            self._adopter.stop()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises the signal again on leaving, which would end us before the database is closed;
        # they stay ours until the process ends
        if threading.current_thread() is threading.main_thread():
            for one in HANDLED_SIGNALS:
                signal.signal(one, self.handle_exit)
        yield


def server_config(app: Any) -> uvicorn.Config:
    """uvicorn as we need it: no deflate (a small frame may inflate a thousandfold), no pings, no own logs."""
    return uvicorn.Config(
        app,
        http=KanvasHttp,
        ws=KanvasProtocol,
        ws_per_message_deflate=False,
        # one ticker pings for all (traffic.py)
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # KANVAS_TRUSTED_PROXIES says whom to believe (rates/addresses.py)
        proxy_headers=False,
        timeout_graceful_shutdown=FINISH_S,
        timeout_keep_alive=15,
    )


async def serve(
    settings: Settings,
    sockets: Sequence[socket.socket],
    on_start: Callable[[], None],
    link: Link | None = None,
) -> None:
    """Serve on `sockets`, or what the link brings, until SIGINT or SIGTERM. The database must be migrated."""
    recorder: Recorder | None = link.recorder if link is not None else None
    post = link.post if link is not None else Post()
    async with open_services(settings, recorder=recorder, post=post) as services:
        app = create_app(settings, services)
        await KanvasServer(server_config(app), services, on_start, link).serve(list(sockets))


def run(
    settings: Settings,
    sockets: Sequence[socket.socket],
    on_start: Callable[[], None],
    link: Link | None = None,
) -> None:
    """Serve in a fresh event loop: uvloop's where there is one (it shares one buffer over all sockets).

    With a link, the supervisor at its other end is shown that the loop turns; only a first worker greets.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        if link is None:
            try:
                runner.run(serve(settings, sockets, on_start))
            finally:
                end_for_certain()
            return

        has_started = False

        def started() -> None:
            nonlocal has_started
            has_started = True
            link.set_phase("serving")
            if link.starts == 0:
                on_start()

        link.set_phase("starting")
        stop_beating = link.beat_with(runner.get_loop())
        try:
            runner.run(serve(settings, sockets, started, link))
        finally:
            stop_beating()
            end_for_certain()
            if has_started:
                link.set_phase("ending")


def end_for_certain() -> None:
    """From now on this process has `END_S` to end: closing a loop waits for every task and every thread, and
    one may ignore that it was cancelled."""
    last = threading.Timer(END_S, os._exit, (1,))
    last.daemon = True
    last.start()


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's event loop, where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    import uvloop  # noqa: PLC0415 - not on Windows

    return uvloop.new_event_loop
