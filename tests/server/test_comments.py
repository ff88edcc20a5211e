"""Comments over HTTP: who may write, what is told of changes, mentions, what is unread, limits."""

import asyncio
import re
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import PydanticCustomError
from sqlalchemy import select, update

from db import comments as stored
from db.adoption import adopt
from db.rooms import record_participant
from db.tables import audit_events, comment_threads, comments, room_members, rooms
from db.users import put_user
from server.comments import routes
from server.services import REMOVED_THREADS_KEPT, clean_up
from server.text import REMARK_PATTERN, check_remark
from tests.server.edge import ROOMS, Edge, Person, field_names, open_edge

NOBODY = "0" * 26


class Board:
    """A room and what its people do with its comments."""

    def __init__(self, edge: Edge, room_id: str) -> None:
        self.edge = edge
        self.room_id = room_id
        self.path = f"{ROOMS}/{room_id}/comments"

    async def begin(self, person: Person, body: str = "Look", **fields: Any) -> dict[str, Any]:
        place = {} if "element_id" in fields else {"x": 10, "y": 20}
        made = await person.ask("POST", self.path, json=place | {"body": body} | fields)
        assert made.status_code == 201, made.text
        thread: dict[str, Any] = made.json()
        return thread

    async def reply(self, person: Person, thread: dict[str, Any], body: str, **fields: Any) -> dict[str, Any]:
        made = await person.ask("POST", f"{self.path}/{thread['id']}/replies", json={"body": body} | fields)
        assert made.status_code == 201, made.text
        changed: dict[str, Any] = made.json()
        return changed

    async def list(self, person: Person, **params: Any) -> dict[str, Any]:
        answer = await person.ask("GET", self.path, params=params)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        return page

    async def come(self, person: Person, name: str, role: str | None = None) -> None:
        """Be noted as somebody who was in the room; with a role, be a member of it."""
        now = self.edge.services.now()

        def put(conn: Any) -> None:
            put_user(conn, person.user_id, name, now)
            record_participant(conn, self.room_id, person.user_id, now)
            if role is not None:
                conn.execute(
                    room_members.insert().values(
                        room_id=self.room_id,
                        user_id=person.user_id,
                        role=role,
                        room_created_at=now,
                        created_at=now,
                    )
                )

        await self.edge.database.write(put)

    async def let_in(self, default_role: str) -> None:
        await self.edge.database.write(
            lambda conn: conn.execute(
                update(rooms).where(rooms.c.id == self.room_id).values(default_role=default_role)
            )
        )


async def board_of(edge: Edge, person: Person, **fields: Any) -> Board:
    return Board(edge, (await person.room(**fields))["id"])


