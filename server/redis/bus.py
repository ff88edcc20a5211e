"""The bus over Redis: what the nodes of one installation say to each other (promise 6: hints).

Owns: the channels, who said what, coming back after a loss, what is dropped. Does not own: the connection
(link.py), what is said (the hub's).
Rules: nobody waits for Redis; what it can't take now is dropped and counted, and memory stays bounded; a
message from a connection that its node has left is not heard after one of a later connection, so what one
node sends comes in order. Publishing and hearing share one connection: either both work or none.

Channels: `{prefix}bus:{number}:all` and `{prefix}bus:{number}:{node}`; the number is that of the database in
the address, of which channels know nothing by themselves. A payload is `{node} {connection}`, a line feed,
and the message.
"""

import asyncio
import logging
import random
import re
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from party.ports import BusReceiver
from party.tally import BusCounts
from server.redis.address import RedisAddress, explain, read_address
from server.redis.link import Link

log = logging.getLogger("kanvas.bus")

CONNECT_S: Final = 1.0
FLUSH_S: Final = 0.3
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
STEADY_S: Final = 10.0
"""A connection that lasted so long begins anew with the first pause."""

MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
LARGEST_BYTES: Final = 8 * 1024 * 1024
MOST_NODES: Final = 1024
"""Remembered, of ourselves and others; each start of a process is another."""

MOST_ECHOES: Final = 4096
"""Timed; what is said to all is beats and rooms that open."""

STAMP: Final = re.compile(rb"([0-9A-Za-z]{1,32}) ([0-9]{1,10})")


