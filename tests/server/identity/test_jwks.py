"""The cache of a provider's keys, against a real server that is slow, rotates, fails and lies."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from party.errors import Unavailable
from server.identity.fetching import FetchError, ask, fetch
from server.identity.jwks import FAILED_S, FRESH_S, STALE_S, UNKNOWN_S, KeyCache
from server.identity.keys import BadKeysError, parse_keys
from tests.server.identity.idp import Idp, open_idp
from tests.server.identity.keyring import jwks, pair

OLD, NEW = pair("old", "ES256"), pair("new", "ES256")


class Clock:
    """Set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def idp() -> Iterator[Idp]:
    with open_idp() as idp:
        idp.answers["/jwks"] = jwks(OLD)
        yield idp


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cache_of(idp: Idp, clock: Clock, deadline_s: float = 60.0) -> KeyCache:
    return KeyCache(lambda: fetch(f"{idp.url}/jwks", deadline_s=deadline_s), clock=clock)


async def settled(cache: KeyCache, fetches: int) -> None:
    """Wait until so many fetches have ended."""
    async with asyncio.timeout(120):
        while cache.fetches < fetches or cache._flight is not None:
            await asyncio.sleep(0.005)


async def test_a_hundred_who_ask_at_once_fetch_once(idp: Idp, clock: Clock) -> None:
    """I2: and one who gives up takes nobody along."""
    idp.modes["/jwks"] = "slow"
    cache = cache_of(idp, clock)
    asking = [asyncio.create_task(cache.find("old", "ES256")) for _ in range(100)]
    async with asyncio.timeout(60):
        while not idp.asked["/jwks"]:
            await asyncio.sleep(0.005)
    asking[0].cancel()
    idp.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(one is not None for one in found)
    assert idp.asked["/jwks"] == 1


async def test_old_keys_count_while_new_ones_are_fetched(idp: Idp, clock: Clock) -> None:
    """I2: nobody waits for the provider but the first."""
    cache = cache_of(idp, clock)
    assert await cache.find("old", "ES256")
    idp.answers["/jwks"] = jwks(NEW)
    idp.modes["/jwks"] = "slow"
    clock.now += FRESH_S + 1
    assert await asyncio.wait_for(cache.find("old", "ES256"), 30)
    idp.gate.set()
    await settled(cache, 2)
    assert await cache.find("old", "ES256") is None
    assert await cache.find("new", "ES256")


async def test_an_unknown_key_is_looked_for_but_not_each_time(idp: Idp, clock: Clock) -> None:
    """I2: made-up key ids do not have us knock at the provider's door for each."""
    cache = cache_of(idp, clock)
    assert await cache.find("old", "ES256")
    for number in range(50):
        assert await cache.find(f"made up {number}", "ES256") is None
    assert idp.asked["/jwks"] == 1
    idp.answers["/jwks"] = jwks(OLD, NEW)
    clock.now += UNKNOWN_S
    assert await cache.find("new", "ES256")
    assert idp.asked["/jwks"] == 2


async def test_known_keys_go_on_working_without_the_provider(idp: Idp, clock: Clock) -> None:
    """I2: for a day."""
    cache = cache_of(idp, clock)
    assert await cache.find("old", "ES256")
    idp.modes["/jwks"] = "503"
    for hour in range(1, 24):
        clock.now += 3600
        assert await cache.find("old", "ES256")
        await settled(cache, 1 + hour)
    clock.now += STALE_S
    with pytest.raises(Unavailable, match="identity provider"):
        await cache.find("old", "ES256")
    idp.modes.clear()
    clock.now += FAILED_S
    assert await cache.find("old", "ES256")


async def test_a_provider_that_was_never_there_is_not_hammered(idp: Idp, clock: Clock) -> None:
    idp.modes["/jwks"] = "500"
    cache = cache_of(idp, clock)
    for _ in range(20):
        with pytest.raises(Unavailable):
            await cache.find("old", "ES256")
    assert idp.asked["/jwks"] == 1


@pytest.mark.parametrize("mode", ["huge", "redirect", "bomb", "dribble", "slow", "404", "500", "201"])
async def test_an_answer_beyond_the_limits_is_none(idp: Idp, mode: str) -> None:
    """I2: by size, time, place and form; nothing is inflated, no redirect is followed."""
    idp.answers["/elsewhere"] = jwks(OLD)
    idp.modes["/jwks"] = mode
    with pytest.raises(FetchError):
        await fetch(f"{idp.url}/jwks", deadline_s=0.3 if mode in ("slow", "dribble") else 60.0)
    assert idp.asked["/elsewhere"] == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.org/jwks",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "https://",
        "https://a:b@c/",
        "",
    ],
)
async def test_only_https_or_this_machine_is_asked(url: str) -> None:
    with pytest.raises(FetchError):
        await ask("GET", url)


async def test_nobody_there_is_told_in_words() -> None:
    with pytest.raises(FetchError, match=r"\w"):
        await fetch("http://127.0.0.1:9/jwks")


async def test_a_wrong_answer_leaves_the_keys_that_are_known(idp: Idp, clock: Clock) -> None:
    cache = cache_of(idp, clock)
    assert await cache.find("old", "ES256")
    for number, wrong in enumerate([b"<html>", {}, {"keys": []}, {"keys": [{"kty": "oct"}]}, []], 2):
        idp.answers["/jwks"] = wrong
        clock.now += FRESH_S + 1
        assert await cache.find("old", "ES256")
        await settled(cache, number)
    await cache.aclose()


def changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in (OLD.jwk | fields).items() if value is not None}


@pytest.mark.parametrize(
    "jwk",
    [
        changed(use="enc"),
        changed(alg="ES384"),
        changed(crv="P-384"),
        changed(crv=["P-256"]),
        changed(kty=None),
        changed(x=None),
        changed(x=7),
        changed(y="AAAA"),
        changed(x="A" * 43, y="A" * 43),
        changed(key_ops=["sign"]),
        changed(key_ops="verify"),
        changed(d="AAAA"),
        {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "small"},
        pair("weak", "RS256", 1024).jwk,
        "a text",
        None,
    ],
)
def test_what_is_no_key_of_ours_is_passed_over(jwk: Any) -> None:
    """I1: one algorithm for each key, by its type; and a wrong key spoils no other."""
    with pytest.raises(BadKeysError):
        parse_keys(json.dumps({"keys": [jwk]}).encode())
    assert len(parse_keys(json.dumps({"keys": [jwk, NEW.jwk]}).encode())) == 1


def test_many_keys_are_too_many() -> None:
    with pytest.raises(BadKeysError):
        parse_keys(json.dumps({"keys": [OLD.jwk] * 65}).encode())


def test_of_two_keys_with_one_id_the_first_counts() -> None:
    both = parse_keys(json.dumps({"keys": [OLD.jwk, NEW.jwk | {"kid": "old"}]}).encode())
    first = both.find("old", "ES256")
    assert first is not None
    assert first.material.public_numbers() == OLD.private.public_key().public_numbers()
