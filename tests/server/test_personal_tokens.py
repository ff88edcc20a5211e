"""Personal access tokens: made once, hashed, scoped, used, revoked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pycrdt import Doc, Map
from sqlalchemy import select, update

from db.scopes import as_system
from db.tables import audit_events, personal_tokens, users
from party.policy import ROLES, lower
from server.app import all_operations
from server.identity.personal import GUESTS_OFF
from server.problems import ScopeMissing
from server.scopes import SCOPES, check_scope, most_role, scope_for
from tests.server.edge import Person, field_names, open_edge

TOKENS = "/api/v1/me/tokens"
BINARY = {"Content-Type": "application/octet-stream"}


async def make(ada: Person, *scopes: str, **more: object) -> tuple[Person, str]:
    """A script with a token of ada's, and the token's id."""
    made = await ada.ask("POST", TOKENS, json={"name": "Script", "scopes": list(scopes), **more})
    assert made.status_code == 201, made.text
    told = made.json()
    return Person(ada.http, told["token"], ada.user_id), told["id"]


def an_update() -> bytes:
    doc: Doc[Map] = Doc()
    doc.get("map", type=Map)["key"] = True
    return doc.get_update()


async def test_it_is_shown_once_and_only_its_hash_is_kept(tmp_path: Path, empty_database: Path) -> None:
    """U1: neither the list nor the database has the text; the log of what was done has the token's id."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        script, token_id = await make(ada, "rooms:read", "account:read", expires_in_days=30)
        assert script.token.startswith("kanvas_pat_")
        [shown] = (await ada.ask("GET", TOKENS)).json()["items"]
        assert shown["id"] == token_id
        assert shown["scopes"] == ["rooms:read", "account:read"]
        assert datetime.fromisoformat(shown["expires_at"]) > datetime.now(UTC) + timedelta(days=29)
        assert "token" not in shown
        rows = await as_system(edge.services.database).read(
            lambda conn: [*conn.execute(select(personal_tokens)), *conn.execute(select(audit_events))]
        )
        assert len(rows) > 2
        assert token_id in repr(rows)
        assert script.token not in repr(rows)
        assert script.token.removeprefix("kanvas_pat_") not in repr(rows)
        assert (await script.ask("GET", "/api/v1/me")).json()["id"] == ada.user_id


async def test_a_guests_ends_where_guests_are_not_let_in(tmp_path: Path, empty_database: Path) -> None:
    """U4: it says whose it is, and goes as the guest's session goes, which is not renewed there."""
    async with open_edge(tmp_path, empty_database) as edge:
        fox = await edge.guest()
        script, _ = await make(fox, "account:read")
        assert (await script.ask("GET", "/api/v1/me")).json()["is_guest"] is True
    async with open_edge(tmp_path, empty_database, guests=False) as edge:
        refused = await Person(edge.http, script.token, fox.user_id).ask("GET", "/api/v1/me")
        assert (refused.status_code, refused.json()["detail"]) == (401, GUESTS_OFF)


