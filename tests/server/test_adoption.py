"""A worker's end of the acceptor, with real sockets."""

import asyncio
import os
import resource
import socket
import time

from server.adoption import Adopter


class Echo(asyncio.Protocol):
    """Says back what it hears."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert isinstance(self.transport, asyncio.WriteTransport)
        self.transport.write(data)


async def test_without_file_handles_connections_wait_and_are_served_later() -> None:
    """N4: none is lost, and waiting costs no processor time."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    pairs = [socket.socketpair() for _ in range(20)]
    for one, other in pairs:
        one.setblocking(False)
        socket.send_fds(ours, [b"."], [other.fileno()])
        other.close()
    adopter = Adopter(theirs)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        adopter.start(Echo)
        began = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - began < 0.1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for one, _ in pairs:
        await loop.sock_sendall(one, b"hello")
    async with asyncio.timeout(30):
        for one, _ in pairs:
            assert await loop.sock_recv(one, 10) == b"hello"
    adopter.stop()
    for one in (ours, theirs, *(one for one, _ in pairs)):
        one.close()
