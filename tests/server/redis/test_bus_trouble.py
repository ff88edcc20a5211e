"""server.redis.bus: what becomes of it when Redis is killed, stopped, silent, full or not for us."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from server.redis.address import read_address
from server.redis.bus import LARGEST_BYTES, MOST_WAITING_BYTES, RedisBus, open_redis_bus
from server.redis.link import BUFFERED_BYTES
from tests.backends.valkey import Valkey, open_valkey
from tests.server.redis.hearing import PREFIX, Listener, open_node, until

PASSWORD = "correct horse battery staple"
SECRET = PASSWORD.encode()


@pytest.fixture
def own() -> Iterator[Valkey]:
    """A server that a test may stop."""
    with open_valkey() as server:
        yield server


@asynccontextmanager
async def open_pair(server: Valkey) -> AsyncIterator[tuple[RedisBus, Listener, RedisBus, Listener]]:
    async with open_node(server.url(), "a") as (a, at_a), open_node(server.url(), "b") as (b, at_b):
        yield a, at_a, b, at_b


async def check_talk(a: RedisBus, at_b: Listener) -> None:
    """What is said now comes, in order."""
    at_b.heard_from.clear()
    said = [b"%d" % number for number in range(10)]
    for one in said:
        a.send(one)
    await until(lambda: at_b.data == said)


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_a_killed_connection_comes_back_and_says_so(own: Valkey, kind: str) -> None:
    async with open_pair(own) as (a, at_a, _, at_b):
        await check_talk(a, at_b)
        own.command("CLIENT", "KILL", "TYPE", kind)
        if kind == "pubsub":
            await until(lambda: at_a.joins == 2 and at_b.joins == 2)
        await check_talk(a, at_b)


async def test_a_link_that_is_ready_when_its_time_is_up_is_kept(
    own: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that comes back late finds both at once."""
    wait = asyncio.wait

    async def wait_too_long(*given: Any, **named: Any) -> None:
        monkeypatch.setattr(asyncio, "wait", wait)
        await wait(*given, **named)
        raise TimeoutError

    async with open_redis_bus(own.url(), PREFIX, "a") as bus:
        monkeypatch.setattr(asyncio, "wait", wait_too_long)
        listener = Listener()
        bus.listen(listener)
        await until(lambda: bus.counts.joins == 1)
        await asyncio.sleep(0)
        assert bus.is_connected
        own.command("CLIENT", "KILL", "TYPE", "pubsub")
        # what was lost is the link that was there
        await until(lambda: listener.joins == 2 and bus.is_connected)
        assert (bus.counts.joins, bus.counts.losses) == (2, 1)


async def test_flushing_everything_costs_nothing(own: Valkey) -> None:
    async with open_pair(own) as (a, at_a, _, at_b):
        own.command("FLUSHALL")
        own.command("SCRIPT", "FLUSH")
        await check_talk(a, at_b)
        assert at_a.joins == at_b.joins == 1