async def test_a_thread_from_its_begin_to_its_end(tmp_path: Path, empty_database: Path) -> None:
    """X1: begun, answered, resolved, opened by a reply, changed, removed comment by comment."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        board = await board_of(edge, ada)
        thread = await board.begin(ada, "  Bigger,\nplease  ", element_id="r1", x=1, y=2.5)
        at = thread["created_at"]
        assert thread == {
            "id": thread["id"],
            "x": 1.0,
            "y": 2.5,
            "element_id": "r1",
            "created_by": {"id": ada.user_id, "name": "Ada"},
            "created_at": at,
            "updated_at": at,
            "resolved_at": None,
            "resolved_by": None,
            "is_deleted": False,
            "revision": 1,
            "read_at": at,
            "is_unread": False,
            "comments": [
                {
                    "id": thread["comments"][0]["id"],
                    "author": {"id": ada.user_id, "name": "Ada"},
                    "body": "Bigger,\nplease",
                    "created_at": at,
                    "edited_at": None,
                    "mentions": [],
                }
            ],
        }
        path = f"{board.path}/{thread['id']}"
        resolved = (await ben.ask("PATCH", path, json={"resolved": True})).json()
        assert resolved["resolved_by"] == {"id": ben.user_id, "name": "Ben"}
        assert [one["id"] for one in (await board.list(ada, state="resolved"))["items"]] == [thread["id"]]
        assert (await board.list(ada, state="open"))["items"] == []
        again = await board.reply(ben, thread, "Done?")
        assert (again["resolved_at"], again["revision"]) == (None, 3)
        assert [one["body"] for one in again["comments"]] == ["Bigger,\nplease", "Done?"]
        reply = f"{path}/replies/{again['comments'][1]['id']}"
        assert (await ada.ask("PATCH", reply, json={"body": "No"})).status_code == 403
        changed = (await ben.ask("PATCH", reply, json={"body": "Done!"})).json()
        assert changed["comments"][1]["body"] == "Done!"
        assert changed["comments"][1]["edited_at"] is not None
        assert (await ben.ask("DELETE", reply)).status_code == 204
        assert len((await board.list(ben))["items"][0]["comments"]) == 1
        assert (await ben.ask("DELETE", reply)).json()["code"] == "comment_not_found"
        first = f"{path}/replies/{thread['comments'][0]['id']}"
        assert (await ben.ask("DELETE", first)).status_code == 403
        assert (await ada.ask("DELETE", first)).status_code == 204
        assert (await board.list(ada))["items"] == []
        gone = (await board.list(ada, since=5))["items"]
        assert [(one["id"], one["is_deleted"], one["comments"]) for one in gone] == [(thread["id"], True, [])]
        assert (await ada.ask("PATCH", path, json={"resolved": True})).json()["code"] == "thread_not_found"

        def read(conn: Any) -> tuple[list[str], list[str]]:
            kept = [row.body for row in conn.execute(select(comments.c.body))]
            done = select(audit_events.c.action).where(
                audit_events.c.chain == board.room_id, audit_events.c.result == "done"
            )
            told = list(conn.execute(done.order_by(audit_events.c.seq)).scalars())
            return kept, told

        kept, told = await edge.database.read(read)
        assert kept == ["", ""]
        assert told == [
            "room.create",
            "comment.create",
            "comment.change",
            "comment.reply",
            "comment.edit",
            "comment.delete",
            "comment.delete",
        ]


@pytest.mark.parametrize(
    ("role", "reads", "writes", "moderates"),
    [
        (None, 404, 404, 404),
        ("viewer", 200, 403, 403),
        ("commenter", 200, 201, 403),
        ("editor", 200, 201, 403),
        ("owner", 200, 201, 204),
        ("operator", 200, 403, 204),
    ],
)
async def test_who_may_what(
    tmp_path: Path, empty_database: Path, role: str | None, reads: int, writes: int, moderates: int
) -> None:
    """X1: each role, and the operator, in a room where only members get in."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, other = await edge.guest(), await edge.guest("Otto")
        board = await board_of(edge, ada)
        thread = await board.begin(ada)
        await board.let_in("none")
        person = ada if role == "owner" else other
        if role == "operator":
            token = edge.services.tokens.issue("op", "Op", is_admin=True).token
            person = Person(edge.http, token, "op")
        elif role not in (None, "owner"):
            await board.come(other, "Otto", role)
        path, first = f"{board.path}/{thread['id']}", thread["comments"][0]["id"]
        changed = 200 if writes == 201 else writes
        asked: list[tuple[str, str, Any, int]] = [
            ("GET", board.path, None, reads),
            ("POST", f"{path}/read", {"comment_id": first}, 204 if reads == 200 else reads),
            ("GET", f"{board.path}/people", None, changed),
            ("POST", board.path, {"x": 0, "y": 0, "body": "a"}, writes),
            ("POST", f"{path}/replies", {"body": "b"}, writes),
            ("PATCH", path, {"resolved": True}, changed),
            ("PATCH", path, {"x": 1, "y": 1}, changed if role == "owner" else 404 if role is None else 403),
            ("DELETE", f"{path}/replies/{first}", None, moderates),
            ("DELETE", path, None, 404 if moderates == 204 and writes != 201 else moderates),
        ]
        for method, address, body, status in asked:
            answer = await person.ask(method, address, **({} if body is None else {"json": body}))
            assert answer.status_code == status, (method, address, answer.text)


