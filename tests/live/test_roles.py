"""Roles that change at one process while people are in the room at another: PostgreSQL and Redis are real."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import websockets

from party import wire
from party.room import REMOVED
from party.writer import VIEW_ONLY
from server.beside import BESIDE
from server.identity.signal import encode_role
from tests.backends.postgres import Postgres
from tests.backends.valkey import Valkey
from tests.live.pulse import Pulse
from tests.live.test_workers_together import installation
from tests.live.writer import Writer
from tests.servers import LiveServer, bearer

NOTICE = b"\x02\x00"


class Visitor:
    """A Yjs document behind a socket, and what it was told."""

    def __init__(self, name: str, server: LiveServer, room_id: str, token: str, *, is_ours: bool) -> None:
        self.writer = Writer(name, f"{server.ws_url}/{room_id}", token)
        self.protocols = ["kanvas", token] if is_ours else None
        self.other: list[bytes] = []
        self.line: websockets.ClientConnection

    async def enter(self) -> "asyncio.Task[None]":
        url = self.writer.url if self.protocols is None else self.writer.url.partition("?")[0]
        self.line = await websockets.connect(url, subprotocols=self.protocols)  # type: ignore[arg-type]
        await self.line.send(wire.encode_step_1(self.writer.doc.get_state()))
        return asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for data in self.line:
            assert isinstance(data, bytes)
            if data[0] == BESIDE:
                continue
            if data[:1] == b"\x40" or data.startswith(NOTICE):
                self.other.append(data)
            elif (reply := self.writer.take(wire.decode_message(data))) is not None:
                await self.line.send(reply)

    async def draw(self) -> str:
        update = self.writer.write()
        await self.line.send(wire.encode_update(update))
        return f"{self.writer.name}-{self.writer.written - 1}"


async def test_a_role_taken_at_one_process_is_gone_at_the_other_within_a_second(
    postgres: Postgres, valkey: Valkey, tmp_path: Path
) -> None:
    """G4-G6: a downgrade keeps both sockets, ours hears of it; given back, all is taken; then both go."""
    env = installation(postgres, valkey, tmp_path)
    here, there = (LiveServer(tmp_path / name, env) for name in ("one", "two"))
    with here, there:
        owner = here.guest()
        room_id = here.room(owner, schema="open")
        ours = Visitor("ours", there, room_id, there.guest("Ben"), is_ours=True)
        stock = Visitor("stock", there, room_id, there.guest("Cy"), is_ours=False)
        readers = [await one.enter() for one in (ours, stock)]
        async with httpx2.AsyncClient(timeout=60) as http, Pulse(here, there) as pulse:
            url = f"{here.url}/api/v1/rooms/{room_id}"

            async def give(role: str) -> float:
                changed = await http.patch(url, json={"default_role": role}, headers=bearer(owner))
                assert changed.status_code == 200, changed.text
                return time.monotonic()

            async def within(
                most_s: float, is_so: Callable[[], Awaitable[bool]], since: float | None = None
            ) -> None:
                since = time.monotonic() if since is None else since
                while not await is_so():
                    assert pulse.worked_s(since) < most_s
                    await asyncio.sleep(0.01)

            async def is_durable(key: str, visitor: Visitor) -> bool:
                return key in visitor.writer.durable

            for visitor in (ours, stock):
                key = await visitor.draw()
                await within(10, lambda k=key, v=visitor: is_durable(k, v))  # type: ignore[misc]

            async def is_told(role: str) -> bool:
                return ours.other[-1:] == [encode_role(role)]  # type: ignore[arg-type]

            await within(1, lambda: is_told("viewer"), since=await give("viewer"))
            # Redis is quick, and what comes after the look is refused: the stock client is told in words
            version = there.state(owner, room_id)[0]
            refused = await stock.draw()

            async def is_refused() -> bool:
                return stock.other == [wire.encode_notice(VIEW_ONLY)]

            await within(1, is_refused)
            assert there.state(owner, room_id)[0] == version
            await within(1, lambda: is_told("editor"), since=await give("editor"))
            later = await stock.draw()
            await within(10, lambda: is_durable(later, stock))
            assert refused in stock.writer.durable

            since = await give("none")
            async with asyncio.timeout(60):
                await asyncio.gather(*(one.line.wait_closed() for one in (ours, stock)))
            assert pulse.worked_s(since) < 1
            for one in (ours, stock):
                assert (one.line.close_code, one.line.close_reason) == (4403, REMOVED)
        await asyncio.gather(*readers, return_exceptions=True)
