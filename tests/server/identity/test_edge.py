"""Tokens of a provider at the REST edge: users appear, sessions end, operators are told by their claim."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from db.scopes import as_system
from db.users import find_user
from server.auth import COOKIE
from server.identity.claims import user_id_of
from server.settings import SettingsError, effective_rows, read_settings
from tests.server.audit.log import stored
from tests.server.edge import HOST, Edge, Person, open_edge
from tests.server.identity.idp import Idp, open_idp
from tests.server.identity.keyring import AUDIENCE, ISSUER, claims, jwks, pair, token

EC = pair("ec", "ES256")
ME = "/api/v1/me"
REFRESH = "/api/v1/auth/refresh"


@pytest.fixture
def idp() -> Iterator[Idp]:
    with open_idp() as idp:
        idp.answers["/jwks"] = jwks(EC)
        yield idp


@asynccontextmanager
async def outside(tmp_path: Path, empty_database: Path, idp: Idp, **more: Any) -> AsyncIterator[Edge]:
    told = {"jwt_jwks_url": f"{idp.url}/jwks", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}
    async with open_edge(tmp_path, empty_database, **told, **more) as edge:
        yield edge


def person(edge: Edge, **changed: Any) -> Person:
    told = claims(**changed)
    return Person(edge.http, token(told, EC), user_id_of(ISSUER, told["sub"]))


async def test_users_appear_from_claims(tmp_path: Path, empty_database: Path, idp: Idp) -> None:
    """I3: and make rooms like anybody; guests go on beside them."""
    async with outside(tmp_path, empty_database, idp) as edge:
        ada = person(edge)
        me = await ada.ask("GET", ME)
        told = {"email": None, "is_guest": False, "is_admin": False, "aliases": []}
        assert me.json() == {"id": ada.user_id, "name": "Ada"} | told
        known = await as_system(edge.services.database).read(lambda conn: find_user(conn, ada.user_id))
        assert known is not None
        room = await ada.room(title="Ours")
        assert room["creator"] == {"id": ada.user_id, "name": "Ada"}
        guest = await edge.guest("Grace")
        assert (await guest.ask("GET", f"/api/v1/rooms/{room['id']}")).status_code == 200
        assert idp.asked["/jwks"] == 1


async def test_without_the_provider_only_our_own_count(
    tmp_path: Path, empty_database: Path, idp: Idp
) -> None:
    """I2: who was never seen is asked to come later, guests go on."""
    idp.modes["/jwks"] = "503"
    async with outside(tmp_path, empty_database, idp) as edge:
        answer = await person(edge).ask("GET", ME)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "identity provider" in answer.json()["detail"]
        assert (await (await edge.guest()).ask("GET", ME)).status_code == 200
    async with open_edge(tmp_path, empty_database) as edge:
        assert (await person(edge).ask("GET", ME)).status_code == 401


async def test_it_is_exchanged_for_one_that_ends_with_it(
    tmp_path: Path, empty_database: Path, idp: Idp
) -> None:
    """I9: for pages, whose images need the cookie. No renewal outlives what the provider said."""
    async with outside(tmp_path, empty_database, idp) as edge:
        end = int(time.time()) + 300
        ada = person(edge, exp=end, plan="studio")
        first = await ada.ask("POST", REFRESH)
        assert first.json()["user"]["id"] == ada.user_id
        assert COOKIE in first.headers["set-cookie"]
        told = Person(edge.http, first.json()["token"], ada.user_id)
        second = await told.ask("POST", REFRESH)
        assert second.json()["token"] != first.json()["token"]
        renewed = await edge.services.tokens.verify(second.json()["token"])
        assert int(renewed.expires_at.timestamp()) == end
        assert renewed.plan == "studio"
        # T11: the exchange is the sign-in, and no renewal of it
        await ada.ask("POST", REFRESH)
        [entry] = await stored(edge)
        assert (entry.actor_id, entry.action) == (ada.user_id, "sign_in.exchange")
        # it is one session: revoking the provider's token ends what it was exchanged for
        edge.http.cookies.clear()
        assert (await ada.ask("POST", "/api/v1/auth/signout")).status_code == 204
        for one in (ada, told, Person(edge.http, second.json()["token"], ada.user_id)):
            for method, path in (("GET", ME), ("POST", REFRESH)):
                assert (await one.ask(method, path)).status_code == 401


async def test_operators_by_their_claim_alone(tmp_path: Path, empty_database: Path, idp: Idp) -> None:
    """I4: also after a renewal; and never unless it is configured."""
    roles = {"realm_access": {"roles": ["kanvas-admin"]}}
    listing = "/api/v1/admin/quarantine"
    async with outside(tmp_path, empty_database, idp, admin_claim="realm_access.roles=kanvas-admin") as edge:
        operator = person(edge, **roles)
        assert (await operator.ask("GET", listing)).status_code == 200
        renewed = await operator.ask("POST", REFRESH)
        again = Person(edge.http, renewed.json()["token"], operator.user_id)
        assert (await again.ask("GET", listing)).status_code == 200
        assert (await person(edge, sub="bea", admin=True).ask("GET", listing)).status_code == 403
    async with outside(tmp_path, empty_database, idp) as edge:
        assert (await person(edge, admin=True, **roles).ask("GET", listing)).status_code == 403


async def test_sign_out_ends_the_session_and_no_other(tmp_path: Path, empty_database: Path) -> None:
    """I7: with all that was renewed from it, also what was stolen before."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        renewed = Person(edge.http, (await ada.ask("POST", REFRESH)).json()["token"], ada.user_id)
        edge.http.cookies.clear()
        bea = await edge.guest("Bea")
        answer = await renewed.ask("POST", "/api/v1/auth/signout")
        assert answer.status_code == 204
        for one in (ada, renewed):
            told = await one.ask("GET", ME)
            assert (told.status_code, told.json()["code"]) == (401, "unauthenticated")
            assert "sign in again" in told.json()["detail"]
            assert (await one.ask("POST", REFRESH)).status_code == 401
            # signing out twice is fine
            assert (await one.ask("POST", "/api/v1/auth/signout")).status_code == 204
        assert (await bea.ask("GET", ME)).status_code == 200


