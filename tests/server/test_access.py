"""Who gets into a room and as what, over HTTP and by socket; and what happens when that changes meanwhile."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, delete

from db.access import touch_access
from db.database import open_database
from db.queue import enqueue, find_job
from db.rooms import update_room
from db.scopes import Transactions, as_system
from db.tables import room_members
from db.users import put_user
from party import wire
from party.errors import Forbidden, RoomNotFound, Unavailable
from party.hub import Hub, open_hub
from party.limits import Limits
from party.ports import Principal, Role
from party.room import REMOVED
from server import access
from server.access import RoleKeeper
from server.auth import Identity, Tokens
from server.identity.signal import encode_role
from server.jobs.base import GiveUp, JobCall
from server.reporter import Reporter
from tests.backends.valkey import open_valkey
from tests.db.conftest import make_room
from tests.drawings import drawing
from tests.party.peers import Peer, TestJournal, Wire
from tests.server.edge import ROOMS, Edge, Person, copy_database, open_edge
from tests.server.redis.hearing import until
from tests.server.test_counted_together import open_two

T = TypeVar("T")
BINARY = {"Content-Type": "application/octet-stream"}
UPDATE = drawing(1)[0]


def put_role(conn: Connection, room_id: str, user_id: str, role: Role | None, now: datetime) -> None:
    """As another process would: nobody is told."""
    conn.execute(
        delete(room_members).where(room_members.c.room_id == room_id, room_members.c.user_id == user_id)
    )
    if role is not None:
        conn.execute(
            room_members.insert().values(
                room_id=room_id, user_id=user_id, role=role, room_created_at=now, created_at=now
            )
        )
    touch_access(conn, room_id, now)


async def set_role(edge: Edge, room_id: str, person: Person, role: Role | None) -> None:
    now = edge.services.now()
    await edge.database.write(lambda conn: put_role(conn, room_id, person.user_id, role, now))


def operator(edge: Edge) -> Person:
    token = Tokens(edge.services.signing_key, ttl_s=600).issue("op", "Operator", is_admin=True).token
    return Person(edge.http, token, "op")


async def sit(edge: Edge, room_id: str, person: Person) -> Peer:
    """Take a seat as the socket's door does, with a client of our own behind it."""
    identity = await edge.services.tokens.verify(person.token)
    peer = Peer(Principal(person.user_id, "?"))
    peer._start(Wire())
    line = peer.wire
    seat, _ = await edge.services.access.seat(
        room_id, identity, line, lambda role: line.send(encode_role(role))
    )
    peer._send, peer._leave = seat.receive, seat.leave
    return peer


def told(peer: Peer) -> list[str]:
    """The roles its client was told."""
    return [wire.Reader(one[2:]).text() for one in peer.wire.sent if one[:2] == b"\x40\x03"]


# -- every route, every role --------------------------------------------------------------------

SEEING: dict[str, dict[str, Any]] = {
    "GET {room}": {},
    "GET {room}/participants": {},
    "GET {room}/document": {},
    "GET {room}/assets": {},
    "GET {party}": {},
    "GET {party}/base": {},
}
EDITING: dict[str, dict[str, Any]] = {
    "POST {party}": {"content": UPDATE, "headers": BINARY},
    "POST {room}/assets": {
        "json": {"filename": "a.png", "content_type": "image/png", "size": 9, "sha256": "0" * 64}
    },
    # what is sent is none of these: the right to send it is looked at first
    "PUT {room}/assets/" + "1" * 64: {"content": b"x", "headers": BINARY},
    "POST {room}/assets/import": {"json": {"url": "http://127.0.0.1/x.png"}},
    "POST {room}/assets/00000000000000000000000000/complete": {},
    "POST {room}/assets/00000000000000000000000000/parts": {"json": {"numbers": [1]}},
    "DELETE {room}/assets/00000000000000000000000000": {},
}
OWNING: dict[str, dict[str, Any]] = {
    "PATCH {room}": {"json": {"title": "Renamed"}},
    "PATCH {room} ": {"json": {"shows_viewers": True}},
    "DELETE {room}": {},
    "POST {room}/restore": {},
}

ALLOWED: dict[str, tuple[bool, bool, bool]] = {
    #             sees  edits  owns
    "nobody": (False, False, False),
    "reader of a list": (False, False, False),
    "viewer": (True, False, False),
    "commenter": (True, False, False),
    "editor": (True, True, False),
    "owner": (True, True, True),
    "operator": (True, False, True),
}


