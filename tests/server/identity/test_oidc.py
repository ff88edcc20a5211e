"""Sign-in by OpenID Connect: against a real provider, and against one that lies in every way there is."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from party.errors import Unauthenticated, Unavailable
from server.auth import COOKIE
from server.check import try_all
from server.identity import provider as provider_module
from server.identity.claims import user_id_of
from server.identity.provider import Client, Provider
from server.settings import Settings
from tests.server.edge import HOST, Edge, open_edge
from tests.server.identity.idp import Idp, open_idp
from tests.server.identity.keyring import Pair, b64, claims, jwks, pair, token

START = "/api/v1/auth/oidc/start"
CALLBACK = "/api/v1/auth/oidc/callback"
EC = pair("ec", "ES256")
EVE = pair("eve", "ES256")


@asynccontextmanager
async def site(tmp_path: Path, empty_database: Path, issuer: str, **more: Any) -> AsyncIterator[Edge]:
    told = {"oidc_issuer": issuer, "oidc_client_id": "kanvas", "oidc_client_secret": "s3cret"} | more
    async with open_edge(tmp_path, empty_database, **told) as edge:
        yield edge


async def begin(edge: Edge, next_path: str = "/") -> dict[str, str]:
    """Press the button; the parameters the provider is asked with."""
    answer = await edge.http.get(START, params={"next": next_path})
    assert answer.status_code == 303, answer.text
    parts = urlsplit(answer.headers["location"])
    asked = {name: one[0] for name, one in parse_qs(parts.query).items()}
    return asked | {"at": f"{parts.scheme}://{parts.netloc}{parts.path}", "query": parts.query}


async def consent(asked: dict[str, str], **form: str) -> str:
    """Be the person at the provider's page; where it sends the browser."""
    async with httpx2.AsyncClient(timeout=60) as browser:
        answer = await browser.post(f"{asked['at']}?{asked['query']}", data=form)
    assert answer.status_code in (302, 303), answer.text
    return answer.headers["location"].removeprefix(HOST)


# -- a real provider --------------------------------------------------------------------------------


async def test_somebody_signs_in(tmp_path: Path, empty_database: Path, provider: str) -> None:
    """I5: code with PKCE, state and nonce; a session of ours afterwards, and the same person each time."""
    async with site(tmp_path, empty_database, provider) as edge:
        config = (await edge.http.get("/api/v1/config")).json()
        assert config["sign_in"] == {"text": "Sign in", "href": START}
        for name in ("Ada of the provider", "Countess"):
            asked = await begin(edge, "/r/abc")
            assert asked["response_type"] == "code"
            assert asked["code_challenge_method"] == "S256"
            assert asked["redirect_uri"] == HOST + CALLBACK
            assert asked["scope"] == "openid profile"
            assert len(asked["state"]) >= 43
            assert len(asked["nonce"]) >= 43
            back = await consent(asked, sub="ada")
            answer = await edge.http.get(back)
            assert (answer.status_code, answer.headers["location"]) == (303, "/r/abc#signed-in")
            cookies = answer.headers.get_list("set-cookie")
            session = next(one for one in cookies if one.startswith(COOKIE))
            assert "HttpOnly" in session
            assert "SameSite=lax" in session
            assert "Secure" not in session
            # what the page does next
            told = await edge.http.post("/api/v1/auth/refresh", headers={"Origin": HOST})
            assert told.json()["user"] == {"id": user_id_of(provider, "ada"), "name": name}
            bearer = {"Authorization": f"Bearer {told.json()['token']}"}
            await edge.http.patch("/api/v1/me", json={"name": "Countess"}, headers=bearer)
            edge.http.cookies.clear()
        identity = await edge.services.tokens.verify(told.json()["token"])
        assert identity.until is not None
        assert 600_000 < identity.until.timestamp() - time.time() < 604_801
        assert not identity.is_admin


