"""How long something takes, without the time in which the machine stood still.

A promise in seconds can't be proved by the clock alone where processes are stopped for seconds: beside what
is timed, servers are asked again and again for next to nothing, and while one is late nothing counts.
"""

import asyncio
import contextlib
import time
from typing import Self

from tests.servers import LiveServer

EVERY_S = 0.02
LATE_S = 0.1
"""A round takes a fifth of it."""

Span = tuple[float, float]


class Pulse:
    """Asks these servers for as long as the block lasts. One that starts or ends is not late."""

    def __init__(self, *servers: LiveServer) -> None:
        self._began = dict.fromkeys(servers, 0.0)
        self._late: list[Span] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._ask(server)) for server in self._began]
        # so that the first round has begun
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        for task in self._tasks:
            # one that ended by itself would count as late for ever
            with contextlib.suppress(asyncio.CancelledError):
                task.result()

    async def _ask(self, server: LiveServer) -> None:
        while True:
            self._began[server] = time.monotonic()
            if server.is_serving:
                with contextlib.suppress(OSError):
                    await ask(server.port)
            await asyncio.sleep(EVERY_S)
            self._late += self._is_late(server)

    def _is_late(self, server: LiveServer) -> list[Span]:
        begin, now = self._began[server] + LATE_S, time.monotonic()
        return [(begin, now)] if now > begin else []

    def worked_s(self, since: float, until: float | None = None) -> float:
        """Seconds between two readings of time.monotonic() in which no server was late; `until` is now."""
        until = time.monotonic() if until is None else until
        worked_s, at = 0.0, since
        under_way = [span for server in self._began for span in self._is_late(server)]
        for begin, end in sorted([*self._late, *under_way]):
            worked_s += max(0.0, min(begin, until) - at)
            at = max(at, end)
        return worked_s + max(0.0, until - at)


async def ask(port: int) -> None:
    """What a server does next to nothing for, its database included."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        await reader.read()
    finally:
        writer.close()