class RedisBus:
    """The Bus port. Make one with `open_redis_bus`."""

    def __init__(
        self, address: RedisAddress, prefix: str, node: str, counts: BusCounts | None = None
    ) -> None:
        self.node = node
        self.counts = counts or BusCounts()
        self.trouble: str | None = "it was not reached yet"
        """Why there is no connection, in words; None while there is one."""
        self._address = address
        self._tls = ssl.create_default_context() if address.is_tls else None
        self._channel = f"{prefix}bus:{address.database}:"
        self._own = f"{node} ".encode()
        self._stamp = b""
        self._connections = 0
        self._link: Link | None = None
        self._receiver: BusReceiver | None = None
        self._heads: dict[str | None, bytes] = {}
        self._latest: dict[str, int] = {}
        self._stamps: dict[bytes, str | None] = {}
        self._pause_s = FIRST_PAUSE_S
        self._echoes: deque[float] = deque(maxlen=MOST_ECHOES)
        """When what was said to all was said, and has not come back to us yet."""

    # -- the port ---------------------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        return self._link is not None and not self._link.over.done()

    def listen(self, receiver: BusReceiver) -> None:
        self._receiver = receiver
        if self.is_connected:
            receiver.rejoined()

    def send(self, data: bytes, to: str | None = None) -> None:
        if to == self.node:
            return
        link, size = self._link, len(data)
        if link is None or size > LARGEST_BYTES or link.waiting_bytes + size > MOST_WAITING_BYTES:
            self.counts.dropped += 1
            return
        head = self._heads.get(to) or self._make_head(to)
        link.publish(b"%b%d\r\n%b%b\r\n" % (head, len(self._stamp) + size, self._stamp, data))
        if to is None:
            self._echoes.append(time.monotonic())
        self.counts.sent += 1
        self.counts.sent_bytes += size

    async def flush(self) -> None:
        """Wait until Redis has what was sent, but not for long."""
        end_s = time.monotonic() + FLUSH_S
        while (link := self._link) is not None and self.is_connected and time.monotonic() < end_s:
            if link.is_settled:
                return
            await asyncio.sleep(0.005)

    # -- messages ---------------------------------------------------------------------------------

    def _make_head(self, to: str | None) -> bytes:
        if len(self._heads) >= MOST_NODES:
            self._heads.clear()
        channel = (self._channel + (to or "all")).encode()
        head = self._heads[to] = b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$" % (len(channel), channel)
        return head

    def _hear(self, payload: bytes) -> None:
        if payload.startswith(self._own):
            # our own words to all, in the order they were said: the way through Redis and back
            if payload.startswith(self._stamp) and self._echoes:
                self.counts.lag.note(time.monotonic() - self._echoes.popleft())
            return
        stamp, end, data = payload.partition(b"\n")
        sender = self._stamps[stamp] if stamp in self._stamps else self._read_stamp(stamp)
        if sender is None or not end or self._receiver is None:
            self.counts.unheard += 1
            return
        self.counts.heard += 1
        self.counts.heard_bytes += len(data)
        try:
            self._receiver.heard(sender, data)
        except Exception:
            # the border to the engine: one message it can't bear must not cut us off from all others
            log.exception("a message of the bus failed", extra={"sender": sender, "size_bytes": len(data)})

    def _read_stamp(self, stamp: bytes) -> str | None:
        """Who it is; None for nobody, or somebody's former connection."""
        found = STAMP.fullmatch(stamp)
        if found is None:
            return None
        if len(self._stamps) >= MOST_NODES:
            self._stamps.clear()
            self._latest.clear()
        node, number = found[1].decode(), int(found[2])
        latest = self._latest.get(node)
        if latest is not None and number < latest:
            self._stamps[stamp] = None
            return None
        if latest is not None:
            self._stamps[b"%b %d" % (found[1], latest)] = None
        self._latest[node] = number
        self._stamps[stamp] = node
        return node

    # -- the connection ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection, for good."""
        is_told: str | None = None
        lost_at_s = time.monotonic()
        while True:
            began_at_s = time.monotonic()
            link, reason = await self._connect()
            if link is not None:
                if is_told is not None:
                    away_s = round(time.monotonic() - lost_at_s, 1)
                    log.warning("Redis is back", extra={"redis": self._address.shown, "away_s": away_s})
                    is_told = None
                try:
                    reason = await link.over
                finally:
                    self._link = None
                    link.abort()
                lost_at_s = time.monotonic()
                self.counts.losses += 1
                if lost_at_s - began_at_s > STEADY_S:
                    self._pause_s = FIRST_PAUSE_S
            self.trouble = explain(reason) if reason is not None else "the connection was closed"
            if is_told != self.trouble:
                is_told = self.trouble
                told = {"redis": self._address.shown, "reason": self.trouble}
                log.warning("Redis is away; rooms go on, other processes see edits later", extra=told)
            await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))
            self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)

    async def _connect(self) -> tuple[Link | None, BaseException | None]:
        """A connection that hears its channels, or why there is none."""
        loop = asyncio.get_running_loop()
        self._connections += 1
        stamp = f"{self.node} {self._connections}\n".encode()
        is_ready: asyncio.Future[None] = loop.create_future()

        def ready() -> None:
            self.counts.joins += 1
            self._stamp = stamp
            self._echoes.clear()
            self._link, self.trouble = link, None
            is_ready.set_result(None)
            if self._receiver is not None:
                self._receiver.rejoined()

        channels = [f"{self._channel}{end}".encode() for end in ("all", self.node)]
        link = Link(self._address, f"kanvas-{self.node}", channels, ready=ready, hear=self._hear)
        host, port = self._address.host, self._address.port
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.create_connection(lambda: link, host, port, ssl=self._tls)
                await asyncio.wait((is_ready, link.over), return_when=asyncio.FIRST_COMPLETED)
        except OSError as error:
            # a loop that was late finds its time up and the answer there in one turn
            if not is_ready.done():
                link.abort()
                return None, error
        except asyncio.CancelledError:
            link.abort()
            raise
        # it may be over again already; the caller finds that out by itself
        return (link, None) if is_ready.done() else (None, link.over.result())


@asynccontextmanager
async def open_redis_bus(
    url: str, prefix: str, node: str, counts: BusCounts | None = None
) -> AsyncIterator[RedisBus]:
    """A bus that connects by itself, now or later; what waits at the end gets a moment to go."""
    bus = RedisBus(read_address(url), prefix, node, counts)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(bus.run())
        try:
            yield bus
        finally:
            await bus.flush()
            running.cancel()