async def test_a_code_is_good_once_and_in_one_browser(
    tmp_path: Path, empty_database: Path, provider: str
) -> None:
    """I5: login CSRF, replay, and a code that somebody else got hold of."""
    async with site(tmp_path, empty_database, provider) as edge:
        back = await consent(await begin(edge), sub="ada")
        kept = dict(edge.http.cookies)
        # sent to a victim, whose browser did not begin it
        edge.http.cookies.clear()
        answer = await edge.http.get(back)
        assert answer.headers["location"] == "/#sign-in-failed=expired"
        assert COOKIE not in edge.http.cookies
        # the victim's own sign-in does not fit the attacker's code either
        mine = await begin(edge)
        theirs = parse_qs(urlsplit(back).query)["code"][0]
        answer = await edge.http.get(f"{CALLBACK}?{urlencode({'code': theirs, 'state': mine['state']})}")
        assert answer.headers["location"] == "/#sign-in-failed=refused"
        assert COOKIE not in edge.http.cookies
        # who began it: the provider has burnt nothing, for the gate refused before
        for name, value in kept.items():
            edge.http.cookies.set(name, value)
        answer = await edge.http.get(back)
        assert answer.headers["location"] == "/#signed-in"
        # and once more, by the back button, with and without the cookie that was taken away
        edge.http.cookies.clear()
        assert (await edge.http.get(back)).headers["location"] == "/#sign-in-failed=expired"
        for name, value in kept.items():
            edge.http.cookies.set(name, value)
        assert (await edge.http.get(back)).headers["location"] == "/#sign-in-failed=refused"
        assert COOKIE not in edge.http.cookies


async def test_two_tabs_sign_in_at_once(tmp_path: Path, empty_database: Path, provider: str) -> None:
    """I5: neither disturbs the other."""
    async with site(tmp_path, empty_database, provider) as edge:
        first, second = await begin(edge, "/r/one"), await begin(edge, "/r/two")
        for asked, path in ((second, "/r/two"), (first, "/r/one")):
            answer = await edge.http.get(await consent(asked, sub="grace"))
            assert answer.headers["location"] == f"{path}#signed-in"


async def test_who_says_no_comes_back_with_words(tmp_path: Path, empty_database: Path, provider: str) -> None:
    async with site(tmp_path, empty_database, provider) as edge:
        asked = await begin(edge, "/r/abc")
        back = await consent(asked, action="deny")
        # this provider forgets the state
        back = back if "state=" in back else f"{back}&state={asked['state']}"
        answer = await edge.http.get(back)
        assert answer.headers["location"] == "/r/abc#sign-in-failed=denied"
        assert COOKIE not in edge.http.cookies


async def test_cookies_over_https(tmp_path: Path, empty_database: Path, provider: str) -> None:
    """I5: Secure, and the one of a sign-in out of reach of neighbours below the same domain."""
    public = "https://kanvas.example.org"
    async with site(tmp_path, empty_database, provider, public_url=public) as edge:
        answer = await edge.http.get(START)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-kanvas_oidc_")
        assert "Secure" in cookie
        assert "Path=/;" in cookie
        assert "Domain" not in cookie
        assert f"redirect_uri={public.replace(':', '%3A').replace('/', '%2F')}" in answer.headers["location"]


async def test_without_a_provider(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        assert (await edge.http.get("/api/v1/config")).json()["sign_in"] is None
        for path in (START, CALLBACK):
            answer = await edge.http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "oidc_off")


