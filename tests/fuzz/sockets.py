"""The same updates over real sockets, at a real server in a process of its own.

Owns: rooms over the network, and the look at them afterwards: the process lives, each room can be joined, its
checkpoint was made at the stop, and a new process shows the same document. Does not own: what is sent
(grammar.py); the byte-for-byte look after each refusal, which is only possible in process (game.py).
"""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import websockets
from pycrdt import Doc

from party import wire
from tests.fuzz.game import fingerprint
from tests.fuzz.grammar import Grammar
from tests.fuzz.worker import schema_of
from tests.party.peers import NOTICE
from tests.servers import LiveServer

UPDATES = 200
"""Of one room."""

ANSWER_S = 60.0
"""Until then the server answers on a busy machine; a hang takes for ever."""

REFUSALS = {4400, 4409, 4413, 4422, 4509}
"""A sender may be closed with these. Anything else is a find."""


class Lost(AssertionError):
    """The server broke a promise."""


class Attacker:
    """A client of one room that comes back whenever it is thrown out."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._socket: websockets.ClientConnection | None = None
        self.known: dict[int, int] = {}
        self.closes = 0

    async def send(self, update: bytes, *, as_step_2: bool) -> None:
        """Send one update, and ask for the state vector behind it: the answer says that it was looked at."""
        encode = wire.encode_step_2 if as_step_2 else wire.encode_update
        for _ in range(20):
            try:
                if self._socket is None:
                    self._socket = await websockets.connect(self._url, max_size=None, open_timeout=ANSWER_S)
                    await self._read_until(wire.Step1)
                await self._socket.send(encode(update))
                await self._socket.send(wire.encode_step_1(b"\x00"))
                state = (await self._read_until(wire.Step2)).update
            except websockets.ConnectionClosed as closed:
                self._socket = None
                self.closes += 1
                code = closed.rcvd.code if closed.rcvd else None
                if code not in REFUSALS:
                    raise Lost(f"closed with {code} after {update.hex()}") from closed
                return
            doc: Doc[Any] = Doc()
            doc.apply_update(state)
            self.known = wire.decode_state_vector(doc.get_state())
            return

    async def _read_until(self, kind: type[Any]) -> Any:
        assert self._socket is not None
        async with asyncio.timeout(ANSWER_S):
            while True:
                data = bytes(await self._socket.recv(decode=False))
                if not data.startswith(NOTICE) and isinstance(message := wire.decode_message(data), kind):
                    return message

    async def leave(self) -> None:
        if self._socket is not None:
            await self._socket.close()


async def play(server: LiveServer, token: str, seed: int, updates: int) -> tuple[str, int]:
    """One room. Returns its id and how often we were thrown out."""
    schema = schema_of(seed)
    random = Random(seed)
    room_id = await asyncio.to_thread(server.room, token, schema=schema)
    attacker = Attacker(f"{server.ws_url}/{room_id}?token={token}")
    grammar = Grammar(random, schema)
    try:
        for _ in range(updates):
            update = grammar.make(attacker.known)
            try:
                await attacker.send(update, as_step_2=random.random() < 0.1)
            except TimeoutError as hang:
                raise Lost(f"no answer in {ANSWER_S:g} s to {update.hex()}") from hang
        await attacker.leave()
    finally:
        grammar.close()
    return room_id, attacker.closes


async def fuzz_server(folder: Path, seed: int, updates: int, tell: Callable[[str], None]) -> int:
    """Play rooms until `updates` were sent, then look at all of them. Returns the number of finds."""
    finds = sent = closes = 0
    rooms: list[str] = []
    with LiveServer(folder / "data", {"KANVAS_LOG_LEVEL": "error"}) as server:
        pid = server.pid
        token = server.guest("Mallory")
        while sent < updates:
            now = min(UPDATES, updates - sent)
            try:
                room_id, thrown_out = await play(server, token, seed, now)
            except (Lost, OSError, websockets.WebSocketException) as failure:
                finds += 1
                tell(f"socket seed {seed}: {failure!r:.2000}\n{server.log()[-2000:]}")
                if not is_alive(pid):
                    return finds
            else:
                rooms.append(room_id)
                closes += thrown_out
            sent += now
            seed += 1
            if len(rooms) % 50 == 0:
                tell(f"{sent} updates over sockets, {closes} closes, {finds} finds")
        shown = {room_id: server.state(token, room_id) for room_id in rooms}
        if not is_alive(pid) or server.stop() != 0:
            tell("the server ended")
            return finds + 1
        finds += count_unchecked(folder / "data" / "kanvas.db", rooms, tell)
        server.start()
        for room_id, (version, state) in shown.items():
            again, reloaded = server.state(token, room_id)
            if again != version or fingerprint(reloaded) != fingerprint(state):
                finds += 1
                tell(f"room {room_id} came back as {again}, was {version}")
    tell(f"{sent} updates over sockets into {len(rooms)} rooms, {closes} closes, {finds} finds")
    return finds


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def count_unchecked(database: Path, rooms: list[str], tell: Callable[[str], None]) -> int:
    """How many rooms have no checkpoint of all their rows, although the server stopped gracefully."""
    with closing(sqlite3.connect(database)) as connection:
        heads = connection.execute("SELECT room_id, seq, checkpoint_seq FROM room_heads").fetchall()
    left = [(room_id, seq, at) for room_id, seq, at in heads if room_id in set(rooms) and seq != at]
    if left:
        tell(f"no checkpoint at the stop: {left[:5]}")
    return len(left)


def fuzz(seed: int, updates: int, tell: Callable[[str], None]) -> int:
    """Returns the number of finds."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(fuzz_server(Path(folder), seed, updates, tell))
