"""People who draw through faults: each has several servers to choose from, as behind a balancer.

Owns: going elsewhere when a connection ends, and how long that took. Does not own: what a client does on one
connection (tests/live/writer.py).
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence

import websockets

from party import wire
from tests.live.writer import TRANSIENT, Writer

CONNECT_S = 2.0


class Drawer(Writer):
    """Writes numbered keys into one document, on one server after the other."""

    def __init__(self, name: str, urls: Sequence[str], token: str, dice: random.Random) -> None:
        super().__init__(name, urls[0], token)
        self._urls = [f"{url}?token={token}" for url in urls]
        self._dice = dice
        self.is_drawing = True
        self.pause_s = 0.02
        self.closes: list[int] = []
        """With which codes connections ended, 1006 for none."""

        self.stalls_s: list[float] = []
        """After each end of a connection, how long until the next echo or sync."""

        self._ended_at: float | None = None

    @property
    def is_settled(self) -> bool:
        """Everything it wrote was echoed."""
        return not self._keys_by_clock

    async def run(self, stop: asyncio.Event, pause_s: float = 0.02) -> None:
        """Draw until `stop`, wherever it is possible."""
        self.pause_s = pause_s
        at = self._dice.randrange(len(self._urls))
        while not stop.is_set():
            with contextlib.suppress(*TRANSIENT):
                async with asyncio.timeout(CONNECT_S):
                    socket = await websockets.connect(self._urls[at % len(self._urls)], max_size=None)
                async with socket:
                    await self._talk(socket, stop, pause_s)
                self.closes.append(socket.close_code or 1006)
            if self._ended_at is None:
                self._ended_at = time.monotonic()
            at += 1
            await asyncio.sleep(0.05 * self._dice.uniform(0.5, 1.5))

    async def _talk(self, socket: websockets.ClientConnection, stop: asyncio.Event, pause_s: float) -> None:
        await socket.send(wire.encode_step_1(self.doc.get_state()))
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(socket))
            try:
                while not stop.is_set() and not reading.done():
                    if self.is_drawing:
                        await socket.send(wire.encode_update(self.write()))
                    await asyncio.sleep(self.pause_s * self._dice.uniform(0.5, 1.5))
            except websockets.ConnectionClosed:
                pass
            finally:
                reading.cancel()

    def take(self, message: wire.Message) -> bytes | None:
        answer = super().take(message)
        if isinstance(message, wire.Step2 | wire.Update) and self._ended_at is not None:
            self.stalls_s.append(time.monotonic() - self._ended_at)
            self._ended_at = None
        return answer