async def test_a_restart_is_survived_and_told_once(own: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kanvas.bus")
    async with open_pair(own) as (a, at_a, b, at_b):
        own.stop()
        await until(lambda: not a.is_connected and not b.is_connected)
        a.send(b"to nobody")
        assert a.counts.dropped == 1
        await until(lambda: a.trouble == "it can't be reached (connection refused)")
        await asyncio.sleep(0.3)
        own.start()
        await until(lambda: at_a.joins == 2 and at_b.joins == 2)
        await check_talk(a, at_b)
        assert b"to nobody" not in at_b.data
    told = [record.getMessage() for record in caplog.records]
    # two nodes: the loss, perhaps another reason, and the return
    assert len(told) <= 6
    assert sum(one == "Redis is back" for one in told) == 2


async def test_a_stopped_redis_is_given_up_and_found_again(own: Valkey) -> None:
    """SIGSTOP: connections open and nothing answers."""
    async with open_pair(own) as (a, at_a, b, at_b):
        os.kill(own.pid, signal.SIGSTOP)
        try:
            a.send(b"on its way")
            await until(lambda: not a.is_connected and not b.is_connected)
            await until(lambda: a.trouble == "it does not answer")
            await asyncio.sleep(0.5)
        finally:
            os.kill(own.pid, signal.SIGCONT)
        await until(lambda: at_a.joins == 2 and at_b.joins == 2)
        await check_talk(a, at_b)


async def test_memory_is_bounded_when_redis_stops_reading(own: Valkey) -> None:
    async with open_pair(own) as (a, _, _, _):
        os.kill(own.pid, signal.SIGSTOP)
        try:
            link = a._link
            assert link is not None
            most = 0
            for _ in range(200):
                for _ in range(20):
                    a.send(b"x" * 10_000)
                await asyncio.sleep(0)
                assert link._transport is not None
                buffered = link._transport.get_write_buffer_size()
                most = max(most, link.waiting_bytes + buffered)
            assert a.counts.dropped > 0
            assert most <= MOST_WAITING_BYTES + 2 * BUFFERED_BYTES
            # and all of it goes with the connection
            link.abort()
            await until(lambda: not a.is_connected)
            assert link.waiting_bytes == 0
            assert LARGEST_BYTES < MOST_WAITING_BYTES
        finally:
            os.kill(own.pid, signal.SIGCONT)


async def test_who_does_not_read_is_cut_off_by_redis_and_comes_back() -> None:
    """Redis ends a subscriber whose output buffer is full; here it is full early."""
    with open_valkey(client_output_buffer_limit="pubsub 1mb 1mb 1") as server:

        class Busy(Listener):
            def heard(self, sender: str, data: bytes) -> None:
                super().heard(sender, data)
                time.sleep(0.0005)

        async with open_node(server.url(), "a") as (a, _), open_node(server.url(), "b") as (b, _):
            busy = Busy()
            b.listen(busy)
            for _ in range(3000):
                a.send(b"x" * 5000)
            # as often as what is left is too much for it
            await until(lambda: busy.joins >= 2 and b.is_connected and settled(a))
            assert b.counts.losses >= 1
            a.send(b"over")
            await until(lambda: busy.data[-1] == b"over")
            await check_talk(a, busy)


def settled(bus: RedisBus) -> bool:
    """Whether Redis has all that was sent."""
    return bus._link is not None and bus._link.is_settled


@asynccontextmanager
async def open_mute(greeting: bytes = b"") -> AsyncIterator[int]:
    """A server that takes everything and answers only with this."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(100)
            writer.write(greeting)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"", "it does not answer"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it answered with an error (Protocol)"),
        (
            b"-ERR unknown command 'HELLO', with args: '3' 'AUTH' 'x' '%b'\r\n" % PASSWORD.encode(),
            "it is older than Redis 6",
        ),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "it is still starting"),
        (b"-ERR %b\r\n" % SECRET, "it answered with an error (ERR)"),
    ],
)
async def test_what_is_no_redis_for_us_is_told_in_words(
    greeting: bytes, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_mute(greeting) as port:
        url = f"redis://:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}"
        async with open_redis_bus(url, PREFIX, "a") as bus:
            await until(lambda: bus.trouble == words)
            assert not bus.is_connected
    check_no_secret(caplog)


async def test_a_wrong_password_is_told_in_words_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with open_valkey() as server:
        server.command("CONFIG", "SET", "requirepass", "another")
        for given, words in (
            (f":{PASSWORD.replace(' ', '%20')}@", "it refuses the user or password of KANVAS_REDIS_URL"),
            ("", "it asks for a password, and KANVAS_REDIS_URL has none"),
        ):
            url = f"redis://{given}127.0.0.1:{server.port}"
            async with open_redis_bus(url, PREFIX, "a") as bus:
                await until(lambda bus=bus, words=words: bus.trouble == words)
        check_no_secret(caplog)
        assert PASSWORD not in repr(read_address(f"redis://:{PASSWORD}@h"))
        async with open_node(f"redis://:another@127.0.0.1:{server.port}", "a") as (bus, _):
            assert bus.trouble is None


async def test_a_user_with_rights_to_our_prefix_alone_will_do(own: Valkey) -> None:
    """As the README tells the operator; and one who may not is told so."""
    own.command("ACL", "SETUSER", "kanvas", "on", ">pass", "~one:*", "&one:*", "+@all", "-@dangerous")
    url = f"redis://kanvas:pass@127.0.0.1:{own.port}"
    async with open_node(url, "a", "one:") as (a, _), open_node(url, "b", "one:") as (_, at_b):
        await check_talk(a, at_b)
    async with open_redis_bus(url, "two:", "a") as bus:
        await until(lambda: (bus.trouble or "").startswith("the user of KANVAS_REDIS_URL may not"))


async def test_nothing_listens_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "kanvas.bus")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with open_redis_bus(f"redis://127.0.0.1:{taken.getsockname()[1]}", PREFIX, "a") as bus:
            await until(lambda: bus._connections > 1)
    assert len(caplog.records) == 1


def check_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    assert caplog.records
    for record in caplog.records:
        assert "horse" not in f"{record.getMessage()} {record.__dict__}"
