"""server.redis.bus: datagrams between nodes over a real Redis, on good days."""

import asyncio
import gc
import time

from server.redis.address import read_address
from server.redis.bus import LARGEST_BYTES, MOST_WAITING_BYTES, RedisBus
from tests.backends.valkey import Valkey
from tests.server.redis.hearing import PREFIX, Listener, open_node, until


async def test_to_one_or_to_all_others_in_order(valkey: Valkey) -> None:
    async with (
        open_node(valkey.url(), "a") as (a, at_a),
        open_node(valkey.url(), "b") as (b, at_b),
        open_node(valkey.url(), "c") as (_, at_c),
    ):
        assert (at_a.joins, at_b.joins, at_c.joins) == (1, 1, 1)
        for number in range(1000):
            a.send(b"%d" % number, "b" if number % 2 else None)
        b.send(b"\n\x00 \r\n", "c")
        a.send(b"to myself", "a")
        a.send(b"to nobody", "d")
        await until(lambda: len(at_b.data) == 1000 and len(at_c.data) == 501)
        assert at_b.heard_from == [("a", b"%d" % number) for number in range(1000)]
        assert [data for sender, data in at_c.heard_from if sender == "a"] == [
            b"%d" % number for number in range(0, 1000, 2)
        ]
        assert ("b", b"\n\x00 \r\n") in at_c.heard_from
        assert at_a.heard_from == []


async def test_who_listens_late_is_told_that_there_is_a_connection(valkey: Valkey) -> None:
    async with open_node(valkey.url(), "a") as (a, _):
        late = Listener()
        a.listen(late)
        assert late.joins == 1


async def test_what_was_sent_last_is_there_when_the_bus_closes(valkey: Valkey) -> None:
    async with open_node(valkey.url(), "b") as (_, at_b):
        async with open_node(valkey.url(), "a") as (a, _):
            a.send(b"left")
        await until(lambda: at_b.data == [b"left"])
        assert valkey.command("PUBSUB", "NUMSUB", f"{PREFIX}bus:0:a") == "*2"


async def test_two_installations_share_a_server(valkey: Valkey) -> None:
    """Each has its prefix, or its database: channels know nothing of databases by themselves."""
    async with (
        open_node(valkey.url(), "a", "one:") as (a, _),
        open_node(valkey.url(), "b", "two:") as (_, at_b),
        open_node(valkey.url(3), "b", "one:") as (_, at_other),
        open_node(valkey.url(), "b", "one:") as (_, at_friend),
    ):
        a.send(b"all")
        a.send(b"you", "b")
        await until(lambda: at_friend.data == [b"all", b"you"])
        assert at_b.data == at_other.data == []


async def test_a_large_message_goes_as_it_is_and_an_enormous_one_not_at_all(valkey: Valkey) -> None:
    async with open_node(valkey.url(), "a") as (a, _), open_node(valkey.url(), "b") as (_, at_b):
        large = bytes(range(256)) * 8 * 1024
        a.send(large)
        a.send(b"x" * (LARGEST_BYTES + 1))
        a.send(b"after")
        await until(lambda: len(at_b.data) == 2)
        assert at_b.data == [large, b"after"]
        assert a.counts.dropped == 1


async def test_a_burst_holds_the_loop_only_for_slices(valkey: Valkey) -> None:
    """40 MB each way, and whoever waits for the loop gets it many times in between."""
    async with open_node(valkey.url(), "a") as (a, _), open_node(valkey.url(), "b") as (_, at_b):
        turns = 0
        longest_s = 0.0
        is_over = False
        # looking through all that other tests have left takes longer than any slice
        gc.disable()

        async def watch() -> None:
            nonlocal turns, longest_s
            while not is_over:
                start = time.thread_time()
                await asyncio.sleep(0)
                turns += 1
                longest_s = max(longest_s, time.thread_time() - start)

        watching = asyncio.create_task(watch())
        data = b"x" * 300
        sent = 0
        try:
            while sent < 40_000:
                a.send(data)
                sent += 1
                if sent % 2000 == 0:
                    await until(lambda: len(at_b.data) == a.counts.sent)
            is_over = True
            await watching
        finally:
            gc.enable()
        assert a.counts.dropped == 0
        assert turns > 200
        # the sends themselves are 2,000 at once here, each about 1 us
        assert longest_s < 0.02


async def test_a_slow_hearer_is_given_a_slice_at_a_time(valkey: Valkey) -> None:
    """What it has not taken stays at Redis: reading pauses."""

    class Slow(Listener):
        def heard(self, sender: str, data: bytes) -> None:
            super().heard(sender, data)
            time.sleep(0.002)

    async with open_node(valkey.url(), "a") as (a, _), open_node(valkey.url(), "b") as (b, _):
        slow = Slow()
        b.listen(slow)
        for number in range(300):
            a.send(b"%d" % number)
        at_once: list[int] = []
        while len(slow.data) < 300:
            before = len(slow.data)
            await asyncio.sleep(0)
            at_once.append(len(slow.data) - before)
        assert max(at_once) <= 2
        assert slow.data == [b"%d" % number for number in range(300)]


async def test_a_hearer_that_fails_hears_the_next(valkey: Valkey) -> None:
    class Failing(Listener):
        def heard(self, sender: str, data: bytes) -> None:
            super().heard(sender, data)
            raise ValueError(data)

    async with open_node(valkey.url(), "a") as (a, _), open_node(valkey.url(), "b") as (b, _):
        failing = Failing()
        b.listen(failing)
        a.send(b"1")
        a.send(b"2")
        await until(lambda: failing.data == [b"1", b"2"])
        assert b.is_connected


async def test_nonsense_in_our_channel_is_counted(valkey: Valkey) -> None:
    async with open_node(valkey.url(), "b") as (b, at_b):
        for payload in ("", "x", "a 1", "\n", "a b\nx", "a-b 1\nx", "a" * 33 + " 1\nx", "a 1\ngood"):
            valkey.command("PUBLISH", f"{PREFIX}bus:0:all", payload)
        await until(lambda: at_b.data == [b"good"])
        assert b.counts.unheard == 7


async def test_a_former_connection_is_not_heard_after_a_later_one(valkey: Valkey) -> None:
    """A Redis that was stopped may still hold what came by a connection that was given up."""
    async with open_node(valkey.url(), "b") as (b, at_b):
        for payload in ("a 1\n1", "a 2\n2", "a 1\nlate", "c 1\nother", "a 2\n3", "a 10\n4", "a 2\nlate"):
            valkey.command("PUBLISH", f"{PREFIX}bus:0:b", payload)
        await until(lambda: len(at_b.data) == 5)
        assert at_b.heard_from == [("a", b"1"), ("a", b"2"), ("c", b"other"), ("a", b"3"), ("a", b"4")]
        assert b.counts.unheard == 2


async def test_without_a_connection_nothing_is_kept() -> None:
    bus = RedisBus(read_address("redis://127.0.0.1:1"), PREFIX, "a")
    for _ in range(100):
        bus.send(b"x" * 1024 * 1024)
    assert not bus.is_connected
    assert bus.counts.dropped == 100
    assert MOST_WAITING_BYTES < 100 * 1024 * 1024