async def test_what_changed_since_comes_page_by_page(tmp_path: Path, empty_database: Path) -> None:
    """X2: nothing is missed that changes between two pages; a removal is told."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board = await board_of(edge, ada)
        made = [await board.begin(ada, f"t{number}") for number in range(5)]
        page = await board.list(ada, limit=2)
        assert [one["id"] for one in page["items"]] == [made[0]["id"], made[1]["id"]]
        assert page["revision"] == 2
        await board.reply(ada, made[0], "again")
        assert (await ada.ask("DELETE", f"{board.path}/{made[1]['id']}")).status_code == 204
        seen = {one["id"]: one for one in page["items"]}
        while page["next_cursor"]:
            page = await board.list(ada, limit=2, cursor=page["next_cursor"])
            seen |= {one["id"]: one for one in page["items"]}
        assert page["revision"] == 7
        assert len(seen) == 5
        assert len(seen[made[0]["id"]]["comments"]) == 2
        assert seen[made[1]["id"]]["is_deleted"]
        nothing = await board.list(ada, since=7)
        assert (nothing["items"], nothing["revision"], nothing["next_cursor"]) == ([], 7, None)
        assert field_names(await ada.ask("GET", board.path, params={"since": -1})) == ["since"]


async def test_a_page_ends_where_it_has_enough_comments(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X2: however long threads are, one comes at least."""
    monkeypatch.setattr(stored, "PAGE_COMMENTS", 3)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board = await board_of(edge, ada)
        threads = [await board.begin(ada) for _ in range(3)]
        for number in range(4):
            await board.reply(ada, threads[1], f"{number}")
        sizes = []
        cursor: dict[str, str] = {}
        while True:
            page = await board.list(ada, **cursor)
            sizes.append([len(one["comments"]) for one in page["items"]])
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert sizes == [[1, 1], [5]]


async def test_many_at_once_take_each_a_revision(tmp_path: Path, empty_database: Path) -> None:
    """X2 X4: revisions without a gap, times that grow."""
    async with open_edge(tmp_path, empty_database) as edge:
        people = [await edge.guest(f"P{number}") for number in range(4)]
        board = await board_of(edge, people[0])
        thread = await board.begin(people[0])
        made = await asyncio.gather(
            *(board.begin(one) for one in people), *(board.reply(one, thread, "x") for one in people)
        )
        assert sorted(one["revision"] for one in made) == list(range(2, 10))
        found = (await board.list(people[0], since=0))["items"]
        times = next([c["created_at"] for c in one["comments"]] for one in found if one["id"] == thread["id"])
        assert len(times) == 5
        assert times == sorted(set(times))


