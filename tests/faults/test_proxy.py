"""The proxy itself: what it must not get wrong is losing bytes."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import FaultProxy, open_proxy


@asynccontextmanager
async def echoing() -> AsyncIterator[FaultProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with open_proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()


async def ask(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"x")
        return await reader.readexactly(1)
    finally:
        writer.close()


async def test_what_goes_in_comes_out_with_stalls_and_delays_in_between() -> None:
    sent = os.urandom(3_000_000)
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)

        async def disturb() -> None:
            for _ in range(5):
                proxy.stall()
                await asyncio.sleep(0.01)
                proxy.cure()
                proxy.delay(0.005)
                await asyncio.sleep(0.01)
                proxy.cure()
                await asyncio.sleep(0.005)

        async def send() -> None:
            for at in range(0, len(sent), 10_000):
                writer.write(sent[at : at + 10_000])
                await writer.drain()

        _, _, came = await asyncio.gather(disturb(), send(), reader.readexactly(len(sent)))
        assert came == sent
        writer.close()


async def test_a_stalled_line_lets_nothing_through_until_it_is_cured() -> None:
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        proxy.stall()
        writer.write(b"two")
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        late_writer.write(b"new")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.readexactly(1)
        proxy.cure()
        assert await reader.readexactly(3) == b"two"
        assert await late_reader.readexactly(3) == b"new"
        writer.close()
        late_writer.close()


async def test_a_cut_line_resets_what_there_is_and_what_comes() -> None:
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            assert await reader.read(1)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await ask(proxy.port)
        proxy.cure()
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"two")
        assert await reader.readexactly(3) == b"two"
        writer.close()
