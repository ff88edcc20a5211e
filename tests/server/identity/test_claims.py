"""What claims mean here."""

from typing import Any

import pytest

from server.identity.claims import AdminClaim, identity_of, name_of, user_id_of
from server.identity.flow import Flows, cookie_name, own_path
from tests.server.identity.keyring import claims

NAMES = ("name", "preferred_username", "nickname")


def test_a_user_id_is_of_issuer_and_subject_alone() -> None:
    """I3: an e-mail address proves nothing; two issuers may know two people by one subject."""
    ids = {
        user_id_of(issuer, subject)
        for issuer in ("https://a.example", "https://b.example", "https://a.exampl")
        for subject in ("1", "ada", "e1", "a" * 255, "ada\0", "é/../", "' OR 1=1", "\U0001f3a8")
    }
    assert len(ids) == 24
    assert all(len(one) == 44 and one.replace("-", "").isalnum() and one.isascii() for one in ids)
    told = identity_of(
        claims(email="ada@example.org", email_verified=True), token_id="t", names=NAMES, admin=None
    )
    other = identity_of(
        claims(sub="eve", email="ada@example.org", email_verified=True), token_id="t", names=NAMES, admin=None
    )
    assert told.user_id != other.user_id


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({"name": "Ada Łovelace"}, "Ada Łovelace"),
        ({"name": "  Ada   L.  "}, "Ada L."),
        ({"name": "", "preferred_username": "ada"}, "ada"),
        ({"name": 7, "nickname": "countess"}, "countess"),
        ({"name": "نگار\u200cخانه"}, "نگار\u200cخانه"),
        ({"name": "a\u202eb\x00c\nd"}, "a b c d"),
        ({"name": "\ud800"}, "Somebody"),
        ({"name": "\u200b"}, "Somebody"),
        ({"name": "x" * 200}, "x" * 64),
        ({"email": "ada@example.org"}, "Somebody"),
        ({}, "Somebody"),
    ],
)
def test_names(told: dict[str, Any], name: str) -> None:
    """I3: an e-mail address is never shown unasked."""
    assert name_of(told, NAMES) == name


@pytest.mark.parametrize(
    ("told", "is_admin"),
    [
        ({"realm_access": {"roles": ["artist", "kanvas-admin"]}}, True),
        ({"realm_access.roles": ["kanvas-admin"]}, True),
        ({"realm_access": {"roles": "kanvas-admin"}}, True),
        ({"realm_access": {"roles": ["kanvas-admins", "Kanvas-Admin"]}}, False),
        ({"realm_access": {"roles": "x kanvas-admin y"}}, False),
        ({"realm_access": {"roles": {"kanvas-admin": True}}}, False),
        ({"realm_access": "roles"}, False),
        ({"realm_access": ["roles"]}, False),
        ({"roles": ["kanvas-admin"]}, False),
        ({"admin": True, "is_admin": True, "role": "admin"}, False),
        ({}, False),
    ],
)
def test_only_the_configured_claim_makes_an_operator(told: dict[str, Any], is_admin: bool) -> None:
    """I4."""
    claim = AdminClaim("realm_access.roles", "kanvas-admin")
    assert claim.is_in(told) is is_admin
    assert identity_of(claims(**told), token_id="t", names=NAMES, admin=None).is_admin is False


def test_a_claim_may_be_true() -> None:
    """I4."""
    assert AdminClaim("https://art.example/admin", "true").is_in({"https://art.example/admin": True})
    assert not AdminClaim("admin", "1").is_in({"admin": 1})
    assert not AdminClaim("admin", "true").is_in({"admin": "yes"})


@pytest.mark.parametrize("path", ["/", "/r/abc", "/r/a?x=1", "/admin", "/r/%2F"])
def test_own_paths_are_kept(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "r/abc",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "https:/evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "/r/a\r\nSet-Cookie: x=y",
        "/r/a#signed-in",
        "/r/é",
        "/api/v1/auth/oidc/start",
        "/./api/v1/auth/oidc/start",
        "/r/../api/v1/auth/oidc/start",
        "/r/%2e%2E/api/v1/auth/oidc/start",
        "/..//evil.example",
        "/r//x",
        "/" + "x" * 600,
    ],
)
def test_nobody_is_sent_on_elsewhere(path: str) -> None:
    """I5."""
    assert own_path(path) == "/"


def test_a_flow_is_opened_by_its_own_cookie_for_ten_minutes() -> None:
    """I5: another state, another key, another time, or a cookie somebody made up, is none."""
    flows, others = Flows(b"a" * 32), Flows(b"b" * 32)
    flow, second = flows.begin("/r/x", 1000), flows.begin("/", 1000)
    sealed = flows.seal(flow)
    assert flows.open(sealed, flow.state, 1600) == flow
    assert flows.open(sealed, flow.state, 1601) is None
    assert flows.open(sealed, flow.state, 900) is None
    assert flows.open(sealed, second.state, 1000) is None
    assert flows.open(flows.seal(second), flow.state, 1000) is None
    assert others.open(sealed, flow.state, 1000) is None
    for wrong in (None, "", ".", "x.y", sealed[:-1], sealed + "x", "é.é", sealed.replace(".", ".A")):
        assert flows.open(wrong, flow.state, 1000) is None
    assert flows.open(sealed, "é" * 43, 1000) is None
    assert len({flows.nonce(flow), flows.verifier(flow), flows.nonce(second), flow.state}) == 4
    assert flows.verifier(flow) not in sealed
    assert 43 <= len(flows.verifier(flow)) <= 128
    assert cookie_name(flow.state, is_https=True) == "__Host-" + cookie_name(flow.state, is_https=False)
