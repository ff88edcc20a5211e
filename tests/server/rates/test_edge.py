"""The limits as they are met over HTTP."""

import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from server.auth import Tokens
from server.rates.failover import Failover
from server.rates.guard import Rates
from server.rates.memory import MemoryLimiter
from server.redis.client import open_redis
from tests.server.edge import ROOMS, Edge, open_edge

if TYPE_CHECKING:
    from tests.backends.valkey import Valkey

GUEST = "/api/v1/auth/guest"


def tokens(edge: Edge) -> Tokens:
    return edge.services.tokens


async def test_the_eleventh_in_a_minute_is_refused_with_the_time_to_wait(
    tmp_path: Path, empty_database: Path
) -> None:
    """L4: every counted answer says what is left, also an error; the refusal says when."""
    async with open_edge(tmp_path, empty_database, rate_limits="rooms.create=10/60,read=3/60") as edge:
        ada, bob = await edge.guest(), await edge.guest("Bob")
        begin = time.monotonic()
        for left in range(9, -1, -1):
            # what the answer is does not matter
            body = {"title": f"Room {left}"} if left % 2 else {"titel": 1}
            answer = await ada.ask("POST", ROOMS, json=body)
            assert answer.status_code == (201 if left % 2 else 422)
            assert answer.headers["ratelimit"].startswith(f'"rooms.create";r={left};t=6')
            assert answer.headers["ratelimit-policy"] == '"rooms.create";q=10;w=60'
        refused = await ada.ask("POST", ROOMS, json={})
        assert refused.status_code == 429
        wait_s = int(refused.headers["retry-after"])
        assert 60 - (time.monotonic() - begin) < wait_s <= 61
        assert refused.headers["ratelimit"] == f'"rooms.create";r=0;t={wait_s}'
        assert refused.headers["cache-control"] == "no-store"
        problem = refused.json()
        assert (problem["code"], problem["retry_after_s"]) == ("rate_limited", wait_s)
        assert problem["detail"].endswith(f"Try again in {wait_s} s.")
        # each user and each action for itself
        assert (await bob.ask("POST", ROOMS, json={})).status_code == 201
        assert (await ada.ask("GET", "/api/v1/me")).status_code == 200
        assert edge.services.rates.refusals == {"rooms.create": 1}


async def test_a_repeat_that_was_refused_is_done_later_and_once(tmp_path: Path, empty_database: Path) -> None:
    """L4: a refusal is no answer that an Idempotency-Key keeps."""
    async with open_edge(tmp_path, empty_database, rate_limits="rooms.create=2/60") as edge:
        limiter, now_s = edge.services.rates._limiter, 100.0
        assert isinstance(limiter, MemoryLimiter)
        limiter._clock = lambda: now_s
        ada = await edge.guest()
        for _ in range(2):
            await ada.room()
        statuses = []
        while not statuses or statuses[-1] == 429:
            answer = await ada.ask("POST", ROOMS, json={}, headers={"Idempotency-Key": "the-same"})
            statuses.append(answer.status_code)
            now_s += 20
        assert (statuses[0], statuses[-1]) == (429, 201)
        assert len((await ada.ask("GET", f"{ROOMS}?scope=mine")).json()["items"]) == 3


async def test_looking_for_what_is_not_there_is_counted(tmp_path: Path, empty_database: Path) -> None:
    """L2: who guesses room ids meets the limit of whoever reads rooms."""
    async with open_edge(tmp_path, empty_database, rate_limits="read=20/60") as edge:
        ada = await edge.guest()
        statuses = [(await ada.ask("GET", f"{ROOMS}/0{at:025}")).status_code for at in range(21)]
        assert statuses == [404] * 20 + [429]


async def test_signing_in_is_counted_by_address_before_any_token(
    tmp_path: Path, empty_database: Path
) -> None:
    """L3: a right token and a wrong one are the same here."""
    async with open_edge(tmp_path, empty_database, rate_limits="auth=5/60") as edge:
        ada = await edge.guest()
        for token in ("wrong", ada.token, "wrong", "wrong"):
            answer = await edge.http.post(
                "/api/v1/auth/refresh", headers={"Authorization": f"Bearer {token}"}
            )
            edge.http.cookies.clear()
            assert answer.status_code == (200 if token == ada.token else 401)
        for path, more in (("refresh", {}), ("guest", {"json": {"name": "Eve"}})):
            assert (await edge.http.post(f"/api/v1/auth/{path}", **more)).status_code == 429
        # who is in stays in
        assert (await ada.ask("GET", "/api/v1/me")).status_code == 200


