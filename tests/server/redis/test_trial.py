"""`kanvas check` tries Redis for real, and says what to do; the README tells every key."""

import asyncio
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from server.check import Result, try_all
from server.directory import News, NodeStats
from server.redis.address import RedisAway
from server.redis.client import open_redis
from server.redis.directory import RedisDirectory
from server.redis.keys import KEYS
from server.settings import Settings, SettingsError, read_settings
from tests.backends.valkey import Valkey, open_valkey
from tests.conventions.tree import ROOT


async def trial(data_dir: Path, url: str | None) -> Result:
    settings = Settings(data_dir=data_dir, redis_url=SecretStr(url) if url else None)
    return next(one for one in await try_all(settings) if one.part == "Redis")


@pytest.mark.usefixtures("patient")
async def test_it_is_there(valkey: Valkey, tmp_path: Path) -> None:
    valkey.command("FLUSHALL")
    found = await trial(tmp_path, valkey.url())
    assert found.passed
    assert re.fullmatch(
        rf"127\.0\.0\.1:{valkey.port}/0 answers in \d+\.\d ms and carries messages", found.told
    )
    assert valkey.command("DBSIZE") == ":0"


async def test_it_is_not_there(tmp_path: Path) -> None:
    found = await trial(tmp_path, "redis://:hunter2@127.0.0.1:1/5")
    assert not found.passed
    assert found.told == "Redis at 127.0.0.1:1/5 can't be used: it can't be reached (connection refused)."


async def test_it_says_nothing(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = await trial(tmp_path, f"redis://127.0.0.1:{port}")
    assert not found.passed
    assert found.told == f"Redis at 127.0.0.1:{port}/0 can't be used: it does not answer."


@pytest.mark.usefixtures("patient")
async def test_it_is_not_ours(tmp_path: Path) -> None:
    with open_valkey() as server:
        server.command("CONFIG", "SET", "requirepass", "another")
        found = await trial(tmp_path, f"redis://:hunter2@127.0.0.1:{server.port}")
        assert found.told.endswith("can't be used: it refuses the user or password of KANVAS_REDIS_URL.")
        assert "hunter2" not in found.told
        found = await trial(tmp_path, server.url())
        assert found.told.endswith("can't be used: it asks for a password, and KANVAS_REDIS_URL has none.")
        found = await trial(tmp_path, f"redis://:another@127.0.0.1:{server.port}/77")
        assert found.told.endswith("can't be used: it has no database of this number.")
        found = await trial(tmp_path, f"redis://:another@127.0.0.1:{server.port}")
        assert found.passed


async def test_a_user_without_channels_is_told(tmp_path: Path) -> None:
    with open_valkey() as server:
        server.command("ACL", "SETUSER", "kanvas", "on", ">pass", "~*", "resetchannels", "+@all")
        found = await trial(tmp_path, f"redis://kanvas:pass@127.0.0.1:{server.port}")
        assert "can't be used for messages: the user of KANVAS_REDIS_URL may not" in found.told


@pytest.mark.usefixtures("patient")
async def test_why_it_takes_nothing_is_told(tmp_path: Path) -> None:
    """redis-py takes off the word that says it."""
    with open_valkey() as server:
        server.command("CONFIG", "SET", "maxmemory", "1")
        assert (await trial(tmp_path, server.url())).told.endswith("can't be used: its memory is full.")
        server.command("CONFIG", "SET", "maxmemory", "0")
        server.command("ACL", "SETUSER", "bob", "on", ">pass", "~kanvas:*", "&*", "+@all", "-@scripting")
        found = await trial(tmp_path, f"redis://bob:pass@127.0.0.1:{server.port}")
        assert "can't be used: the user of KANVAS_REDIS_URL may not use all commands" in found.told
        server.command("REPLICAOF", "127.0.0.1", "1")
        found = await trial(tmp_path, server.url())
        assert found.told.endswith("can't be used: it is a replica, which takes no changes.")
        server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
        found = await trial(tmp_path, server.url())
        assert found.told.endswith("can't be used: it is a replica that has lost its master.")


async def test_keys_of_another_program_are_told(tmp_path: Path) -> None:
    with open_valkey() as server:
        server.command("SET", "kanvas:nodes:registry", "theirs")
        async with open_redis(server.url()) as redis:
            directory = RedisDirectory(redis, "kanvas:", "one")
            with pytest.raises(RedisAway):
                await directory.publish(News(node=NodeStats("host", 1, 0.0, 0, 0)))
            assert directory.trouble == (
                "another program uses keys that begin with KANVAS_REDIS_PREFIX; choose another"
            )


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "exam ple", "-"])
def test_a_host_that_can_be_none_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="KANVAS_REDIS_URL"):
        read_settings({"KANVAS_REDIS_URL": f"redis://{host}:6379"})
    assert read_settings({"KANVAS_REDIS_URL": "redis://[::1]:6379"}).redis_url
    assert read_settings({"KANVAS_REDIS_URL": "redis://redis_1.kanvas.svc."}).redis_url


async def test_there_need_be_none(tmp_path: Path) -> None:
    assert await trial(tmp_path, None) == Result("Redis", True, "none: this process is alone")


def test_the_table_of_keys_in_the_readme_is_the_one_of_the_program() -> None:
    rows = [
        f"| `{key.name}` | {key.meaning} | {'' if key.seconds is None else key.seconds} |".replace(
            "|  |", "| |"
        )
        for key in KEYS
    ]
    table = "\n".join(["| key | what it is | lives, in seconds |", "|---|---|---|", *rows])
    assert table in (ROOT / "README.md").read_text(encoding="utf-8"), "The README must hold:\n" + table
