"""Refusals in the audit log: which, merged how, and that nobody waits for them."""

import asyncio
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection
from starlette.requests import Request

from db.scopes import as_system
from party.errors import Forbidden, RoomNotFound, Unavailable
from server.audit import refusals as module
from server.audit.refusals import MERGED_S, MOST_KINDS, OVERFLOW, Refusals
from server.blobs.signing import UrlSigner
from tests.server.audit.log import check, operator, stored, told
from tests.server.edge import ROOMS, Edge, Person, open_edge


def refused(edge: Edge, found: list[Any]) -> list[tuple[str, str, int]]:
    """Action, code and how often."""
    read = [(one.action, orjson.loads(one.details)) for one in found if one.result == "refused"]
    return [(action, details["code"], details.get("times", 1)) for action, details in read]


def counted(edge: Edge, found: list[Any]) -> Counter[tuple[str, str]]:
    """How often each action was refused with which code, in however many entries."""
    times: Counter[tuple[str, str]] = Counter()
    for action, code, often in refused(edge, found):
        times[action, code] += often
    return times


async def test_what_is_refused_is_noted(tmp_path: Path, empty_database: Path) -> None:
    """Y8: in the chain of the room where there is one, with who it was."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, bob = await edge.guest("Ada"), await edge.guest("Bob")
        room = await ada.room()
        at = f"{ROOMS}/{room['id']}"
        assert (await bob.ask("PATCH", at, json={"title": "Mine"})).status_code == 403
        assert (await bob.ask("DELETE", at)).status_code == 403
        assert (await bob.ask("GET", f"{at}/audit")).status_code == 403
        assert (await bob.ask("POST", f"/api/v1/admin/rooms/{room['id']}/freeze")).status_code == 403
        assert (await bob.ask("GET", "/api/v1/admin/jobs")).status_code == 403
        found = await stored(edge, actor_id=bob.user_id)
        by_chain = {(one.chain, one.action) for one in found if one.result == "refused"}
        assert by_chain == {
            (room["id"], "room.change"),
            (room["id"], "room.delete"),
            (room["id"], "room.read"),
            (room["id"], "room.freeze"),
            ("@server", "admin.read"),
        }
        one = next(one for one in found if one.action == "room.change")
        assert (one.actor_name, one.address) == ("Bob", "127.0.0.1")
        assert orjson.loads(one.details) == {"code": "forbidden", "status": 403}
        assert await check(edge) == []


async def test_rooms_that_are_not_there_make_no_chains(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y8: tries at made-up ids are one entry of the server's chain, for each turn of the writer."""
    # the first turn is at once, the next one the end
    monkeypatch.setattr(module, "TURN_S", 3600.0)
    async with open_edge(tmp_path, empty_database) as edge:
        bob = await edge.guest("Bob")
        for n in range(5):
            assert (await bob.ask("DELETE", f"{ROOMS}/made-up-{n}")).status_code == 404
        found = refused(edge, await stored(edge))
        assert {(action, code) for action, code, _ in found} == {("room.delete", "room_not_found")}
        assert sum(times for _, _, times in found) == 5
        assert len(found) <= 2
        assert {one.chain for one in await stored(edge)} == {"@server"}


READS = (
    "{at}",
    "{at}/audit",
    "{at}/members",
    "{at}/participants",
    "{at}/invitations",
    "{at}/links",
    "{at}/comments",
    "{at}/document",
    "{at}/assets",
    "{at}/assets/01k9yfz9yqg8t2m7x1n5w3c4vb",
    "/parties/{id}",
    "/parties/{id}/base",
)


