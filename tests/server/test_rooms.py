"""Rooms over HTTP: life, listing, permissions, conditions, repetition."""

import asyncio
import base64
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from party.policy import ACTIONS
from party.ports import Principal
from server.services import TRASH_KEPT, clean_up
from tests.party.peers import Wire
from tests.server.edge import ROOMS, Person, field_names, open_edge

LONG_ID = "a" + "-" * 63


async def titles(person: Person, **params: str | int) -> list[str]:
    """The titles of the first page."""
    answer = await person.ask("GET", ROOMS, params=params)
    assert answer.status_code == 200, answer.text
    return [room["title"] for room in answer.json()["items"]]


async def test_a_room_is_made_with_nothing_said(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        answer = await ada.ask("POST", ROOMS, json={})
        room = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"{ROOMS}/{room['id']}"
        assert answer.headers["etag"] == '"1"'
        assert room == {
            "id": room["id"],
            "title": "Untitled",
            "visibility": "unlisted",
            "schema": "canvas",
            "epoch": 1,
            "created_at": room["created_at"],
            "updated_at": room["created_at"],
            "deleted_at": None,
            "purge_at": None,
            "creator": {"id": ada.user_id, "name": "Ada"},
            "role": "owner",
            "may": list(ACTIONS),
            "default_role": "editor",
            "shows_viewers": True,
            "participant_count": 0,
            "participants": [],
        }
        assert datetime.fromisoformat(room["created_at"]).tzinfo is not None
        assert (await ada.ask("GET", answer.headers["location"])).json() == room


@pytest.mark.parametrize("room_id", ["abc", "0_-", LONG_ID])
async def test_an_id_may_be_chosen_once(tmp_path: Path, empty_database: Path, room_id: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        assert (await ada.room(id=room_id))["id"] == room_id
        taken = await ben.ask("POST", ROOMS, json={"id": room_id})
        assert (taken.status_code, taken.json()["code"]) == (409, "conflict")


async def test_all_wrong_fields_are_named(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        wrong = {"title": "\n", "visibility": "secret", "schema": 1, "id": "No", "colour": "red"}
        answer = await ada.ask("POST", ROOMS, json=wrong, headers={"Idempotency-Key": "a b"})
        assert sorted(field_names(answer)) == [
            "/colour",
            "/id",
            "/schema",
            "/title",
            "/visibility",
            "Idempotency-Key",
        ]
        answer = await ada.ask(
            "GET", ROOMS, params={"scope": "all", "limit": "1_0", "q": "\x00", "page": "2"}
        )
        assert sorted(field_names(answer)) == ["limit", "page", "q", "scope"]
        answer = await ada.ask("GET", f"{ROOMS}?limit=1&limit=2")
        assert field_names(answer) == ["limit"]


@pytest.mark.parametrize("limit", ["0", "51", "-1", "1e1", "٣", " 1", "9" * 5000])
async def test_wrong_limits_are_refused(tmp_path: Path, empty_database: Path, limit: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        assert field_names(await ada.ask("GET", ROOMS, params={"limit": limit})) == ["limit"]


async def test_unlisted_rooms_are_never_listed_for_others(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        hidden = await ada.room(title="Hidden")
        await ada.room(title="Open", visibility="public")
        for scope in ("public", "mine", "trash"):
            assert "Hidden" not in await titles(ben, scope=scope)
        assert await titles(ben) == ["Open"]
        assert await titles(ada, scope="mine") == ["Open", "Hidden"]
        # the id is the capability
        seen = await ben.ask("GET", f"{ROOMS}/{hidden['id']}")
        assert (seen.status_code, seen.json()["role"]) == (200, "editor")


async def test_pages_follow_each_other_without_gap_or_repetition(
    tmp_path: Path, empty_database: Path
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        made = [(await ada.room(title=f"Room {n}", visibility="public"))["id"] for n in range(7)]
        seen: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = (await ada.ask("GET", ROOMS, params=params)).json()
            seen += [room["id"] for room in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
            await ada.room(title="Newer", visibility="public")  # what comes meanwhile moves nothing
        assert seen == made[::-1]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"[1]",
        b'["x","abc"]',
        b'[1,"NO"]',
        b"[1,2]",
        b'[1e400,"abc"]',
        b'[99999999999999999999,"abc"]',
        b'[-9223372036854775808,"abc"]',
        b'[null,"abc"]',
        b"[[[[",
        b"\xff",
    ],
)
async def test_a_foreign_cursor_is_a_wrong_field(tmp_path: Path, empty_database: Path, raw: bytes) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        for cursor in (base64.urlsafe_b64encode(raw).decode(), raw.decode("latin-1")):
            answer = await ada.ask("GET", ROOMS, params={"cursor": cursor})
            assert field_names(answer) == ["cursor"]


async def test_search_is_for_letters_in_any_case(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        for title in ("Floor plan", "100% done", "ÜBER", "under_score"):
            await ada.room(title=title)
        assert await titles(ada, scope="mine", q="PLAN") == ["Floor plan"]
        assert await titles(ada, scope="mine", q="%") == ["100% done"]
        assert await titles(ada, scope="mine", q="r_s") == ["under_score"]
        assert await titles(ada, scope="mine", q="über") == ["ÜBER"]
        assert len(await titles(ada, scope="mine", q="")) == 4


async def test_only_the_owner_changes_a_room(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        at = f"{ROOMS}/{(await ada.room())['id']}"
        for method, path, body in [("PATCH", at, {"title": "Mine"}), ("DELETE", at, None)]:
            answer = await ben.ask(method, path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        changed = await ada.ask("PATCH", at, json={"title": "Better", "visibility": "public"})
        assert (changed.json()["title"], changed.json()["visibility"]) == ("Better", "public")
        assert changed.headers["etag"] == '"2"'
        # nothing to change changes nothing
        same = await ada.ask("PATCH", at, json={"title": None})
        assert (same.status_code, same.headers["etag"]) == (200, '"2"')
        assert (await edge.http.get(at)).status_code == 401


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('"1"', 200),
        ("*", 200),
        ('"0", "1"', 200),
        ('W/"1"', 412),
        ('"2"', 412),
        ("1", 422),
        ('"1', 422),
        ('"1" "2"', 422),
        ("", 422),
        (", " * 3000, 422),
        ('"1",' * 500, 422),
        ('"1"é', 422),
    ],
)
async def test_if_match(tmp_path: Path, empty_database: Path, header: str, status: int) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        at = f"{ROOMS}/{(await ada.room())['id']}"
        sent = header.encode("latin-1")
        answer = await ada.ask("PATCH", at, json={"title": "New"}, headers={"If-Match": sent})
        assert answer.status_code == status, answer.text
        assert (await ada.ask("GET", at)).headers["etag"] == ('"2"' if status == 200 else '"1"')


async def test_of_two_who_change_the_same_one_is_told(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        at = f"{ROOMS}/{(await ada.room())['id']}"
        answers = await asyncio.gather(
            *(ada.ask("PATCH", at, json={"title": f"T{n}"}, headers={"If-Match": '"1"'}) for n in range(8))
        )
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7


async def test_the_trash_gives_back_what_it_holds(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        at = f"{ROOMS}/{(await ada.room(title='Old', visibility='public'))['id']}"
        assert (await ada.ask("DELETE", at, headers={"If-Match": '"9"'})).status_code == 412
        gone = await ada.ask("DELETE", at)
        assert (gone.status_code, gone.content) == (204, b"")
        for method, path in [("GET", at), ("DELETE", at), ("GET", f"{at}/participants")]:
            answer = await ada.ask(method, path)
            assert (answer.status_code, answer.json()["code"]) == (404, "room_not_found")
        assert await titles(ada) == []
        trashed = (await ada.ask("GET", ROOMS, params={"scope": "trash"})).json()["items"][0]
        kept = datetime.fromisoformat(trashed["purge_at"]) - datetime.fromisoformat(trashed["deleted_at"])
        assert kept == timedelta(days=30)
        assert await titles(ben, scope="trash") == []
        # in the trash it is there for nobody else, whatever they might do in it before (G3)
        for method, path in (("POST", "/restore"), ("GET", "/audit"), ("GET", "/audit/export")):
            answer = await ben.ask(method, at + path)
            assert (answer.status_code, answer.json()["code"]) == (404, "room_not_found"), path
        back = await ada.ask("POST", f"{at}/restore")
        assert (back.status_code, back.json()["deleted_at"], back.json()["title"]) == (200, None, "Old")
        assert (await ada.ask("POST", f"{at}/restore")).headers["etag"] == back.headers["etag"]
        assert await titles(ben) == ["Old"]


async def test_the_trash_is_emptied_after_thirty_days(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room(title="Old")
        kept = await ada.room(title="Kept")
        at = f"{ROOMS}/{room['id']}"
        await ada.ask("DELETE", at)
        now = edge.services.now()
        monkeypatch.setattr(
            type(edge.services), "now", staticmethod(lambda: now + TRASH_KEPT - timedelta(hours=1))
        )
        await clean_up(edge.services)
        assert len((await ada.ask("GET", f"{ROOMS}?scope=trash")).json()["items"]) == 1
        monkeypatch.setattr(
            type(edge.services), "now", staticmethod(lambda: now + TRASH_KEPT + timedelta(hours=1))
        )
        await clean_up(edge.services)
        assert (await ada.ask("POST", f"{at}/restore")).status_code == 404
        assert (await ada.ask("GET", f"{ROOMS}/{kept['id']}")).status_code == 200


async def test_a_repeated_request_makes_one_room(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        key = {"Idempotency-Key": "first-room"}
        first = await ada.ask("POST", ROOMS, json={"title": "One"}, headers=key)
        again = await ada.ask("POST", ROOMS, json={"title": "One"}, headers=key)
        assert (again.status_code, again.content) == (201, first.content)
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["etag"] == first.headers["etag"]
        assert again.headers["location"] == first.headers["location"]
        other = await ada.ask("POST", ROOMS, json={"title": "Two"}, headers=key)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
        # a key is its owner's alone
        bens = await ben.ask("POST", ROOMS, json={"title": "One"}, headers=key)
        assert bens.json()["id"] != first.json()["id"]
        assert len(await titles(ada, scope="mine")) == 1


async def test_the_same_key_many_times_at_once(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        key = {"Idempotency-Key": "k"}
        answers = await asyncio.gather(
            *(ada.ask("POST", ROOMS, json={"title": "One"}, headers=key) for _ in range(12))
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(await titles(ada, scope="mine")) == 1


async def test_a_refused_request_leaves_its_key_free(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        await ada.room(id="taken")
        key = {"Idempotency-Key": "k"}
        assert (await ada.ask("POST", ROOMS, json={"id": "taken"}, headers=key)).status_code == 409
        assert (await ada.ask("POST", ROOMS, json={"id": "free"}, headers=key)).status_code == 201


async def test_a_listing_shows_who_is_in(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room(visibility="public")
        here = [Principal(f"u{n}", f"Person {n}") for n in range(10)]
        seats = [await edge.services.hub.join(room["id"], one, Wire()) for one in [*here, here[0]]]
        shown = (await ada.ask("GET", ROOMS)).json()["items"][0]
        assert shown["participant_count"] == 10
        assert shown["participants"] == [{"id": f"u{n}", "name": f"Person {n}"} for n in range(8)]
        for seat in seats:
            seat.leave()
        assert (await ada.ask("GET", f"{ROOMS}/{room['id']}")).json()["participant_count"] == 0


async def test_deleting_sends_everybody_out(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room()
        wire = Wire()
        await edge.services.hub.join(room["id"], Principal("u2", "Ben"), wire)
        await ada.ask("DELETE", f"{ROOMS}/{room['id']}")
        assert wire.closed is not None
        assert wire.closed[0] == 4404


async def test_participants_are_remembered(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        at = f"{ROOMS}/{(await ada.room())['id']}"
        told = (await ada.ask("GET", f"{at}/participants")).json()
        assert told["next_cursor"] is None
        (owner,) = told["items"]
        assert owner["user"] == {"id": ada.user_id, "name": "Ada"}
        assert (owner["role"], owner["present"]) == ("owner", False)


async def test_an_operators_token_makes_rooms_too(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        bot = Person(edge.http, edge.services.tokens.issue("bot", "Bot").token, "bot")
        assert (await bot.room())["creator"] == {"id": "bot", "name": "Bot"}


@pytest.mark.parametrize("room_id", ["No", "ab", "a" * 65, "%00", "%ff", "..", "a%2Fb", "%F0%9F%8E%A8"])
async def test_what_can_be_no_room_is_not_found(tmp_path: Path, empty_database: Path, room_id: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        answer = await ada.ask("GET", f"{ROOMS}/{room_id}")
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/problem+json"
