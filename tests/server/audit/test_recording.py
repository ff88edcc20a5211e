"""What is done is written down with it: by every operation that changes something, each tried here."""

import ast
import asyncio
import hashlib
import io
from datetime import timedelta
from pathlib import Path

import orjson
from PIL import Image
from sqlalchemy import Connection

from db.audit import Event, append
from server.app import all_operations
from server.audit.actions import ACTIONS, REFUSED_ONLY, UNRECORDED
from server.auth import SAFE_METHODS
from server.services import TRASH_KEPT, Services, clean_up
from tests.conventions.tree import ROOT, our_files
from tests.server.audit.log import check, operator, stored, told
from tests.server.edge import ROOMS, Person, open_edge


def picture(color: str) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(made, "PNG")
    return made.getvalue()


def literals() -> set[str]:
    """Every text in the server's code but for the declarations of routes and the table of actions."""
    found: set[str] = set()
    for path in our_files(".py", below="server"):
        if path == ROOT / "server" / "audit" / "actions.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        declared = {
            id(keyword.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for keyword in node.keywords
            if keyword.arg == "audit"
        }
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in declared
        }
    return found


def test_every_operation_that_changes_something_names_its_action() -> None:
    """Y7: and whoever can't has a reason in the table."""
    silent = {
        one.name
        for one in all_operations().operations
        if one.method not in SAFE_METHODS and one.audit is None
    }
    assert silent == UNRECORDED.keys()


def test_every_action_has_words_and_is_written_somewhere() -> None:
    """Y7."""
    declared = {one.audit for one in all_operations().operations if one.audit is not None}
    assert declared - ACTIONS.keys() == set()
    assert declared - REFUSED_ONLY - literals() == set()
    assert REFUSED_ONLY - ACTIONS.keys() == set()


async def test_who_comes_goes_and_is_called(tmp_path: Path, empty_database: Path) -> None:
    """Y7: sign-in, another name, sign-out, from where and in which request."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest("Ada")
        renamed = await ada.ask(
            "PATCH", "/api/v1/me", json={"name": "Ada L."}, headers={"X-Request-ID": "r1"}
        )
        assert renamed.status_code == 200
        # the cookie it sets is another browser's
        edge.http.cookies.clear()
        await ada.ask("POST", "/api/v1/auth/signout")
        bob = await edge.guest("Bob")
        await bob.ask("POST", "/api/v1/auth/signout-everywhere")
        found = await stored(edge)
        assert [(one.actor_name, one.action) for one in found] == [
            ("Ada", "sign_in.guest"),
            ("Ada", "user.rename"),
            ("Ada", "sign_out.here"),
            ("Bob", "sign_in.guest"),
            ("Bob", "sign_out.everywhere"),
        ]
        assert {one.chain for one in found} == {"@server"}
        assert (found[1].actor_id, found[1].target, found[1].request_id) == (ada.user_id, ada.user_id, "r1")
        assert orjson.loads(found[1].details) == {"name": "Ada L."}
        assert all(one.address == "127.0.0.1" for one in found)
        assert await check(edge) == []


async def test_who_comes_with_a_token_made_elsewhere(tmp_path: Path, empty_database: Path) -> None:
    """T11: when it becomes a session, by a renewal or with another name; once, whatever it is renewed to."""
    async with open_edge(tmp_path, empty_database) as edge:
        issue = edge.services.tokens.issue
        ada, bea = (Person(edge.http, issue(one, one.title()).token, one) for one in ("ada", "bea"))
        # of use by itself, which is no sign-in
        assert (await ada.ask("GET", "/api/v1/me")).status_code == 200
        assert await told(edge) == []
        answers = await asyncio.gather(*(ada.ask("POST", "/api/v1/auth/refresh") for _ in range(5)))
        assert {one.status_code for one in answers} == {200}
        renewed = Person(edge.http, answers[0].json()["token"], "ada")
        await renewed.ask("POST", "/api/v1/auth/refresh")
        await renewed.ask("PATCH", "/api/v1/me", json={"name": "Ada L."})
        await bea.ask("PATCH", "/api/v1/me", json={"name": "Bea B."})
        await bea.ask("POST", "/api/v1/auth/refresh")
        found = await stored(edge)
        assert [(one.actor_id, one.actor_name, one.action) for one in found] == [
            ("ada", "Ada", "sign_in.exchange"),
            ("ada", "Ada", "user.rename"),
            ("bea", "Bea", "sign_in.exchange"),
            ("bea", "Bea", "user.rename"),
        ]
        assert (found[0].address, orjson.loads(found[0].details)) == ("127.0.0.1", {"kind": "token"})
        # beside the session, or not at all
        guest = await edge.guest("Grace")
        await guest.ask("POST", "/api/v1/auth/refresh")
        assert (await told(edge))[4:] == [("sign_in.guest", "done")]


async def test_a_room_from_its_beginning_to_its_end(tmp_path: Path, empty_database: Path) -> None:
    """Y7: made, changed, deleted, restored, purged; what changes nothing leaves no entry."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room(title="Plan")
        at = f"{ROOMS}/{room['id']}"
        for _ in range(2):
            again = await ada.ask(
                "POST", ROOMS, json={"title": "Once"}, headers={"Idempotency-Key": "the-same"}
            )
            assert again.status_code == 201
        await ada.ask("PATCH", at, json={"title": "Floor plan"})
        await ada.ask("PATCH", at, json={})
        await ada.ask("DELETE", at)
        await ada.ask("POST", f"{at}/restore")
        await ada.ask("POST", f"{at}/restore")
        await ada.ask("DELETE", at)
        found = await stored(edge, chain=room["id"])
        assert [one.action for one in found] == [
            "room.create",
            "room.change",
            "room.delete",
            "room.restore",
            "room.delete",
        ]
        assert orjson.loads(found[1].details) == {"title": {"from": "Plan", "to": "Floor plan"}}
        assert len(await stored(edge, action="room.create")) == 2

        later = edge.services.now() + TRASH_KEPT + timedelta(days=1)
        old, Services.now = Services.now, staticmethod(lambda: later)  # type: ignore[assignment]
        try:
            await clean_up(edge.services)
        finally:
            Services.now = staticmethod(old)  # type: ignore[method-assign]
        last = (await stored(edge, chain=room["id"]))[-1]
        assert (last.action, last.actor_id) == ("room.purge", "@server")
        assert await check(edge) == []