async def test_who_looks_at_a_room_they_may_not_see_is_noted(tmp_path: Path, empty_database: Path) -> None:
    """Y8: 404 to them, an entry to its owner; of a room that never was it is a mistake."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, bob = await edge.guest("Ada"), await edge.guest("Bob")
        room = await ada.room(default_role="none")
        places = {"at": f"{ROOMS}/{room['id']}", "id": room["id"]}
        for path in READS:
            assert (await bob.ask("GET", path.format_map(places))).status_code == 404
        read = "{at}/comments/01k9yfz9yqg8t2m7x1n5w3c4vb/read".format_map(places)
        body = {"comment_id": "01k9yfz9yqg8t2m7x1n5w3c4vb"}
        assert (await bob.ask("POST", read, json=body)).status_code == 404
        found = [one for one in await stored(edge, chain=room["id"]) if one.result == "refused"]
        assert counted(edge, found) == {("room.read", "room_not_found"): len(READS) + 1}
        assert (found[-1].actor_name, found[-1].target) == ("Bob", "01k9yfz9yqg8t2m7x1n5w3c4vb")

        before = await stored(edge)
        places = {"at": f"{ROOMS}/made-up", "id": "made-up"}
        for path in READS:
            assert (await bob.ask("GET", path.format_map(places))).status_code == 404
        # somebody else's 404 in a room they are in is a mistake as well
        assert (await ada.ask("GET", f"{ROOMS}/{room['id']}/assets/{body['comment_id']}")).status_code == 404
        assert await stored(edge) == before

        # and so is a room that was put into the trash a moment ago: whoever was in it still asks for it
        assert (await ada.ask("DELETE", f"{ROOMS}/{room['id']}")).status_code == 204
        before = await stored(edge)
        for person in (ada, bob):
            assert (await person.ask("GET", f"{ROOMS}/{room['id']}")).status_code == 404
        assert await stored(edge) == before


async def test_mistakes_take_no_place(tmp_path: Path, empty_database: Path) -> None:
    """Y8: whoever reads a thousand rooms that never were is forgotten with the next turn."""
    async with open_edge(tmp_path, empty_database) as edge:
        clock = [0.0]
        waiting = Refusals(as_system(edge.services.database), edge.services.now, lambda: clock[0])
        for n in range(MOST_KINDS):
            waiting.note("room.read", a_request(), somebody(1), RoomNotFound(), room_id=f"made-up-{n}")
        await waiting.write()
        waiting.note("room.delete", a_request(), somebody(1), RoomNotFound(), room_id="made-up")
        await waiting.write()
        assert refused(edge, await stored(edge)) == [("room.delete", "room_not_found", 1)]


async def test_a_token_without_the_scope_is_noted(tmp_path: Path, empty_database: Path) -> None:
    """Y8: with whose it is, wherever it is tried."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest("Ada")
        room = await ada.room()
        made = await ada.ask("POST", "/api/v1/me/tokens", json={"name": "x", "scopes": ["share"]})
        script = Person(edge.http, made.json()["token"], ada.user_id)
        for path in ("/api/v1/me", "/api/v1/me/audit", ROOMS, f"{ROOMS}/{room['id']}"):
            assert (await script.ask("GET", path)).json()["code"] == "scope_missing"
        found = await stored(edge, actor_id=ada.user_id, chain="@server")
        assert counted(edge, found) == {("sign_in.token", "scope_missing"): 3}
        found = await stored(edge, actor_id=ada.user_id, chain=room["id"])
        assert counted(edge, found) == {("room.read", "scope_missing"): 1}


async def test_a_signed_address_that_was_made_up_is_noted(tmp_path: Path, empty_database: Path) -> None:
    """Y8: by where it came from; not one that has only expired, nor half an address."""
    async with open_edge(tmp_path, empty_database) as edge:
        signer = UrlSigner(edge.services.signing_key)
        for n in range(3):
            query = {"signature": "0" * 64, "expires": "9999999999", "type": "a", "disposition": "b"}
            for method in ("GET", "PUT"):
                answer = await edge.http.request(method, f"/blobs/assets/x/{n}", params=query)
                assert answer.json()["code"] == "blob_url_refused"
        old = signer.sign("GET", "assets/x/9", {"type": "a"}, expires_s=-1)
        assert (await edge.http.get(old.url)).json()["code"] == "blob_url_expired"
        assert (await edge.http.get("/blobs/assets/x/9")).status_code == 422
        found = await stored(edge)
        assert counted(edge, found) == {
            ("asset.read", "blob_url_refused"): 3,
            ("asset.add", "blob_url_refused"): 3,
        }
        assert {(one.actor_id, one.address) for one in found} == {("", "127.0.0.1")}
        assert found[-1].target == "assets/x/2"