async def test_mentions_are_of_people_who_may_see(tmp_path: Path, empty_database: Path) -> None:
    """X3: strangers and nobody are refused alike; who may no longer see is shown nothing."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        board = await board_of(edge, ada)
        await board.come(ben, "Ben")
        refused = []
        for mentioned in (eve.user_id, "nobody-at-all"):
            asked = {"x": 1, "y": 1, "body": "@Eve", "mentions": [ben.user_id, mentioned]}
            answer = await ada.ask("POST", board.path, json=asked)
            assert field_names(answer) == ["/mentions/1"]
            refused.append([one["message"] for one in answer.json()["errors"]])
        assert refused[0] == refused[1]
        thread = await board.begin(ada, "@Ben look", mentions=[ben.user_id, ben.user_id])
        comment = thread["comments"][0]
        assert comment["mentions"] == [ben.user_id]
        told = (await ben.ask("GET", "/api/v1/me/mentions")).json()
        assert told == {
            "items": [
                {
                    "room": {"id": board.room_id, "title": "Untitled"},
                    "thread_id": thread["id"],
                    "comment": comment,
                    "is_unread": True,
                }
            ],
            "next_cursor": None,
        }
        people = (await ada.ask("GET", f"{board.path}/people", params={"q": "BE"})).json()["items"]
        assert people == [{"id": ben.user_id, "name": "Ben"}]
        await board.let_in("none")
        assert (await ben.ask("GET", "/api/v1/me/mentions")).json()["items"] == []
        asked = {"body": "@Ben", "mentions": [ben.user_id]}
        assert field_names(await ada.ask("POST", f"{board.path}/{thread['id']}/replies", json=asked)) == [
            "/mentions/0"
        ]
        # whom it mentions already may stay
        mine = f"{board.path}/{thread['id']}/replies/{comment['id']}"
        kept = (await ada.ask("PATCH", mine, json={"body": "@Ben!", "mentions": [ben.user_id]})).json()
        assert kept["comments"][0]["mentions"] == [ben.user_id]
        await board.come(eve, "Eve", "viewer")
        assert len((await board.begin(ada, mentions=[eve.user_id]))["comments"][0]["mentions"]) == 1
        # where viewers are not shown they are not offered either
        await edge.database.write(
            lambda conn: conn.execute(
                update(rooms).where(rooms.c.id == board.room_id).values(shows_viewers=False)
            )
        )
        people = (await ada.ask("GET", f"{board.path}/people")).json()["items"]
        assert people == [{"id": ada.user_id, "name": "Ada"}]


async def test_mentions_come_in_pages(tmp_path: Path, empty_database: Path) -> None:
    """X3: newest first, each once, none of a removed comment."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board = await board_of(edge, ada)
        await board.come(ada, "Ada")
        made = [await board.begin(ada, f"t{n}", mentions=[ada.user_id]) for n in range(4)]
        assert (await ada.ask("DELETE", f"{board.path}/{made[2]['id']}")).status_code == 204
        found: list[str] = []
        params: dict[str, Any] = {"limit": 2}
        while True:
            page = (await ada.ask("GET", "/api/v1/me/mentions", params=params)).json()
            found += [one["comment"]["body"] for one in page["items"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]
        assert found == ["t3", "t1", "t0"]


async def test_unread_is_what_others_wrote_after_what_was_seen(tmp_path: Path, empty_database: Path) -> None:
    """X4: each for themselves; seeing an older comment takes nothing back."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        board = await board_of(edge, ada)
        thread = await board.begin(ada)
        assert (await board.list(ben))["items"][0]["is_unread"]
        path = f"{board.path}/{thread['id']}/read"
        first = thread["comments"][0]["id"]
        second = (await board.reply(ada, thread, "more"))["comments"][1]["id"]
        assert (await ben.ask("POST", path, json={"comment_id": first})).status_code == 204
        assert (await board.list(ben))["items"][0]["is_unread"]
        for seen in (second, first):
            assert (await ben.ask("POST", path, json={"comment_id": seen})).status_code == 204
        assert not (await board.list(ben))["items"][0]["is_unread"]
        assert (await ben.ask("POST", path, json={"comment_id": NOBODY})).status_code == 404
        await board.reply(ben, thread, "I see")
        assert (await board.list(ada))["items"][0]["is_unread"]
        assert not (await board.list(ben))["items"][0]["is_unread"]


async def test_the_same_key_writes_once(tmp_path: Path, empty_database: Path) -> None:
    """X7: a repeated begin and a repeated reply."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board = await board_of(edge, ada)
        body = {"x": 1, "y": 1, "body": "once"}
        made = [await ada.ask("POST", board.path, {"Idempotency-Key": "k1"}, json=body) for _ in range(2)]
        assert made[0].json() == made[1].json()
        assert made[1].headers["idempotency-replayed"] == "true"
        replies = f"{board.path}/{made[0].json()['id']}/replies"
        for _ in range(2):
            answer = await ada.ask("POST", replies, {"Idempotency-Key": "k2"}, json={"body": "r"})
            assert answer.status_code == 201
        other = await ada.ask("POST", replies, {"Idempotency-Key": "k2"}, json={"body": "other"})
        assert other.json()["code"] == "idempotency_conflict"
        assert [len(one["comments"]) for one in (await board.list(ada))["items"]] == [2]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"x": 1, "body": "a"}, "/x"),
    ({"body": "a"}, "/x"),
    ({"x": 1e12, "y": 1, "body": "a"}, "/x"),
    ({"x": 1, "y": 1, "body": " \n "}, "/body"),
    ({"x": 1, "y": 1, "body": "a\0"}, "/body"),
    ({"x": 1, "y": 1, "body": "a\u202eb"}, "/body"),
    ({"x": 1, "y": 1, "body": "a" * 4001}, "/body"),
    ({"x": 1, "y": 1, "body": "a", "author": "eve"}, "/author"),
    ({"x": 1, "y": 1, "body": "a", "mentions": ["u"] * 21}, "/mentions"),
    ({"element_id": "", "body": "a"}, "/element_id"),
]