async def test_a_script_does_what_its_scopes_say_and_no_more(tmp_path: Path, empty_database: Path) -> None:
    """U2: 403 with the scope that is missing."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room(schema="open")
        at = f"/parties/{room['id']}"
        reader, _ = await make(ada, "rooms:read")
        writer, _ = await make(ada, "rooms:read", "rooms:write")
        assert (await reader.ask("GET", at)).status_code == 200
        refused = await reader.ask("POST", at, BINARY, content=an_update())
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        assert "rooms:write" in refused.json()["detail"]
        assert (await writer.ask("POST", at, BINARY, content=an_update())).status_code == 200
        refused = await writer.ask("GET", "/api/v1/me")
        assert "account:read" in refused.json()["detail"]


async def test_no_token_makes_tokens_or_ends_sessions(tmp_path: Path, empty_database: Path) -> None:
    """U3: what a thief of a token must not do, no scope allows."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        script, token_id = await make(ada, *SCOPES)
        for method, path, body in (
            ("POST", TOKENS, {"name": "More", "scopes": ["rooms:read"]}),
            ("DELETE", f"{TOKENS}/{token_id}", None),
            ("PATCH", "/api/v1/me", {"name": "Eve"}),
            ("POST", "/api/v1/auth/signout-everywhere", None),
        ):
            answer = await script.ask(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path
        renewed = await script.ask("POST", "/api/v1/auth/refresh")
        assert renewed.status_code == 401


async def test_a_revoked_one_is_refused_from_then_on(tmp_path: Path, empty_database: Path) -> None:
    """U4: and so is one that ended, that is unknown, and somebody else's can't be revoked."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, eve = await edge.guest(), await edge.guest("Eve")
        script, token_id = await make(ada, "account:read")
        other, other_id = await make(ada, "account:read", expires_in_days=1)
        assert (await eve.ask("DELETE", f"{TOKENS}/{token_id}")).status_code == 404
        assert (await ada.ask("DELETE", f"{TOKENS}/{token_id}")).status_code == 204
        assert (await ada.ask("DELETE", f"{TOKENS}/{token_id}")).status_code == 404
        assert (await script.ask("GET", "/api/v1/me")).status_code == 401
        assert [one["id"] for one in (await ada.ask("GET", TOKENS)).json()["items"]] == [other_id]
        past = datetime.now(UTC) - timedelta(seconds=1)
        await as_system(edge.services.database).write(
            lambda conn: conn.execute(update(personal_tokens).values(expires_at=past)).rowcount
        )
        assert (await other.ask("GET", "/api/v1/me")).status_code == 401
        for text in ("kanvas_pat_", "kanvas_pat_" + "x" * 43, "kanvas_pat_" + "x" * 500, other.token + "x"):
            stranger = Person(ada.http, text, "")
            assert (await stranger.ask("GET", "/api/v1/me")).status_code == 401


async def test_its_use_is_noted_once_a_minute(tmp_path: Path, empty_database: Path) -> None:
    """U4: when, and from where."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        script, _ = await make(ada, "account:read")
        assert (await ada.ask("GET", TOKENS)).json()["items"][0]["last_used_at"] is None
        await script.ask("GET", "/api/v1/me")
        first = (await ada.ask("GET", TOKENS)).json()["items"][0]
        assert first["last_used_at"] is not None
        assert first["last_used_from"] == "127.0.0.1"
        await script.ask("GET", "/api/v1/me")
        assert (await ada.ask("GET", TOKENS)).json()["items"][0] == first


async def test_it_outlives_signing_out_and_ends_with_its_user(tmp_path: Path, empty_database: Path) -> None:
    """U4: "sign out everywhere" is about browsers; the operator's "end all" is about everything."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        script, _ = await make(ada, "account:read")
        assert (await ada.ask("POST", "/api/v1/auth/signout-everywhere")).status_code == 204
        assert (await ada.ask("GET", "/api/v1/me")).status_code == 401
        assert (await script.ask("GET", "/api/v1/me")).status_code == 200
        operator = Person(edge.http, edge.services.tokens.issue("op", "Op", is_admin=True).token, "op")
        await operator.ask("POST", f"/api/v1/admin/users/{ada.user_id}/revoke")
        assert (await script.ask("GET", "/api/v1/me")).status_code == 401


async def test_an_operator_is_one_only_with_the_scope(tmp_path: Path, empty_database: Path) -> None:
    """U2: and somebody who is none is none with it."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        plain, _ = await make(ada, "account:read")
        full, _ = await make(ada, "admin")
        assert (await full.ask("GET", "/api/v1/admin/nodes")).status_code == 403
        await as_system(edge.services.database).write(
            lambda conn: conn.execute(update(users).values(is_admin=True)).rowcount
        )
        assert (await full.ask("GET", "/api/v1/admin/nodes")).status_code == 200
        assert (await plain.ask("GET", "/api/v1/admin/nodes")).status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "scopes": []}, "/scopes"),
        ({"name": "x", "scopes": ["all"]}, "/scopes/0"),
        ({"name": "x", "scopes": ["share"], "expires_in_days": 0}, "/expires_in_days"),
        ({"name": "x", "scopes": ["share"], "user_id": "eve"}, "/user_id"),
        ({"name": "", "scopes": ["share"]}, "/name"),
    ],
)
async def test_what_is_no_token_is_refused(
    tmp_path: Path, empty_database: Path, body: dict[str, object], field: str
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        assert field_names(await ada.ask("POST", TOKENS, json=body)) == [field]


async def test_nobody_has_more_than_a_hundred(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        for _ in range(100):
            _, token_id = await make(ada, "share")
        refused = await ada.ask("POST", TOKENS, json={"name": "x", "scopes": ["share"]})
        assert refused.status_code == 409
        await ada.ask("DELETE", f"{TOKENS}/{token_id}")
        await make(ada, "share")


def test_every_operation_needs_a_scope_or_a_person() -> None:
    """U2: a tag nobody thought of fails here, and at the first request."""
    for one in all_operations().operations:
        if one.needs_user:
            scope_for(one.tag, one.method)
    with pytest.raises(KeyError):
        scope_for("new", "GET")


def test_the_most_a_token_is_in_a_room() -> None:
    """U2: what it may write decides, and what its owner is there stays the bound."""
    assert most_role(None) == "owner"
    assert most_role(frozenset({"rooms:read"})) == "viewer"
    assert most_role(frozenset({"rooms:read", "comments:write"})) == "commenter"
    assert most_role(frozenset({"rooms:read", "rooms:write"})) == "owner"
    with pytest.raises(ScopeMissing):
        most_role(frozenset({"rooms:write"}))
    check_scope(None, "sign-in", "POST")
    for one in ROLES:
        assert lower(one, "owner") == one
        assert lower("viewer", one) == "viewer"