async def test_the_code_is_not_logged(
    tmp_path: Path, empty_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        await edge.http.get(f"{CALLBACK}?code=very-secret-code&state=s")
    told = capsys.readouterr()
    assert CALLBACK in told.out + told.err
    assert "very-secret-code" not in told.out + told.err


# -- a provider that lies ---------------------------------------------------------------------------


@pytest.fixture
def idp() -> Iterator[Idp]:
    with open_idp() as idp:
        idp.document()
        idp.answers["/jwks"] = jwks(EC)
        yield idp


class Ceremony:
    """A sign-in up to the moment the provider answers with an id token of the test's choice."""

    def __init__(self, edge: Edge, idp: Idp) -> None:
        self.edge, self.idp = edge, idp

    async def go(
        self, by: Pair = EC, head: Any = None, back: dict[str, str] | None = None, **changed: Any
    ) -> str:
        asked = await begin(self.edge)
        whole: dict[str, Any] = {"iss": self.idp.url, "aud": "kanvas", "nonce": asked["nonce"]}
        signed = token(claims(**(whole | changed)), by, head)
        self.idp.answers["/token"] = {"access_token": "a", "token_type": "Bearer", "id_token": signed}
        query = {"code": "c", "state": asked["state"]} | (back or {})
        answer = await self.edge.http.get(f"{CALLBACK}?{urlencode(query)}")
        return answer.headers["location"]


async def test_a_right_answer_of_it_is_taken(tmp_path: Path, empty_database: Path, idp: Idp) -> None:
    """I5: with the secret in the header, and the verifier."""
    async with site(tmp_path, empty_database, idp.url) as edge:
        ceremony = Ceremony(edge, idp)
        assert await ceremony.go() == "/#signed-in"
        sent = idp.forms[-1]
        assert sent["grant_type"] == "authorization_code"
        assert sent["redirect_uri"] == HOST + CALLBACK
        assert len(sent["code_verifier"]) >= 43
        assert "client_secret" not in sent
        asking = next(one for one in reversed(idp.headers) if "Authorization" in one)
        assert asking["Authorization"].startswith("Basic ")
        for more in (
            {"aud": ["kanvas"]},
            {"aud": ["kanvas", "other"], "azp": "kanvas"},
            {"azp": "kanvas"},
            {"back": {"iss": idp.url}},
        ):
            assert await ceremony.go(**more) == "/#signed-in", more


def lies() -> dict[str, dict[str, Any]]:
    """What is wrong with a token, by what it is called."""
    now = int(time.time())
    return {
        "another issuer": {"iss": "https://eve.example"},
        "another client": {"aud": "other"},
        "several clients, and nobody it was made for": {"aud": ["kanvas", "other"]},
        "made for another client": {"aud": ["kanvas", "other"], "azp": "other"},
        "made for another client, ours alone in aud": {"azp": "other"},
        "no nonce": {"nonce": None},
        "another nonce": {"nonce": "x" * 43},
        "a nonce that is a list": {"nonce": ["x"]},
        "an empty nonce": {"nonce": ""},
        "expired": {"iat": now - 900, "exp": now - 300},
        "of the future": {"iat": now + 900, "exp": now + 1800},
        "not yet valid": {"nbf": now + 900},
        "no expiry": {"exp": None},
        "nobody": {"sub": None},
        "an empty subject": {"sub": ""},
        "a key of somebody else": {"by": EVE},
        "a key of somebody else under its name": {"by": EVE, "head": {"alg": "ES256", "kid": "ec"}},
        "unsigned": {"head": {"alg": "none"}},
        "signed with our secret": {"head": {"alg": "HS256", "kid": "ec"}},
        "a logout token": {"head": {"alg": "ES256", "kid": "ec", "typ": "logout+jwt"}},
        "from another provider (mix-up)": {"back": {"iss": "https://eve.example"}},
    }


async def test_every_lie_is_refused(tmp_path: Path, empty_database: Path, idp: Idp) -> None:
    """I5: every check of OpenID Connect Core 3.1.3.7, and RFC 9207."""
    async with site(tmp_path, empty_database, idp.url) as edge:
        ceremony = Ceremony(edge, idp)
        found = {lie: await ceremony.go(**changed) for lie, changed in lies().items()}
        assert found == dict.fromkeys(found, "/#sign-in-failed=refused")
        assert COOKIE not in edge.http.cookies
        assert await ceremony.go() == "/#signed-in"


async def test_an_exchange_that_fails(tmp_path: Path, empty_database: Path, idp: Idp) -> None:
    cases: list[tuple[Any, str, str]] = [
        ({"error": "invalid_grant"}, "400", "refused"),
        ({"error": "invalid_client"}, "401", "refused"),
        ({"access_token": "a"}, "", "refused"),
        ({"id_token": 7}, "", "refused"),
        (b"<html>", "", "refused"),
        ([], "", "refused"),
        ({}, "503", "provider_down"),
        ({}, "huge", "provider_down"),
        ({}, "redirect", "provider_down"),
    ]
    async with site(tmp_path, empty_database, idp.url) as edge:
        for answer, mode, word in cases:
            asked = await begin(edge)
            idp.answers["/token"] = answer
            idp.modes["/token"] = mode
            back = await edge.http.get(f"{CALLBACK}?{urlencode({'code': 'c', 'state': asked['state']})}")
            assert back.headers["location"] == f"/#sign-in-failed={word}", answer


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://eve.example"},
        {"issuer": None},
        {"token_endpoint": "http://eve.example/token"},
        {"token_endpoint": None},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
    ],
)
async def test_a_document_that_is_not_its_own(idp: Idp, changed: dict[str, Any]) -> None:
    """I5: nobody is sent anywhere on the word of a wrong document."""
    idp.document(**changed)
    provider = Provider(Client(idp.url, "kanvas", None, "openid", ("name",), None))
    with pytest.raises(Unavailable):
        await provider.address(HOST, "state", "nonce", "verifier")