async def test_wrong_fields_are_named(tmp_path: Path, empty_database: Path) -> None:
    """X7."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board = await board_of(edge, ada)
        for wrong, field in WRONG:
            assert field_names(await ada.ask("POST", board.path, json=wrong)) == [field], wrong
        assert (await board.list(ada))["items"] == []


def test_what_a_comment_may_hold_is_what_the_schema_says() -> None:
    """X7: the two searches accept what the one pattern of the documentation accepts."""
    pattern = re.compile(REMARK_PATTERN.removesuffix("$") + r"\Z")
    for code in [*range(0x250), *range(0x2000, 0x2100), 0x3000, 0x3164, 0xFEFF, 0xFFA0, 0x1F3A8]:
        for text in (chr(code), f"a{chr(code)}", f"{chr(code)}\n"):
            try:
                check_remark(text)
                is_taken = True
            except PydanticCustomError:
                is_taken = False
            assert is_taken == bool(pattern.match(text)), (hex(code), text)


async def test_a_room_and_a_thread_are_full_at_last(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X7: with words; what was removed a month ago makes room, its revision is not taken again."""
    monkeypatch.setattr(routes, "MAX_THREADS", 2)
    monkeypatch.setattr(routes, "MAX_REPLIES", 2)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board = await board_of(edge, ada)
        threads = [await board.begin(ada) for _ in range(2)]
        await board.reply(ada, threads[0], "b")
        for path in (board.path, f"{board.path}/{threads[0]['id']}/replies"):
            asked = {"body": "c"} | ({"x": 1, "y": 1} if path == board.path else {})
            answer = await ada.ask("POST", path, json=asked)
            assert (answer.status_code, answer.json()["code"]) == (409, "comments_full")
        for thread in threads:
            assert (await ada.ask("DELETE", f"{board.path}/{thread['id']}")).status_code == 204
        long_ago = edge.services.now() - REMOVED_THREADS_KEPT - timedelta(hours=1)
        await edge.database.write(
            lambda conn: conn.execute(update(comment_threads).values(deleted_at=long_ago))
        )
        await clean_up(edge.services)
        assert (await board.begin(ada))["revision"] == 6


