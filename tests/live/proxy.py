"""A slow line between clients and a server: a TCP proxy that lets only so many bits per second through.

Owns: the rate, shared by all connections of one line and counted per direction, and little buffering, so that
the server feels a slow reader. Does not own: faults other than slowness.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PIECE_BYTES = 4096
BUFFER_BYTES = 32 * 1024


class Line:
    """One line to `port`; `bits_per_s` may be changed at any time, None is as fast as it goes."""

    def __init__(self, port: int, bits_per_s: float | None = None) -> None:
        self.bits_per_s = bits_per_s
        self.down_bytes = 0
        """What came from the server so far."""

        self._to = port
        self._here = 0
        self._turns = {"down": asyncio.Lock(), "up": asyncio.Lock()}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._here}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._here}/parties"

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0, limit=PIECE_BYTES)
        self._here = server.sockets[0].getsockname()[1]
        return server

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        upstream = socket.socket()
        # before it connects: the window the server is offered is chosen then
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        upstream.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(upstream, ("127.0.0.1", self._to))
            above, to_server = await asyncio.open_connection(sock=upstream, limit=PIECE_BYTES)
        except OSError:
            upstream.close()
            writer.close()
            return
        pumps = (self._pump(reader, to_server, "up"), self._pump(above, writer, "down"))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*pumps)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        writer.transport.set_write_buffer_limits(PIECE_BYTES)
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if way == "down":
                    self.down_bytes += len(piece)
                if self.bits_per_s is not None:
                    # one piece at a time on the whole line, in the order they came
                    async with self._turns[way]:
                        await asyncio.sleep(len(piece) * 8 / self.bits_per_s)
                writer.write(piece)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def open_line(port: int, bits_per_s: float | None = None) -> AsyncIterator[Line]:
    """A line to a server on this machine; it breaks when the block ends."""
    line = Line(port, bits_per_s)
    before = asyncio.all_tasks()
    server = await line.listen()
    try:
        yield line
    finally:
        server.close()
        pumps = [task for task in asyncio.all_tasks() - before if "_connect" in repr(task.get_coro())]
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