@pytest.mark.parametrize("who", ALLOWED)
async def test_every_route_asks_the_table(tmp_path: Path, empty_database: Path, who: str) -> None:
    """G1, G3: 404 for whom there is no room, 403 for who sees it and no more, and then nothing changed."""
    sees, edits, owns = ALLOWED[who]
    is_listed = who == "reader of a list"
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room = await ada.room(default_role="none", visibility="public" if is_listed else "unlisted")
        if who in ("viewer", "commenter", "editor"):
            await set_role(edge, room["id"], ben, who)  # type: ignore[arg-type]
        person = {"owner": ada, "operator": operator(edge)}.get(who, ben)
        if who in ("owner", "operator"):
            assert (await ada.ask("POST", f"/parties/{room['id']}", **EDITING["POST {party}"])).is_success
        before = (await ada.ask("GET", f"{ROOMS}/{room['id']}")).json()
        unseen = {403} if is_listed else {404}
        for calls, is_allowed in ((SEEING, sees), (EDITING, edits), (OWNING, owns)):
            for name, more in calls.items():
                method, path = name.strip().split(" ")
                at = path.format(room=f"{ROOMS}/{room['id']}", party=f"/parties/{room['id']}")
                got = await person.ask(method, at, **more)
                if not is_allowed:
                    expected = {403} if sees else unseen
                    assert got.status_code in expected, (name, got.text)
                    words = "forbidden" if got.status_code == 403 else "room_not_found"
                    assert got.json()["code"] == words, name
                elif calls is not EDITING or "party" in path or path.endswith("/assets"):
                    assert got.is_success, (name, got.text)
                else:
                    assert got.json()["code"] not in ("forbidden", "room_not_found"), name
        if not owns:
            after = (await ada.ask("GET", f"{ROOMS}/{room['id']}")).json()
            assert after == before
        else:
            assert (await ada.ask("GET", f"{ROOMS}/{room['id']}")).json()["title"] == "Renamed"
        if not edits:
            version = await edge.services.hub.version(room["id"])
            assert version == ("1-1" if who == "operator" else "1-0")
        if sees:
            peer = await sit(edge, room["id"], person)
            assert told(peer) == ["viewer" if who == "operator" else who]
        else:
            with pytest.raises(Forbidden if is_listed else RoomNotFound):
                await sit(edge, room["id"], person)


async def test_a_room_says_what_you_may(tmp_path: Path, empty_database: Path) -> None:
    """G2: your role, what it allows, and everybody's; in listings too, where a room may let nobody in."""
    async with open_edge(tmp_path, empty_database, default_role="viewer") as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room = await ada.room(visibility="public")
        assert (room["role"], room["default_role"], room["shows_viewers"]) == ("owner", "viewer", True)
        assert "transfer" in room["may"]
        seen = (await ben.ask("GET", f"{ROOMS}/{room['id']}")).json()
        assert (seen["role"], seen["may"]) == ("viewer", ["see", "present"])
        await sit(edge, room["id"], ada)
        changed = await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json={"default_role": "none"})
        assert (changed.status_code, changed.json()["default_role"]) == (200, "none")
        services = edge.services
        await Reporter(services.hub, services.database, services.directory).tell()
        for path in (f"{ROOMS}?scope=public", f"{ROOMS}/active"):
            [listed] = (await ben.ask("GET", path)).json()["items"]
            assert (listed["role"], listed["may"], listed["participants"]) == (None, [], [])
            [own] = (await ada.ask("GET", path)).json()["items"]
            assert (own["role"], own["participant_count"]) == ("owner", 1)
        for wrong in ("owner", "nobody", 1):
            refused = await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json={"default_role": wrong})
            assert refused.status_code == 422
        assert (await ben.ask("PATCH", f"{ROOMS}/{room['id']}", json={"role": "owner"})).status_code == 422


async def test_a_room_one_lost_is_not_mine_any_more(tmp_path: Path, empty_database: Path) -> None:
    """G3: neither listed nor its files read."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room = await ada.room()
        edge.services.visits.note(room["id"], ben.user_id, "Ben")
        await edge.services.visits.write()
        mine = f"{ROOMS}?scope=mine"
        assert [one["id"] for one in (await ben.ask("GET", mine)).json()["items"]] == [room["id"]]
        await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json={"default_role": "none"})
        assert (await ben.ask("GET", mine)).json()["items"] == []
        assert [one["role"] for one in (await ada.ask("GET", mine)).json()["items"]] == ["owner"]


async def test_hidden_viewers_are_listed_for_the_owner_alone(tmp_path: Path, empty_database: Path) -> None:
    """G7: neither counted nor named for others; each sees himself."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, cy = await edge.guest(), await edge.guest("Ben"), await edge.guest("Cy")
        room = await ada.room(default_role="viewer", shows_viewers=False)
        at = f"{ROOMS}/{room['id']}"
        for person in (ada, ben, cy):
            await sit(edge, room["id"], person)
            edge.services.visits.note(room["id"], person.user_id, "?")
        await edge.services.visits.write()
        names = {ada.user_id: "ada", ben.user_id: "ben", cy.user_id: "cy"}
        for person, expected in ((ada, ["ada", "ben", "cy"]), (ben, ["ada", "ben"]), (cy, ["ada", "cy"])):
            listed = (await person.ask("GET", f"{at}/participants")).json()["items"]
            assert [names[one["user"]["id"]] for one in listed] == expected
            assert [one["present"] for one in listed] == [one == "ada" for one in expected]
            assert (await person.ask("GET", at)).json()["participant_count"] == 1
        # shown again
        await ada.ask("PATCH", at, json={"shows_viewers": True})
        assert (await cy.ask("GET", at)).json()["participant_count"] == 3