async def test_too_many_wrong_tokens_lock_nobody_out_who_has_a_right_one(
    tmp_path: Path, empty_database: Path
) -> None:
    """L10: by address; right ones go on, here and elsewhere."""
    async with open_edge(tmp_path, empty_database, rate_limits="auth.failed=5/60") as edge:
        ada = await edge.guest()
        wrong = {"Authorization": "Bearer x.y.z"}
        begin = time.monotonic()
        statuses = [(await edge.http.get("/api/v1/me", headers=wrong)).status_code for _ in range(8)]
        assert statuses == [401] * 5 + [429] * 3
        answer = await edge.http.get("/api/v1/me", headers=wrong)
        assert 60 - (time.monotonic() - begin) < int(answer.headers["retry-after"]) <= 61
        assert (await ada.ask("GET", "/api/v1/me")).status_code == 200
        elsewhere = {"X-Forwarded-For": "198.51.100.9"}
        assert (await edge.http.get("/api/v1/me", headers=wrong | elsewhere)).status_code == 401


async def test_health_pages_and_signed_addresses_are_not_counted(
    tmp_path: Path, empty_database: Path
) -> None:
    """L2"""
    limits = ",".join(f"{action}=1/60" for action in ("default", "read", "auth", "admin", "assets.read"))
    async with open_edge(tmp_path, empty_database, rate_limits=limits) as edge:
        for path in ("/healthz", "/readyz", "/api/v1/config", "/api/v1/openapi.json", "/", "/no-such-page"):
            for _ in range(3):
                answer = await edge.http.get(path)
                assert answer.status_code != 429
                assert "ratelimit" not in answer.headers
        for _ in range(3):
            assert (await edge.http.get("/blobs/nothing")).status_code in (403, 404, 422)


async def test_a_plan_in_the_token_has_its_own_rates(tmp_path: Path, empty_database: Path) -> None:
    """L3: and it stays through a renewal."""
    settings = {"rate_limits": "read=2/60", "rate_plans": "pro=x2,bot:read=off"}
    async with open_edge(tmp_path, empty_database, **settings) as edge:
        for plan, allowed in (("", 2), ("no such plan", 2), ("pro", 4), ("bot", 6)):
            token = tokens(edge).issue(f"user {plan}", "Ada", plan=plan).token
            renewed = await edge.http.post(
                "/api/v1/auth/refresh", headers={"Authorization": f"Bearer {token}"}
            )
            edge.http.cookies.clear()
            signed = {"Authorization": f"Bearer {renewed.json()['token']}"}
            statuses = [(await edge.http.get("/api/v1/me", headers=signed)).status_code for _ in range(6)]
            assert statuses == [200] * allowed + [429] * (6 - allowed)


async def test_without_redis_nobody_signs_in_and_everything_else_goes_on(
    tmp_path: Path, empty_database: Path
) -> None:
    """L7: 503 with the time to wait for signing in; the rest is counted in this process."""
    async with open_edge(
        tmp_path, empty_database, redis_url="redis://127.0.0.1:1/0", rate_limits="read=2/60"
    ) as edge:
        token = tokens(edge).issue("ada", "Ada").token
        signed = {"Authorization": f"Bearer {token}"}
        statuses = [(await edge.http.get("/api/v1/me", headers=signed)).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert edge.services.rates.is_degraded
        answer = await edge.http.post(GUEST, json={"name": "Eve"})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["code"] == "auth_unavailable"
        wrong = {"Authorization": "Bearer wrong"}
        assert (await edge.http.get("/api/v1/me", headers=wrong)).status_code == 401


@pytest.mark.usefixtures("patient")
async def test_processes_with_one_redis_count_together(
    tmp_path: Path, empty_database: Path, valkey: "Valkey"
) -> None:
    """L1, L3: one user, two processes, one limit; what Redis knows has our names."""
    settings = {
        "redis_url": valkey.url(),
        "redis_prefix": f"{uuid4()}:",
        "rate_limits": "read=10/60",
        "secret": "x" * 32,
    }
    async with (
        open_edge(tmp_path / "a", empty_database, **settings) as one,
        open_edge(tmp_path / "b", empty_database, **settings) as other,
    ):
        token = tokens(one).issue("ada", "Ada").token
        signed = {"Authorization": f"Bearer {token}"}
        statuses = [
            (await (one, other)[at % 2].http.get("/api/v1/me", headers=signed)).status_code
            for at in range(16)
        ]
        signing_in = (await other.http.post(GUEST, json={"name": "Eve"})).status_code
        found = set()
        async with open_redis(valkey.url()) as redis:
            async for name in redis.scan_iter(f"{settings['redis_prefix']}*"):
                found.add(name.decode().removeprefix(settings["redis_prefix"]))
    # where the machine was slow, the nodes have said by now that they are there
    found -= {name for name in found if name.startswith("nodes:")}
    assert statuses == [200] * 10 + [429] * 6
    assert signing_in == 201
    assert found == {"rate_limit:ada:read:60", "rate_limit:@127.0.0.1:auth:60"}


async def test_off_counts_nothing(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, rate_limits="off") as edge:
        answer = await (await edge.guest()).ask("GET", "/api/v1/me")
        assert "ratelimit" not in answer.headers
        limiter = edge.services.rates._limiter
        assert isinstance(limiter, MemoryLimiter | Failover)
        assert isinstance(edge.services.rates, Rates)
        assert isinstance(limiter, MemoryLimiter)
        assert len(limiter) == 0