async def test_who_guesses_the_password_of_a_link_is_noted_in_its_room(
    tmp_path: Path, empty_database: Path
) -> None:
    """Y8, E7: for its owner to see, with the link; neither the token nor a password is in it."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, bob = await edge.guest("Ada"), await edge.guest("Bob")
        room = await ada.room(default_role="none")
        at = f"{ROOMS}/{room['id']}"
        link = (await ada.ask("POST", f"{at}/links", json={"role": "viewer", "password": "sesame"})).json()
        for password in (None, "a-guess"):
            body = {"token": link["token"], "password": password}
            answer = await bob.ask("POST", "/api/v1/links/redeem", json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "wrong_password")
        found = [one for one in await stored(edge, chain=room["id"]) if one.result == "refused"]
        assert counted(edge, found) == {("link.redeem", "wrong_password"): 2}
        assert (found[0].actor_name, found[0].target) == ("Bob", link["id"])
        listed = (await ada.ask("GET", f"{at}/audit")).text
        assert "tried to come in by a link" in listed
        assert link["token"] not in listed
        assert "a-guess" not in listed
        assert "sesame" not in listed


async def test_failed_sign_ins_are_noted_and_mistakes_are_not(tmp_path: Path, empty_database: Path) -> None:
    """Y8: a token that was ended, and renewals that are refused; not what a form got wrong, or a typo."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest("Ada")
        room = await ada.room()
        await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json={"title": ""})
        await ada.ask("GET", f"{ROOMS}/no-such-room")
        await edge.http.get("/api/v1/me")
        assert refused(edge, await stored(edge)) == []
        await ada.ask("POST", "/api/v1/auth/signout")
        for _ in range(3):
            assert (await ada.ask("GET", "/api/v1/me")).status_code == 401
        wrong = await edge.http.post("/api/v1/auth/refresh", headers={"Authorization": "Bearer nonsense"})
        assert wrong.status_code == 401
        found = await stored(edge)
        assert counted(edge, found) == {
            ("sign_in.token", "unauthenticated"): 3,
            ("sign_in.renew", "unauthenticated"): 1,
        }
        names = {(one.action, one.actor_name) for one in found if one.result == "refused"}
        assert names == {("sign_in.token", "Ada"), ("sign_in.renew", "")}


async def test_a_flood_of_sign_ins_is_one_entry(tmp_path: Path, empty_database: Path) -> None:
    """Y8: 429 of signing in, by address."""
    async with open_edge(tmp_path, empty_database, rate_limits="auth=2/60") as edge:
        for _ in range(7):
            await edge.http.post("/api/v1/auth/guest", json={"name": "Eve"})
        found = await stored(edge)
        assert counted(edge, found) == {("sign_in.guest", "rate_limited"): 5}
        # the first at once, the rest of a minute together
        assert len(refused(edge, found)) <= 2
        assert (found[-1].actor_id, found[-1].address) == ("", "127.0.0.1")


def a_request(address: str = "192.0.2.1") -> Request:
    return Request({"type": "http", "client": (address, 1), "headers": [], "state": {"request_id": "r"}})


def somebody(n: int) -> Any:
    return SimpleNamespace(user_id=f"user-{n}", name=f"User {n}")