# -- roles that change while people are in the room ----------------------------------------------


async def test_a_change_holds_when_its_answer_is_there(tmp_path: Path, empty_database: Path) -> None:
    """G4, G6: everybody's role lowered, raised and taken away, with people in the room."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room = await ada.room()
        at = f"{ROOMS}/{room['id']}"
        peer, own = await sit(edge, room["id"], ben), await sit(edge, room["id"], ada)
        for role in ("viewer", "commenter", "editor"):
            assert (await ada.ask("PATCH", at, json={"default_role": role})).status_code == 200
        assert told(peer) == ["editor", "viewer", "commenter", "editor"]
        assert (await ada.ask("PATCH", at, json={"default_role": "none"})).status_code == 200
        assert peer.wire.closed == (4403, REMOVED)
        assert (told(own), own.wire.closed) == (["owner"], None)
        with pytest.raises(RoomNotFound):
            await sit(edge, room["id"], ben)


async def test_a_change_by_another_process_is_found_without_a_word(
    tmp_path: Path, empty_database: Path
) -> None:
    """G4: by the look alone, within a second; a downgrade first, then out."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room = await ada.room(default_role="none")
        await set_role(edge, room["id"], ben, "editor")
        peer = await sit(edge, room["id"], ben)
        assert access.LOOK_S < 1
        await set_role(edge, room["id"], ben, "viewer")
        await until(lambda: told(peer) == ["editor", "viewer"])
        await set_role(edge, room["id"], ben, None)
        await until(lambda: peer.wire.closed == (4403, REMOVED))


