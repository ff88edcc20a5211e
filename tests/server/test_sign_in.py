"""Sign-in over HTTP: guests, renewal, the cookie and where it may come from."""

from pathlib import Path

import pytest

from server.auth import COOKIE
from tests.server.edge import HOST, Edge, field_names, open_edge

GUEST = "/api/v1/auth/guest"
REFRESH = "/api/v1/auth/refresh"


async def test_a_guest_gets_a_token_and_a_cookie(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.post(GUEST, json={"name": "  Ada "})
        told = answer.json()
        assert answer.status_code == 201
        assert set(told) == {"token", "expires_at", "user", "is_admin"}
        assert told["user"]["name"] == "Ada"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}={told['token']};")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/;" in cookie
        assert "Secure" not in cookie
        assert answer.headers["cache-control"] == "no-store"
        me = await edge.http.get("/api/v1/me")  # by the cookie
        assert me.json() == told["user"] | {"email": None, "is_guest": True, "is_admin": False, "aliases": []}


async def test_the_cookie_is_secure_behind_https(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, public_url="https://kanvas.test") as edge:
        answer = await edge.http.post(GUEST, json={"name": "Ada"})
        assert "Secure" in answer.headers["set-cookie"]
        assert "strict-transport-security" in answer.headers


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 65, "a\nb", "a\x00b", "\u200b", "a\u202eb", "\u2066", "\u2028", "\x7f"]
)
async def test_what_is_no_name_is_refused(tmp_path: Path, empty_database: Path, name: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        assert field_names(await edge.http.post(GUEST, json={"name": name})) == ["/name"]


@pytest.mark.parametrize("name", ["x" * 64, "李", "🧑‍🎨", "Zoë O’Hara", "نگار‌خانه"])
async def test_names_of_the_world_are_taken(tmp_path: Path, empty_database: Path, name: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.post(GUEST, json={"name": name})
        assert answer.json()["user"]["name"] == name


async def test_guests_off(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
    async with open_edge(tmp_path, empty_database, guests=False) as edge:
        answer = await edge.http.post(GUEST, json={"name": "Ada"})
        assert (answer.status_code, answer.json()["code"]) == (403, "guests_off")
        assert "KANVAS_GUESTS" in answer.json()["detail"]
        # who is in stays in until the token ends, and is not renewed
        bearer = {"Authorization": f"Bearer {ada.token}"}
        assert (await edge.http.get("/api/v1/me", headers=bearer)).status_code == 200
        assert (await edge.http.post(REFRESH, headers=bearer)).json()["code"] == "guests_off"
        operator = edge.services.tokens.issue("operator", "Op").token
        renewed = await edge.http.post(REFRESH, headers={"Authorization": f"Bearer {operator}"})
        assert renewed.json()["user"] == {"id": "operator", "name": "Op"}


async def test_refresh_keeps_the_identity_and_takes_the_newest_name(
    tmp_path: Path, empty_database: Path
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        renamed = await ada.ask("PATCH", "/api/v1/me", json={"name": "Countess"})
        assert renamed.status_code == 200
        answer = await ada.ask("POST", REFRESH)
        assert answer.json()["user"] == {"id": ada.user_id, "name": "Countess"}
        assert COOKIE in answer.headers["set-cookie"]
        assert (await ada.ask("GET", "/api/v1/me")).json()["name"] == "Countess"


async def test_an_expired_guest_is_renewed_but_not_let_in(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        old = edge.services.tokens.issue("u1", "Ada", is_guest=True, ttl_s=-60).token
        bearer = {"Authorization": f"Bearer {old}"}
        refused = await edge.http.get("/api/v1/me", headers=bearer)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await edge.http.post(REFRESH, headers=bearer)).json()["user"]["id"] == "u1"


@pytest.mark.parametrize("given", ["Basic eDp5", "Bearer", "Bearer ", "Bearer x.y.z", "bearer\tx", "Token x"])
async def test_a_wrong_authorization_is_not_covered_by_a_right_cookie(
    tmp_path: Path, empty_database: Path, given: str
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        await edge.http.post(GUEST, json={"name": "Ada"})
        assert (await edge.http.get("/api/v1/me")).status_code == 200
        answer = await edge.http.get("/api/v1/me", headers={"Authorization": given})
        assert answer.status_code == 401


async def change(edge: Edge, **headers: str) -> int:
    """A change on the strength of the cookie."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await edge.http.patch("/api/v1/me", json={"name": "Eve"}, headers=named)
    if answer.status_code == 403:
        assert answer.json()["code"] == "origin_refused"
        assert "KANVAS_ORIGINS" in answer.json()["detail"]
    return answer.status_code


async def test_a_change_by_cookie_must_come_from_a_known_page(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, origins="https://app.example.org") as edge:
        await edge.http.post(GUEST, json={"name": "Ada"})
        assert await change(edge) == 403
        assert await change(edge, Sec_Fetch_Site="same-origin") == 200
        assert await change(edge, Sec_Fetch_Site="same-site") == 403
        assert await change(edge, Sec_Fetch_Site="none") == 403
        assert await change(edge, Origin=HOST) == 200
        assert await change(edge, Origin="https://kanvas.test") == 200  # a proxy ends TLS
        assert await change(edge, Origin="http://kanvas.test:81") == 403
        assert await change(edge, Origin="https://app.example.org") == 200
        assert await change(edge, Origin="https://evil.example.org", Sec_Fetch_Site="same-origin") == 403
        assert await change(edge, Origin="null") == 403
        # the same change with the token in hand needs no page
        token = edge.http.cookies[COOKIE]
        edge.http.cookies.clear()
        assert await change(edge, Authorization=f"Bearer {token}") == 200


async def test_a_star_lets_scripts_in_but_no_borrowed_cookies(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, origins="*") as edge:
        signed_in = await edge.http.post(
            GUEST, json={"name": "Ada"}, headers={"Origin": "https://any.example"}
        )
        assert signed_in.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in signed_in.headers
        assert await change(edge, Origin="https://any.example") == 403
        assert await change(edge, Origin=HOST) == 200


async def test_a_foreign_page_can_not_sign_its_visitor_in(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.post(GUEST, json={"name": "Eve"}, headers={"Origin": "https://evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers


async def test_other_origins_may_ask_when_listed(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, origins="https://app.example.org") as edge:
        asked = await edge.http.options(
            "/api/v1/rooms",
            headers={
                "Origin": "https://app.example.org",
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
            },
        )
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://app.example.org"
        read = await edge.http.get("/api/v1/config", headers={"Origin": "https://app.example.org"})
        assert "ETag" in read.headers["access-control-expose-headers"]


async def test_signing_out_clears_the_cookie(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        await edge.http.post(GUEST, json={"name": "Ada"})
        assert (await edge.http.post("/api/v1/auth/signout")).status_code == 403
        answer = await edge.http.post("/api/v1/auth/signout", headers={"Origin": HOST})
        assert answer.status_code == 204
        assert f'{COOKIE}=""; ' in answer.headers["set-cookie"]
        assert (await edge.http.get("/api/v1/me")).status_code == 401
        assert (await edge.http.post("/api/v1/auth/signout")).status_code == 204


async def test_config_needs_no_sign_in(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, max_asset_bytes=4096) as edge:
        told = (await edge.http.get("/api/v1/config")).json()
        assert told["guests"] is True
        assert told["max_asset_bytes"] == 4096
        assert told["version"]
