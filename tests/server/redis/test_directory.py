"""server.directory and server.redis.directory: one contract, then what only several nodes can show."""

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from server.directory import Directory, MemoryDirectory, News, PersonHere
from server.rates.actions import ACTIONS
from server.rates.base import Rate
from server.rates.failover import Failover
from server.rates.memory import MemoryLimiter
from server.rates.redis import RedisLimiter
from server.redis import directory as redis_directory
from server.redis import metadata
from server.redis.address import RedisAway
from server.redis.client import open_redis
from server.redis.directory import Patience, RedisDirectory
from server.redis.keys import KEYS
from server.redis.metadata import AssetCache
from tests.backends.valkey import Valkey, open_valkey
from tests.server.redis.directory_contract import ADA, BEN, CLEO, NODE, DirectoryContract, room
from tests.server.redis.rows import an_asset

PREFIX = "dir-test:"
pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def node() -> str:
    return "node1"


@pytest.fixture
async def client(valkey: Valkey) -> AsyncIterator[Redis]:
    valkey.command("FLUSHALL")
    async with open_redis(valkey.url()) as opened:
        yield opened


class TestMemory(DirectoryContract):
    @pytest.fixture
    def directory(self, node: str) -> Directory:
        return MemoryDirectory(node)


class TestRedis(DirectoryContract):
    @pytest.fixture
    def directory(self, client: Redis, node: str, monkeypatch: pytest.MonkeyPatch) -> Directory:
        no_waiting(monkeypatch)
        return RedisDirectory(client, PREFIX, node)