async def test_how_it_wants_to_be_told_the_secret(idp: Idp) -> None:
    for secret, methods, method in (
        ("s", None, "client_secret_basic"),
        ("s", ["client_secret_post", "client_secret_basic"], "client_secret_basic"),
        ("s", ["client_secret_post"], "client_secret_post"),
        (None, ["client_secret_post"], "none"),
    ):
        idp.document(token_endpoint_auth_methods_supported=methods)
        idp.answers["/token"] = {}
        provider = Provider(Client(idp.url, "kanvas", secret, "openid", ("name",), None))
        assert (await provider.document()).auth_method == method
        with pytest.raises(Unauthenticated):
            await provider.redeem("code", HOST, "nonce", "verifier")
        assert idp.forms[-1].get("client_secret") == (secret if method == "client_secret_post" else None)
        assert idp.forms[-1].get("client_id") == (None if method == "client_secret_basic" else "kanvas")
        assert ("Authorization" in idp.headers[-1]) is (method == "client_secret_basic")


async def test_the_check_asks_for_everything(tmp_path: Path, idp: Idp) -> None:
    """`kanvas check` tells what is wrong in words."""
    settings = Settings(
        data_dir=tmp_path,
        jwt_jwks_url=f"{idp.url}/jwks",
        jwt_issuer=idp.url,
        jwt_audience="kanvas",
        oidc_issuer=idp.url,
        oidc_client_id="kanvas",
    )
    parts = ("keys of tokens", "identity provider")

    async def told() -> list[tuple[bool, str]]:
        return [(one.passed, one.told) for one in await try_all(settings) if one.part in parts]

    assert await told() == [(True, f"1 at {idp.url}/jwks"), (True, f"{idp.url} answers, with keys")]
    idp.answers["/jwks"] = {"keys": []}
    assert [(passed, "RS256" in words) for passed, words in await told()] == [(False, True), (False, True)]
    idp.document(issuer="https://eve.example")
    assert "KANVAS_OIDC_ISSUER" in (await told())[1][1]