@pytest.mark.parametrize("has_redis", [True, False])
async def test_a_change_is_known_everywhere_within_a_second(
    tmp_path: Path, server_url: str, has_redis: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G4: by a note, or by the look where none comes."""
    if has_redis:
        monkeypatch.setattr(access, "LOOK_S", 3600)
    with open_valkey() as valkey:
        async with open_two(tmp_path, server_url, valkey, rate_limits="off") as (one, two):
            ada, ben = await one.guest(), await one.guest("Ben")
            room = await ada.room()
            peer = await sit(two, room["id"], ben)
            if not has_redis:
                await asyncio.to_thread(valkey.stop)
            for role, seen in (
                ("viewer", lambda: told(peer)[-1] == "viewer"),
                ("editor", lambda: told(peer)[-1] == "editor"),
                ("none", lambda: peer.wire.closed == (4403, REMOVED)),
            ):
                body = {"default_role": role}
                changed = await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json=body)
                assert changed.status_code == 200
                await until(seen)


# -- on the way in ------------------------------------------------------------------------------


@dataclass
class Door:
    """A keeper over a real database, and a hub whose journal waits on command."""

    keeper: RoleKeeper
    hub: Hub
    journal: TestJournal
    database: Transactions

    async def change(self, role: Role | None) -> None:
        now = datetime.now(UTC)
        await self.database.write(lambda conn: put_role(conn, "r-1", "ben", role, now))


class Failing:
    """A database that is away on command."""

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self.is_away = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        if self.is_away:
            raise Unavailable
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.write(work)


def identity(user_id: str = "ben") -> Identity:
    now = datetime.now(UTC)
    return Identity(user_id, user_id.title(), False, now, now)


async def at_the_door(
    path: Path, empty_database: Path, go: Callable[[Door], Coroutine[Any, Any, None]]
) -> None:
    async with open_database(f"sqlite:///{copy_database(path, empty_database)}") as adapter:
        now = datetime.now(UTC)

        def fill(conn: Connection) -> None:
            make_room(conn, "r-1")
            put_user(conn, "ben", "Ben", now)
            update_room(conn, "r-1", visibility="unlisted", default_role="none", now=now)
            put_role(conn, "r-1", "ben", "editor", now)

        await as_system(adapter).write(fill)
        journal = TestJournal()
        journal.create("r-1")
        database = Failing(as_system(adapter))
        async with open_hub(journal, Limits()) as hub, asyncio.TaskGroup() as tasks:
            keeper = RoleKeeper(database, hub, lambda: datetime.now(UTC))
            looking = tasks.create_task(keeper.look_forever())
            await go(Door(keeper, hub, journal, database))
            looking.cancel()
            keeper.close()
            # nobody looks any more, and nobody waits for it
            await keeper.changed("r-1")


@pytest.mark.parametrize("role", ["viewer", None])
async def test_a_role_that_changes_between_the_read_and_the_seat(
    tmp_path: Path, empty_database: Path, role: Role | None
) -> None:
    """G4: nobody sits there with what was read before, whether by socket or over HTTP."""

    async def go(door: Door) -> None:
        line, heard = Wire(), list[Role]()
        door.journal.load_gate.clear()
        sitting = asyncio.create_task(door.keeper.seat("r-1", identity(), line, heard.append))
        await until(lambda: door.journal.loads == 1)
        writing = asyncio.create_task(door.keeper.author("r-1", identity()))
        await until(lambda: len(door.keeper._arrivals["r-1"]) == 2)
        await door.change(role)
        await door.keeper.changed("r-1")
        door.journal.load_gate.set()
        await sitting
        with pytest.raises(Forbidden if role else RoomNotFound):
            await writing
        if role is None:
            await until(lambda: line.closed == (4403, REMOVED))
        else:
            await until(lambda: heard == ["editor", role])

    await at_the_door(tmp_path, empty_database, go)


async def test_while_the_database_is_away_those_known_get_in(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G9, R7: with the role of before; a stranger waits, and what is looked at later is as it became."""
    monkeypatch.setattr("server.access.CHANGED_S", 0.1)

    async def go(door: Door) -> None:
        assert isinstance(door.database, Failing)
        await door.keeper.seat("r-1", identity(), Wire())
        door.database.is_away = True
        line, heard = Wire(), list[Role]()
        _, principal = await door.keeper.seat("r-1", identity(), line, heard.append)
        assert principal.role == "editor"
        with pytest.raises(Unavailable):
            await door.keeper.seat("r-1", identity("ada"), Wire())
        # somebody changed it at another node before it went away here, too
        await door.change("viewer")
        await door.keeper.changed("r-1")
        await until(lambda: not door.keeper._known)
        assert heard == ["editor"]
        # and what is known to be out of date lets nobody in
        with pytest.raises(Unavailable):
            await door.keeper.seat("r-1", identity(), Wire())
        door.database.is_away = False
        await until(lambda: heard == ["editor", "viewer"])

    await at_the_door(tmp_path, empty_database, go)


async def test_what_is_known_is_bounded(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G9: the rooms used longest ago are forgotten first."""
    monkeypatch.setattr("server.access.MOST_KNOWN", 2)

    async def go(door: Door) -> None:
        for _ in range(2):
            for user_id in ("ben", "ada"):
                await door.keeper.check("r-1", identity(user_id), "see")
        assert door.keeper._known_count == 2
        with pytest.raises(RoomNotFound):
            await door.keeper.check("nowhere", identity(), "see")

        await door.database.write(lambda conn: make_room(conn, "r-2"))
        await door.keeper.check("r-2", identity(), "see")
        assert (list(door.keeper._known), door.keeper._known_count) == (["r-2"], 1)

    await at_the_door(tmp_path, empty_database, go)


# -- jobs ---------------------------------------------------------------------------------------


async def test_a_job_asks_with_the_role_of_now(tmp_path: Path, empty_database: Path) -> None:
    """G1: not with the one its user had when it was asked for; without a user or a room nobody may."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada = await edge.guest()
        room = await ada.room(default_role="none")
        database, now = edge.database, edge.services.now()

        async def call(room_id: str | None, user_id: str | None) -> JobCall:
            job_id = await database.write(
                lambda conn: enqueue(
                    conn, kind="assets.sweep", payload={}, now=now, room_id=room_id, user_id=user_id
                )
            )
            job = await database.read(lambda conn: find_job(conn, job_id))
            assert job is not None
            return JobCall(job, edge.services, lambda _done, _words: None)

        mine = await call(room["id"], ada.user_id)
        await mine.check("edit")
        await set_role(edge, room["id"], ada, "viewer")
        await mine.check("see")
        with pytest.raises(GiveUp):
            await mine.check("edit")
        for other in (await call(None, ada.user_id), await call(room["id"], None)):
            with pytest.raises(GiveUp):
                await other.check("see")
