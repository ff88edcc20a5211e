"""A client that writes numbered keys and notes which of them came back durable.

Speaks the wire itself, so that it can log an echo at the instant its bytes arrive.
"""

import asyncio
import contextlib
from typing import Any

import websockets
from pycrdt import Doc, Map

from party import wire
from party.admission import dissect

TRANSIENT = (OSError, websockets.WebSocketException, TimeoutError)


class Writer:
    """One Yjs document that keeps its edits across reconnects, like a browser does."""

    def __init__(self, name: str, url: str, token: str) -> None:
        self.name = name
        self.doc: Doc[Any] = Doc()
        self.map: Map[Any] = self.doc.get("map", type=Map)
        self.client_id = self.doc.client_id
        self.url = f"{url}?token={token}"
        self.written = 0
        self.durable: set[str] = set()
        """Keys whose echo arrived: shown as saved."""

        self._keys_by_clock: list[tuple[int, str]] = []
        self._socket: websockets.ClientConnection | None = None

    def write(self) -> bytes:
        """Set the next key; returns the update."""
        before = self.doc.get_state()
        key = f"{self.name}-{self.written}"
        self.map[key] = self.written
        self.written += 1
        clock = wire.decode_state_vector(self.doc.get_state())[self.client_id]
        self._keys_by_clock.append((clock, key))
        return self.doc.get_update(before)

    async def run(self, stop: asyncio.Event, pause_s: float = 0.002) -> None:
        """Write until `stop`, reconnecting as often as needed."""
        while not stop.is_set():
            with contextlib.suppress(*TRANSIENT):
                async with asyncio.timeout(5):
                    socket = await websockets.connect(self.url, max_size=None)
                async with socket:
                    await self._talk(socket, stop, pause_s)
            await asyncio.sleep(0.02)

    async def finish(self, deadline_s: float = 120.0) -> None:
        """Come back until all that was written is shown as saved: nothing is on its way any more."""
        async with asyncio.timeout(deadline_s):
            while self._keys_by_clock:
                with contextlib.suppress(*TRANSIENT):
                    async with websockets.connect(self.url, max_size=None) as socket:
                        await socket.send(wire.encode_step_1(self.doc.get_state()))
                        while self._keys_by_clock:
                            reply = self.take(wire.decode_message(await socket.recv(decode=False)))
                            if reply is not None:
                                await socket.send(reply)
                await asyncio.sleep(0.02)

    async def _talk(self, socket: websockets.ClientConnection, stop: asyncio.Event, pause_s: float) -> None:
        await socket.send(wire.encode_step_1(self.doc.get_state()))
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(socket))
            try:
                while not stop.is_set() and not reading.done():
                    await socket.send(wire.encode_update(self.write()))
                    await asyncio.sleep(pause_s)
            except websockets.ConnectionClosed:
                pass
            finally:
                reading.cancel()

    async def _read(self, socket: websockets.ClientConnection) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for data in socket:
                assert isinstance(data, bytes)
                reply = self.take(wire.decode_message(data))
                if reply is not None:
                    await socket.send(reply)

    def take(self, message: wire.Message) -> bytes | None:
        """Take in one message from the server; returns what to answer."""
        match message:
            case wire.Step1(state_vector):
                self._note(wire.decode_state_vector(state_vector).get(self.client_id, 0))
                return wire.encode_step_2(self.doc.get_update(state_vector))
            case wire.Step2(update) | wire.Update(update):
                spans = dissect(update).spans.get(self.client_id)
                if spans:
                    self._note(spans[-1][1])
                self.doc.apply_update(update)
        return None

    def _note(self, clock: int) -> None:
        """The server has everything of ours below `clock`."""
        while self._keys_by_clock and self._keys_by_clock[0][0] <= clock:
            self.durable.add(self._keys_by_clock.pop(0)[1])
