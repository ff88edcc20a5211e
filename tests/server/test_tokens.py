"""Tokens: what counts, and everything that does not."""

import base64
import json
from typing import Any

import jwt
import pytest

from party.errors import Unauthenticated
from server.auth import AUDIENCE, ISSUER, REFRESHABLE_S, Tokens

SECRET = b"s" * 32
NOW = 1_800_000_000.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> Tokens:
    return Tokens(SECRET, ttl_s=600, clock=clock)


def claims(**changed: Any) -> dict[str, Any]:
    whole = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u1",
        "name": "Ada",
        "iat": int(NOW),
        "exp": int(NOW) + 600,
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


async def refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthenticated):
        await tokens.verify(token)
    with pytest.raises(Unauthenticated):
        await tokens.verify_for_refresh(token)


async def test_what_is_issued_is_taken(tokens: Tokens) -> None:
    identity = await tokens.verify(tokens.issue("u1", "Ada Łovelace 🎨").token)
    assert (identity.user_id, identity.name, identity.is_guest) == ("u1", "Ada Łovelace 🎨", False)
    assert (identity.expires_at - identity.issued_at).total_seconds() == 600


async def test_it_is_not_newer_than_its_moment(tokens: Tokens, clock: Clock) -> None:
    """I7: whoever is signed out everywhere at once after signing in is signed out."""
    for clock.now in (NOW + 0.0006, NOW + 0.0019999, NOW + 0.29):
        identity = await tokens.verify(tokens.issue("u1", "Ada").token)
        assert clock.now - 0.0011 < identity.signed_in_at.timestamp() <= clock.now


async def test_it_ends(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue("u1", "Ada").token
    clock.now += 604
    assert (await tokens.verify(token)).user_id == "u1"
    clock.now += 2
    await refused(tokens, token)


async def test_an_expired_guest_can_be_renewed_for_ninety_days(tokens: Tokens, clock: Clock) -> None:
    token = tokens.issue("u1", "Ada", is_guest=True).token
    clock.now += REFRESHABLE_S - 1
    with pytest.raises(Unauthenticated, match="refresh"):
        await tokens.verify(token)
    assert (await tokens.verify_for_refresh(token)).user_id == "u1"
    clock.now += 2
    with pytest.raises(Unauthenticated, match="too old"):
        await tokens.verify_for_refresh(token)


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "name", "iat", "exp"])
async def test_every_claim_is_required(tokens: Tokens, missing: str) -> None:
    await refused(tokens, jwt.encode(claims(**{missing: None}), SECRET, "HS256"))


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "elsewhere"},
        {"aud": "elsewhere"},
        {"sub": 7},
        {"sub": ""},
        {"name": 7},
        {"name": ""},
        {"exp": "soon"},
        {"exp": 10**30},
        {"exp": 1e308},
        {"iat": -(10**20)},
        {"iat": int(NOW) + 3600},
        {"iat": [1]},
    ],
)
async def test_wrong_claims_are_refused(tokens: Tokens, changed: dict[str, Any]) -> None:
    payload = base64.urlsafe_b64encode(json.dumps(claims() | changed).encode()).rstrip(b"=")
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        head + b"." + payload, SECRET
    )
    whole = head + b"." + payload + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")
    await refused(tokens, whole.decode())


async def test_other_algorithms_and_secrets_are_refused(tokens: Tokens) -> None:
    await refused(tokens, jwt.encode(claims(), SECRET * 2, "HS512"))
    await refused(tokens, jwt.encode(claims(), None, "none"))
    await refused(tokens, jwt.encode(claims(), b"t" * 32, "HS256"))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "é.é.é",
        "\ud800",
        "x" * 5000,
        base64.urlsafe_b64encode(b"[" * 2900).decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":["HS256"]}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b"\xff\xfe").decode() + ".e30.e30",
    ],
)
async def test_nonsense_is_refused(tokens: Tokens, token: str) -> None:
    await refused(tokens, token)


async def test_an_operator_stays_one_until_his_token_ends(tokens: Tokens, clock: Clock) -> None:
    """I9: a renewal has the same powers, however often it is renewed, and no more time."""
    first = tokens.issue("op", "Operator", is_admin=True, ttl_s=1000)
    renewed = first
    for _ in range(3):
        clock.now += 300
        renewed = tokens.reissue(await tokens.verify(renewed.token), "Operator")
        assert (await tokens.verify(renewed.token)).is_admin
        assert renewed.expires_at <= first.expires_at
    clock.now += 110
    await refused(tokens, renewed.token)
    # nobody becomes one by it
    plain = tokens.reissue(await tokens.verify(tokens.issue("u1", "Ada").token), "Ada")
    assert not (await tokens.verify(plain.token)).is_admin