async def test_the_first_comes_soon_and_the_rest_of_a_minute_together(
    tmp_path: Path, empty_database: Path
) -> None:
    """Y8."""
    async with open_edge(tmp_path, empty_database) as edge:
        clock = [0.0]
        waiting = Refusals(as_system(edge.services.database), edge.services.now, lambda: clock[0])

        def note(times: int = 1) -> None:
            for _ in range(times):
                waiting.note("room.change", a_request(), somebody(1), Forbidden())

        note()
        await waiting.write()
        note(1000)
        clock[0] = MERGED_S - 1
        await waiting.write()
        assert len(refused(edge, await stored(edge))) == 1
        clock[0] = MERGED_S
        await waiting.write()
        found = await stored(edge)
        assert [times for _, _, times in refused(edge, found)] == [1, 1000]
        assert orjson.loads(found[-1].details)["since"] <= found[-1].at.isoformat()
        clock[0] = 3 * MERGED_S
        await waiting.write()
        note()
        await waiting.write()
        assert [times for _, _, times in refused(edge, await stored(edge))] == [1, 1000, 1]


async def test_what_waits_is_bounded_and_what_is_more_is_counted(
    tmp_path: Path, empty_database: Path
) -> None:
    """Y8: whoever comes as ever new people fills 1,000 places, and is counted from then on."""
    async with open_edge(tmp_path, empty_database) as edge:
        waiting = Refusals(as_system(edge.services.database), edge.services.now)
        for n in range(MOST_KINDS + 50):
            waiting.note("room.delete", a_request(), somebody(n), RoomNotFound(), room_id=f"made-up-{n}")
        await waiting.write()
        found = refused(edge, await stored(edge))
        assert sum(times for _, _, times in found) == MOST_KINDS + 50
        assert (OVERFLOW, "overflow", 50) in found
        assert await check(edge) == []


async def test_a_database_that_is_away_costs_no_refusal(tmp_path: Path, empty_database: Path) -> None:
    """Y8: notes stay until they can be written, and nobody is told anything else than before."""
    async with open_edge(tmp_path, empty_database) as edge:

        class Away:
            is_away = True

            async def read(self, work: Any) -> Any:
                return await edge.database.read(work)

            async def write(self, work: Any) -> Any:
                if self.is_away:
                    raise Unavailable
                return await edge.database.write(work)

        away = Away()
        waiting = Refusals(away, edge.services.now)
        waiting.note("room.change", a_request(), somebody(1), Forbidden())
        await waiting.write()
        waiting.note("room.change", a_request(), somebody(1), Forbidden())
        away.is_away = False
        await waiting.write()
        assert refused(edge, await stored(edge)) == [("room.change", "forbidden", 2)]


async def test_it_is_written_without_being_asked(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y8: by itself within a turn, and the rest when the server stops."""
    monkeypatch.setattr(module, "TURN_S", 0.02)
    async with open_edge(tmp_path, empty_database) as edge:
        bob = await edge.guest("Bob")
        await bob.ask("GET", "/api/v1/admin/jobs")
        async with asyncio.timeout(120):
            while ("admin.read", "refused") not in await _written(edge):
                await asyncio.sleep(0.02)
        await bob.ask("GET", "/api/v1/admin/jobs")
    async with open_edge(tmp_path, empty_database) as edge:
        assert (await told(edge)).count(("admin.read", "refused")) == 2
        assert await check(edge) == []


async def _written(edge: Edge) -> list[tuple[str, str]]:
    from db.audit import Wanted, list_entries

    def read(connection: Connection) -> list[tuple[str, str]]:
        return [(one.action, one.result) for one in list_entries(connection, Wanted(), limit=50)]

    return await edge.database.read(read)


async def test_an_operator_sees_them(tmp_path: Path, empty_database: Path) -> None:
    """Y8, Y5."""
    async with open_edge(tmp_path, empty_database) as edge:
        bob = await edge.guest("Bob")
        await bob.ask("GET", "/api/v1/admin/jobs")
        await edge.services.refusals.write()
        answer = await operator(edge).ask("GET", "/api/v1/admin/audit?action=admin.read")
        [one] = answer.json()["items"]
        assert (one["actor"]["name"], one["result"], one["address"]) == ("Bob", "refused", "127.0.0.1")
        assert one["words"] == "tried to look at the operator's pages"