def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for a second is asked for each time."""
    monkeypatch.setattr(redis_directory, "ACTIVE_KEPT_S", -1.0)
    monkeypatch.setattr(redis_directory, "NODES_KEPT_S", -1.0)


async def test_two_nodes_make_one_directory(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    no_waiting(monkeypatch)
    one, two = (RedisDirectory(client, PREFIX, name) for name in ("n1", "n2"))
    await one.publish(News(NODE, {"r": room(ADA, BEN), "s": room(ADA)}, whereabouts={"ada": "r"}))
    await two.publish(News(NODE, {"r": room(BEN, CLEO)}))
    assert {person.id for person in (await one.people(["r"]))["r"]} == {"ada", "ben", "cleo"}
    assert set((await one.people(["r"], others_only=True))["r"]) == {BEN, CLEO}
    assert await two.active(5) == [("r", 3), ("s", 1)]
    assert set(await one.nodes()) == {"n1", "n2"}
    assert set((await one.room_stats(["r"]))["r"]) == {"n1", "n2"}
    # who went on to the other node is there, whatever the first one says of it later
    await two.publish(News(NODE, whereabouts={"ada": "s"}))
    await one.publish(News(NODE, whereabouts={"ada": None}))
    where = await one.whereabouts("ada")
    assert where is not None
    assert where.room_id == "s"


async def test_two_nodes_that_show_a_version_differently_are_found(client: Redis) -> None:
    one, two = (RedisDirectory(client, PREFIX, name) for name in ("n1", "n2"))
    assert await one.publish(News(NODE, {"r": room(ADA, digest="x"), "s": room(ADA)})) == []
    assert await two.publish(News(NODE, {"r": room(BEN, digest="y"), "s": room(BEN)})) == ["r"]
    assert await two.publish(News(NODE, {"r": room(BEN, version="1-2", digest="z")})) == []


async def test_a_killed_node_counts_no_more_and_is_cleaned_up_after(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    one, two = (RedisDirectory(client, PREFIX, name) for name in ("n1", "n2"))
    for each, person in ((one, ADA), (two, BEN)):
        await each.publish(News(NODE, {"r": room(person)}, whereabouts={person.id: "r"}))
    await two.publish(News(NODE))
    # its heartbeat expired
    await client.delete(f"{PREFIX}nodes:n1")
    assert await two.people(["r"]) == {"r": (BEN,)}
    assert await two.active(5) == [("r", 1)]
    assert set((await two.room_stats(["r"]))["r"]) == {"n2"}
    where = await two.whereabouts("ada")
    assert where is not None
    assert where.room_id is None
    await two.publish(News(NODE, {"r": room(BEN)}))
    assert await client.hkeys(f"{PREFIX}rooms:r:stats") == [b"n2"]


async def test_every_key_is_in_the_table_and_expires(client: Redis) -> None:
    directory = RedisDirectory(client, PREFIX, "n1")
    await directory.publish(News(NODE, {"r": room(ADA, BEN)}, whereabouts={"ada": "r"}))
    await AssetCache(client, PREFIX, Patience()).keep(an_asset())
    rates = [action.rate for action in ACTIONS.values() if action.rate is not None]
    longest = max(rates, key=lambda rate: rate.window_s)
    await RedisLimiter(client, PREFIX).take("ada:join", longest)
    patterns = {
        re.compile(re.escape(PREFIX) + re.sub(r"\\\{\w+\\\}", "[^:]+", re.escape(key.name))): key
        for key in KEYS
        if key.seconds is not None
    }
    met = set()
    for name in await client.keys("*"):
        # the plain names before those with a part that could be anything
        key = min(
            (key for pattern, key in patterns.items() if pattern.fullmatch(name.decode())),
            key=lambda key: key.name.count("{"),
        )
        met.add(key.name)
        assert key.seconds is not None
        assert 0 < await client.ttl(name) <= key.seconds
        if key.name.startswith("rate_limit:"):
            # not a number that merely is large enough
            assert await client.ttl(name) > key.seconds - 60
    assert met == {key.name for key in KEYS if key.seconds is not None}


async def test_two_prefixes_do_not_meet(client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    no_waiting(monkeypatch)
    one, two = RedisDirectory(client, "one:", "n"), RedisDirectory(client, "two:", "n")
    await one.publish(News(NODE, {"r": room(ADA)}, whereabouts={"ada": "r"}))
    assert await two.people(["r"]) == {}
    assert await two.nodes() == {}
    assert await two.whereabouts("ada") is None
    assert all(name.startswith(b"one:") for name in await client.keys("*"))


async def test_everything_flushed_is_told_again(client: Redis) -> None:
    directory = RedisDirectory(client, PREFIX, "n1")
    await directory.publish(News(NODE, {"r": room(ADA)}))
    await client.flushall()
    assert await directory.people(["r"]) == {}
    await directory.publish(News(NODE, {"r": room(ADA)}))
    assert await directory.people(["r"]) == {"r": (ADA,)}


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
async def test_killed_connections_cost_one_answer_at_most(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_directory, "REST_S", 0.0)
    with open_valkey() as server:
        async with open_redis(server.url()) as client:
            directory = RedisDirectory(client, PREFIX, "n1")
            await directory.publish(News(NODE, {"r": room(ADA)}))
            server.command("CLIENT", "KILL", "TYPE", kind)
            with contextlib.suppress(RedisAway):
                await directory.nodes()
            await directory.publish(News(NODE, {"r": room(BEN, left=(ADA,))}))
            assert await directory.people(["r"]) == {"r": (BEN,)}


@pytest.mark.parametrize(
    "value", [b"", b"x", b"[]", b"{}", b"[1,2,3]", b'[null,"x",1]', b"\xff", b'{"pid":1}']
)
async def test_what_another_version_wrote_is_as_if_it_were_not_there(
    client: Redis, value: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_waiting(monkeypatch)
    directory = RedisDirectory(client, PREFIX, "n1")
    await directory.publish(News(NODE, {"r": room(ADA)}))
    await client.zadd(f"{PREFIX}rooms:r:participants", {value: time.time() + 60})
    await client.hset(f"{PREFIX}rooms:r:stats", "n1", value)
    await client.set(f"{PREFIX}presence:eve", value)
    await client.zadd(f"{PREFIX}nodes:registry", {"n9": time.time() + 60})
    await client.set(f"{PREFIX}nodes:n9", value)
    assert await directory.people(["r"]) == {"r": (ADA,)}
    assert await directory.room_stats(["r"]) == {}
    assert await directory.whereabouts("eve") is None
    assert set(await directory.nodes()) == {"n1"}
    # and a key of another kind fails as if Redis were away, for a moment
    await client.set(f"{PREFIX}rooms:s:participants", value)
    with pytest.raises(RedisAway):
        await directory.people(["s"])


async def test_a_redis_that_hangs_costs_one_deadline(
    patient: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_valkey() as server:
        async with open_redis(server.url()) as client:
            directory = RedisDirectory(client, PREFIX, "n1")
            await directory.publish(News(NODE, {"r": room(ADA)}))
            cache = AssetCache(client, PREFIX, directory._patience)
            os.kill(server.pid, signal.SIGSTOP)
            patient()
            try:
                start = time.monotonic()
                # a loop that was late itself blames nobody, and asks once more
                while directory.trouble is None:
                    with pytest.raises(RedisAway):
                        await directory.whereabouts("ada")
                assert time.monotonic() - start < 30
                assert directory.trouble == "it does not answer"
                start = time.monotonic()
                for _ in range(100):
                    with pytest.raises(RedisAway):
                        await directory.people(["r"])
                    assert await cache.find("x") is None
                    await cache.keep(an_asset())
                # 300 deadlines would be 150 s
                assert time.monotonic() - start < 50
            finally:
                os.kill(server.pid, signal.SIGCONT)
            await asyncio.sleep(redis_directory.REST_S)
            monkeypatch.setattr(redis_directory, "DEADLINE_S", 60.0)
            monkeypatch.setattr(redis_directory, "TELLING_S", 60.0)
            await directory.publish(News(NODE, {"r": room(ADA)}))
            assert directory.trouble is None


async def test_a_cancelled_task_ends(client: Redis) -> None:
    """The library now and then takes a cancellation for its own and goes on."""
    directory = RedisDirectory(client, PREFIX, "n1")
    news = News(NODE, {f"r{number}": room(ADA) for number in range(12)}, whereabouts={"ada": "r1"})
    chance = random.Random(5)
    for _ in range(300):
        telling = asyncio.create_task(directory.publish(news))
        await asyncio.sleep(chance.uniform(0, 0.004))
        if telling.cancel():
            with contextlib.suppress(asyncio.CancelledError):
                await telling
            assert telling.cancelled()


async def test_a_crowd_is_told_in_slices(client: Redis) -> None:
    """1,000 people in one room."""
    crowd = [PersonHere(f"user{number:04}", f"User {number}") for number in range(1000)]
    directory = RedisDirectory(client, PREFIX, "n1")
    await directory.publish(News(NODE, {"r": room(*crowd)}))
    assert sorted((await directory.people(["r"]))["r"]) == crowd


async def test_the_cache_of_assets(client: Redis) -> None:
    cache = AssetCache(client, PREFIX, Patience())
    asset = an_asset()
    assert await cache.find(asset.id) is None
    await cache.keep(asset)
    assert await cache.find(asset.id) == asset
    assert (cache.hits, cache.misses) == (1, 1)
    await cache.forget(asset.id)
    assert await cache.find(asset.id) is None
    # somebody read the row before it was removed, and is slow
    await cache.keep(asset)
    assert await cache.find(asset.id) is None
    await client.set(f"{PREFIX}assets:{asset.id}:meta", b'{"id": 1}')
    assert await cache.find(asset.id) is None


async def test_a_storm_of_questions_is_no_redis_that_is_away(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A room of many pictures opens: who finds no turn goes to the database, nobody else is told no."""
    monkeypatch.setattr(metadata, "DEADLINE_S", 0.1)
    patience = Patience()
    cache, directory = AssetCache(client, PREFIX, patience), RedisDirectory(client, PREFIX, "n1", patience)
    limiter = Failover(RedisLimiter(client, PREFIX), MemoryLimiter())
    storm = asyncio.gather(*(cache.find(f"a{number}") for number in range(1000)))
    verdicts = await asyncio.gather(
        *(limiter.take_strictly("ada:auth", Rate(100, 60)) for _ in range(20)), directory.publish(News(NODE))
    )
    assert all(verdicts[:20])
    await storm
    assert (patience.trouble, limiter.is_away) == (None, False)
    assert (await client.info("clients"))["connected_clients"] < 80


async def test_a_loop_that_was_late_is_no_redis_that_is_away(client: Redis) -> None:
    patience = Patience()

    async def ask_late() -> None:
        async with patience.asking("test", 0.5):
            time.sleep(1.1)
            await asyncio.sleep(0.1)

    with pytest.raises(RedisAway):
        await ask_late()
    async with patience.asking("test"):
        assert await client.ping()