async def test_files_of_a_room(tmp_path: Path, empty_database: Path) -> None:
    """Y7: stored straight, by an upload, and an upload given up; the same bytes again are nothing new."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room()
        at = f"{ROOMS}/{room['id']}/assets"
        red, green = picture("red"), picture("green")
        for _ in range(2):
            sent = await ada.ask(
                "PUT",
                f"{at}/{hashlib.sha256(red).hexdigest()}?filename=red.png",
                content=red,
                headers={"Content-Type": "image/png"},
            )
            assert sent.status_code in (200, 201), sent.text
        announced = {
            "filename": "green.png",
            "content_type": "image/png",
            "size": len(green),
            "sha256": hashlib.sha256(green).hexdigest(),
        }
        upload = (await ada.ask("POST", at, json=announced)).json()["upload"]
        request = upload["request"]
        put = await edge.http.request(
            request["method"], request["url"], headers=request["headers"], content=green
        )
        assert put.status_code < 300, put.text
        assert (await ada.ask("POST", f"{at}/{upload['id']}/complete")).status_code == 201
        other = {**announced, "sha256": "0" * 64}
        given_up = (await ada.ask("POST", at, json=other)).json()["upload"]
        assert (await ada.ask("DELETE", f"{at}/{given_up['id']}")).status_code == 204
        found = [one for one in await stored(edge, chain=room["id"]) if one.action.startswith("asset")]
        assert [(one.action, orjson.loads(one.details)["filename"]) for one in found] == [
            ("asset.add", "red.png"),
            ("asset.add", "green.png"),
            ("asset.cancel", "green.png"),
        ]
        assert found[1].target == upload["id"]


async def test_orders_of_the_operator(tmp_path: Path, empty_database: Path) -> None:
    """Y7, M8: each order is an entry, in the chain of its room."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, olga = await edge.guest(), operator(edge)
        room = await ada.room()
        at = f"/api/v1/admin/rooms/{room['id']}"
        for verb, body in (
            ("freeze", None),
            ("thaw", None),
            ("kick", {"user_id": ada.user_id}),
            ("kick", {"user_id": ada.user_id, "for_s": 60}),
            ("close", {}),
            ("close", {"for_s": 60}),
            ("open", None),
        ):
            done = await olga.ask("POST", f"{at}/{verb}", json=body)
            assert done.status_code in (200, 204), done.text
        await olga.ask("POST", f"/api/v1/admin/users/{ada.user_id}/revoke")
        await olga.ask("POST", "/api/v1/admin/assets/sweep", json={"dry_run": True})
        orders = await stored(edge, actor_id="operator")
        assert [one.action for one in orders] == [
            "room.freeze",
            "room.thaw",
            "room.kick",
            "room.kick",
            "room.close",
            "room.close",
            "room.open",
            "user.revoke",
            "asset.sweep",
        ]
        assert {one.chain for one in orders[:7]} == {room["id"]}
        assert (orders[3].target, orjson.loads(orders[3].details)) == (ada.user_id, {"for_s": 60})
        # to an order for no room there is no entry, and no chain
        assert (await olga.ask("POST", "/api/v1/admin/rooms/nowhere/freeze")).status_code == 404
        assert await told(edge, chain="nowhere") == []
        assert await check(edge) == []


async def test_the_clean_up_lets_old_entries_go(tmp_path: Path, empty_database: Path) -> None:
    """Y6: after KANVAS_AUDIT_DAYS, and the log says so and still fits."""
    async with open_edge(tmp_path, empty_database, audit_days=10) as edge:
        now = edge.services.now()
        old = [
            Event(now - timedelta(days=20 - n), "eve", "Eve", "room.change", "the-plan") for n in range(15)
        ]

        def put(connection: Connection) -> None:
            for event in old:
                append(connection, event)

        await edge.database.write(put)
        for _ in range(2):
            await clean_up(edge.services)
        found = await stored(edge, chain="the-plan")
        assert [one.action for one in found] == ["room.change"] * 4 + ["audit.expire"]
        assert found[-1].target == "11 entries"
        assert await check(edge) == []