async def test_a_provider_that_is_away(
    tmp_path: Path, empty_database: Path, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: told in words, guests go on, and it is asked again soon, not at once."""
    assert provider_module.AGAIN_S == 5
    monkeypatch.setattr(provider_module, "AGAIN_S", 600.0)
    idp.modes["/.well-known/openid-configuration"] = "500"
    async with site(tmp_path, empty_database, idp.url) as edge:
        for _ in range(5):
            answer = await edge.http.get(START)
            assert answer.headers["location"] == "/#sign-in-failed=provider_down"
        assert idp.asked["/.well-known/openid-configuration"] == 1
        assert (await edge.guest()).user_id


async def test_a_person_who_may_not_now_sees_a_page(tmp_path: Path, empty_database: Path, idp: Idp) -> None:
    """I5: a browser that is over the limit is sent to the sign-in page, with a word; a script is told 429."""
    async with site(tmp_path, empty_database, idp.url, rate_limits="auth=1/600") as edge:
        assert (await edge.http.get(START)).status_code == 303
        for path in (START, CALLBACK):
            answer = await edge.http.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/#sign-in-failed=busy")
            assert int(answer.headers["retry-after"]) > 0
            assert (await edge.http.get(path)).status_code == 429


async def test_it_must_name_itself_when_it_says_it_does(
    tmp_path: Path, empty_database: Path, idp: Idp
) -> None:
    """I5: RFC 9207."""
    idp.document(authorization_response_iss_parameter_supported=True)
    async with site(tmp_path, empty_database, idp.url) as edge:
        ceremony = Ceremony(edge, idp)
        assert await ceremony.go() == "/#sign-in-failed=refused"
        assert await ceremony.go(back={"iss": idp.url}) == "/#signed-in"


async def test_more_claims_are_asked_for_when_there_is_no_name(
    tmp_path: Path, empty_database: Path, idp: Idp
) -> None:
    """I3: of the same subject, or they don't count."""
    async with site(tmp_path, empty_database, idp.url, admin_claim="role=boss") as edge:
        ceremony = Ceremony(edge, idp)
        for sub, about, name in (
            ("one", {"sub": "one", "name": "Told later"}, "Told later"),
            ("two", {"sub": "eve", "name": "Eve", "role": "boss"}, "Somebody"),
            ("three", b"no json", "Somebody"),
        ):
            idp.answers["/userinfo"] = about
            assert await ceremony.go(sub=sub, name=None) == "/#signed-in"
            told = await edge.http.post("/api/v1/auth/refresh", headers={"Origin": HOST})
            assert told.json()["user"]["name"] == name
            assert not (await edge.services.tokens.verify(told.json()["token"])).is_admin


async def test_an_operator_by_the_id_token_or_the_userinfo(
    tmp_path: Path, empty_database: Path, idp: Idp
) -> None:
    """I4: through every renewal, until the sign-in ends."""
    async with site(tmp_path, empty_database, idp.url, admin_claim="role=boss") as edge:
        for sub, role, about, is_admin in (
            ("ada", ["boss"], {"sub": "ada"}, True),
            # providers such as Keycloak put roles into one, the other or neither, as they are set up
            ("bea", None, {"sub": "bea", "role": ["boss"]}, True),
            ("cyd", ["guest"], {"sub": "cyd", "role": ["boss"]}, False),
            ("dan", None, {"sub": "eve", "role": ["boss"]}, False),
        ):
            idp.answers["/userinfo"] = about
            assert await Ceremony(edge, idp).go(sub=sub, role=role) == "/#signed-in"
            told = await edge.http.post("/api/v1/auth/refresh", headers={"Origin": HOST})
            assert (await edge.services.tokens.verify(told.json()["token"])).is_admin is is_admin, sub


async def test_a_sign_in_ends_when_it_has_to(tmp_path: Path, empty_database: Path, idp: Idp) -> None:
    """I9: whatever is renewed meanwhile."""
    async with site(tmp_path, empty_database, idp.url, oidc_session_s=300) as edge:
        assert await Ceremony(edge, idp).go() == "/#signed-in"
        ends = set()
        for _ in range(3):
            told = await edge.http.post("/api/v1/auth/refresh", headers={"Origin": HOST})
            ends.add(told.json()["expires_at"])
        assert len(ends) == 1


def test_the_keyring_speaks_base64() -> None:
    assert b64({"a": 1}) == "eyJhIjogMX0"