async def test_a_thread_is_moved_by_who_began_it(tmp_path: Path, empty_database: Path) -> None:
    """X1: and by the owner; it stays somewhere."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        board = await board_of(edge, ada)
        thread = await board.begin(ben, element_id="r1")
        path = f"{board.path}/{thread['id']}"
        assert field_names(await ben.ask("PATCH", path, json={"element_id": None})) == ["/element_id"]
        assert field_names(await ben.ask("PATCH", path, json={"x": 1})) == ["/x"]
        assert (await eve.ask("PATCH", path, json={"x": 1, "y": 2})).status_code == 403
        moved = (await ben.ask("PATCH", path, json={"x": 1, "y": 2})).json()
        assert (moved["x"], moved["y"], moved["element_id"]) == (1, 2, "r1")
        moved = (await ada.ask("PATCH", path, json={"element_id": None})).json()
        assert (moved["x"], moved["y"], moved["element_id"]) == (1, 2, None)
        # nothing to change is no change
        assert (await ben.ask("PATCH", path, json={})).json()["revision"] == moved["revision"]


async def test_ids_of_other_rooms_name_nothing(tmp_path: Path, empty_database: Path) -> None:
    """X1: a thread of another room, a comment of another thread, a room in the trash."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board, other = await board_of(edge, ada), await board_of(edge, ada)
        one, two = await board.begin(ada), await board.begin(ada)
        foreign = await other.begin(ada)
        for method, path, body, code in (
            ("PATCH", f"{board.path}/{foreign['id']}", {"resolved": True}, "thread_not_found"),
            ("POST", f"{board.path}/{foreign['id']}/replies", {"body": "x"}, "thread_not_found"),
            (
                "DELETE",
                f"{board.path}/{one['id']}/replies/{two['comments'][0]['id']}",
                None,
                "comment_not_found",
            ),
            ("DELETE", f"{board.path}/{NOBODY}", None, "thread_not_found"),
            ("DELETE", f"{board.path}/nonsense", None, "thread_not_found"),
        ):
            answer = await ada.ask(method, path, **({} if body is None else {"json": body}))
            assert (answer.status_code, answer.json()["code"]) == (404, code), path
        await ada.ask("DELETE", f"{ROOMS}/{board.room_id}")
        assert (await ada.ask("GET", board.path)).json()["code"] == "room_not_found"


async def test_comments_outlive_the_past_of_the_canvas(tmp_path: Path, empty_database: Path) -> None:
    """X8: another epoch takes nothing; the end of the room takes all."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        board = await board_of(edge, ada)
        await board.begin(ada, element_id="r1", x=1, y=2)
        await edge.database.write(lambda conn: conn.execute(update(rooms).values(epoch=2)))
        assert len((await board.list(ada))["items"]) == 1
        await ada.ask("DELETE", f"{ROOMS}/{board.room_id}")
        past = edge.services.now() - timedelta(days=31)
        await edge.database.write(lambda conn: conn.execute(update(rooms).values(deleted_at=past)))
        await clean_up(edge.services)
        left = await edge.database.read(lambda conn: conn.execute(select(comments)).all())
        assert left == []


async def test_a_guests_comments_are_the_accounts(tmp_path: Path, empty_database: Path) -> None:
    """X8: written, resolved, read, mentioned; where both were mentioned, once."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, guest, account = await edge.guest(), await edge.guest("Guest"), await edge.guest("Account")
        board = await board_of(edge, ada)
        await board.come(guest, "Guest")
        await board.come(account, "Account")
        mine = await board.begin(guest)
        theirs = await board.begin(ada, mentions=[guest.user_id, account.user_id])
        await guest.ask("PATCH", f"{board.path}/{theirs['id']}", json={"resolved": True})
        moved = partial(adopt, guest_id=guest.user_id, account_id=account.user_id, now=edge.services.now())
        assert await edge.database.write(moved)
        found = {one["id"]: one for one in (await board.list(account))["items"]}
        assert found[mine["id"]]["created_by"]["id"] == account.user_id
        assert found[mine["id"]]["comments"][0]["author"]["id"] == account.user_id
        assert found[theirs["id"]]["resolved_by"]["id"] == account.user_id
        assert found[theirs["id"]]["comments"][0]["mentions"] == [account.user_id]
        assert not any(one["is_unread"] for one in found.values())
        left = (await board.list(guest))["items"]
        assert all(one["read_at"] is None for one in left)