async def test_sign_out_with_the_cookie(tmp_path: Path, empty_database: Path) -> None:
    """I7: a copy of the cookie is worth nothing afterwards."""
    async with open_edge(tmp_path, empty_database) as edge:
        await edge.http.post("/api/v1/auth/guest", json={"name": "Ada"})
        copied = edge.http.cookies[COOKIE]
        assert (await edge.http.post("/api/v1/auth/signout", headers={"Origin": HOST})).status_code == 204
        assert COOKIE not in edge.http.cookies
        answer = await edge.http.get(ME, headers={"Authorization": f"Bearer {copied}"})
        assert answer.status_code == 401


async def test_sign_out_everywhere(tmp_path: Path, empty_database: Path) -> None:
    """I7: all there are now; who signs in again is in."""
    async with open_edge(tmp_path, empty_database) as edge:
        issue = edge.services.tokens.issue
        phone, desk = (Person(edge.http, issue("ada", "Ada").token, "ada") for _ in range(2))
        answer = await phone.ask("POST", "/api/v1/auth/signout-everywhere")
        assert answer.status_code == 204
        assert COOKIE in answer.headers["set-cookie"]
        for one in (phone, desk):
            assert (await one.ask("GET", ME)).status_code == 401
        assert (await Person(edge.http, issue("ada", "Ada").token, "ada").ask("GET", ME)).status_code == 200


async def test_a_renewal_under_way_does_not_outlive_its_session(tmp_path: Path, empty_database: Path) -> None:
    """I7: made from a token that was good a moment ago, but issued after everything was ended."""
    async with open_edge(tmp_path, empty_database) as edge:
        tokens = edge.services.tokens
        before = await tokens.verify(tokens.issue("ada", "Ada").token)
        await edge.services.revocations.end_user("ada")
        late = tokens.reissue(before, "Ada").token
        for token_of_old in (late, tokens.reissue(before, "Ada").token):
            old = Person(edge.http, token_of_old, "ada")
            assert (await old.ask("GET", ME)).status_code == 401
            assert (await old.ask("POST", REFRESH)).status_code == 401


async def test_an_operator_ends_all_of_a_user(tmp_path: Path, empty_database: Path) -> None:
    """I7."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        path = f"/api/v1/admin/users/{ada.user_id}/revoke"
        assert (await ada.ask("POST", path)).status_code == 403
        root = Person(edge.http, edge.services.tokens.issue("op", "Op", is_admin=True).token, "op")
        assert (await root.ask("POST", path)).status_code == 204
        assert (await ada.ask("GET", ME)).status_code == 401
        # there need be nobody of that name
        assert (await root.ask("POST", "/api/v1/admin/users/nobody/revoke")).status_code == 204


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"jwt_jwks_url": "https://id.example/jwks"}, "KANVAS_JWT_ISSUER, KANVAS_JWT_AUDIENCE"),
        ({"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE}, "KANVAS_JWT_JWKS_URL"),
        ({"oidc_issuer": "https://id.example"}, "KANVAS_OIDC_CLIENT_ID"),
        ({"oidc_client_id": "k"}, "KANVAS_OIDC_ISSUER"),
        (
            {"oidc_issuer": "https://id.example", "oidc_client_id": "k", "host": "0.0.0.0"},
            "KANVAS_PUBLIC_URL",
        ),
    ],
)
def test_settings_that_need_each_other(settings: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        read_settings({f"KANVAS_{name.upper()}": value for name, value in settings.items()})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_JWKS_URL", "http://id.example/jwks"),
        ("JWT_ISSUER", "kanvas"),
        ("OIDC_ISSUER", "http://id.example"),
        ("OIDC_SCOPES", "profile email"),
        ("OIDC_SCOPES", 'openid "x"'),
        ("ADMIN_CLAIM", "roles"),
        ("ADMIN_CLAIM", "=admin"),
        ("OIDC_SESSION_S", "10"),
    ],
)
def test_settings_that_are_not_valid(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"KANVAS_{name}"):
        read_settings({f"KANVAS_{name}": value})


def test_the_client_secret_is_never_shown() -> None:
    given = {"KANVAS_OIDC_CLIENT_SECRET": "do-not-show", "KANVAS_OIDC_ISSUER": "https://id.example"}
    with pytest.raises(SettingsError) as caught:
        read_settings(given | {"KANVAS_PORT": "x"})
    assert "do-not-show" not in str(caught.value)
    settings = read_settings(given | {"KANVAS_OIDC_CLIENT_ID": "k"})
    assert "do-not-show" not in f"{settings!r} {effective_rows(settings)}"
