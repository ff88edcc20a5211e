"""The operator's rooms: on one node over HTTP, and on two nodes over one database."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from pycrdt import Doc, Map
from structlog.testing import capture_logs

from db.database import open_database
from db.journal import SqlJournal
from party.errors import Conflict, KeptOut, RoomClosed
from party.guard import Guard
from party.hub import Hub, open_hub
from party.ports import Principal, Role
from party.quarantine import Crash
from party.restraints import FROZEN
from server import oversight
from server.auth import Identity
from server.oversight import Notes, Oversight, open_oversight
from server.overview import RATE_MOST_S, RATE_S, WAIT_S, NodeReading, Overview, Rates, Seen
from server.problems import NodeNotFound
from tests.party.peers import Peer
from tests.server.edge import Edge, open_edge
from tests.server.wireless import Wireless

ROOMS = "/api/v1/admin/rooms"
BY = Identity("operator", "Olga", False, datetime.now(UTC), datetime.now(UTC), is_admin=True)


async def order(edge: Edge, method: str, path: str, **more: Any) -> httpx2.Response:
    token = edge.services.tokens.issue("operator", "Olga", is_admin=True).token
    return await edge.http.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)


async def listed(edge: Edge) -> dict[str, dict[str, Any]]:
    answer = await order(edge, "GET", ROOMS)
    assert answer.status_code == 200, answer.text
    return {one["id"]: one for one in answer.json()["items"]}


async def until(condition: Callable[[], object], *peers: Peer) -> None:
    """Let these read and answer until it holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)
            for peer in peers:
                if peer.wire.closed is None:
                    peer.read()
                    peer.flush()


def a_change(name: str) -> bytes:
    doc: Doc[Any] = Doc()
    doc.get("things", type=Map)[name] = 1
    return doc.get_update()


async def test_they_are_for_the_operator(tmp_path: Path, empty_database: Path) -> None:
    """M8: 401 for nobody, 403 with a sentence for everybody else, and nothing has happened."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room()
        at = f"{ROOMS}/{room['id']}"
        for method, path, body in (
            ("GET", ROOMS, None),
            ("GET", at, None),
            ("POST", f"{at}/kick", {"user_id": ada.user_id}),
            ("POST", f"{at}/freeze", None),
            ("POST", f"{at}/thaw", None),
            ("POST", f"{at}/close", {}),
            ("POST", f"{at}/open", None),
            ("GET", "/api/v1/admin/nodes", None),
            ("POST", "/api/v1/admin/nodes/one/drain", None),
        ):
            assert (await edge.http.request(method, path, json=body)).status_code == 401
            refused = await ada.ask(method, path, json=body)
            assert (refused.status_code, refused.json()["code"]) == (403, "admins_only"), path
        assert edge.services.oversight.frozen == {}


async def test_a_live_room_is_listed_with_its_people(tmp_path: Path, empty_database: Path) -> None:
    """M4: people, connections, sizes, journal, quarantine; closed rooms of nobody are not in it."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest("Ada")
        room, quiet = await ada.room(title="Busy", schema="open"), await ada.room(title="Quiet")
        who = Principal(ada.user_id, "Ada")
        peers = [await Peer(who).connect(edge.services.hub, room["id"]) for _ in range(2)]
        roles: tuple[Role, ...] = ("editor", "commenter", "viewer")
        for name, role in zip(("Bert", "Cleo", "Dora"), roles, strict=True):
            await Peer(Principal(name, name, role=role)).connect(edge.services.hub, room["id"])
        await until(lambda: all(peer.synced for peer in peers), *peers)
        peers[0].doc.get("things", type=Map)["x"] = 1
        peers[0].flush()
        await until(lambda: "x" in peers[1].doc.get("things", type=Map), *peers)
        crash = Crash(time.time(), "hung", "edit", room["id"], "mallory", (7,))
        edge.services.keeper.guard.quarantine.blame(crash)

        found = await listed(edge)
        assert quiet["id"] not in found
        one = found[room["id"]]
        assert (one["title"], one["people"], one["connections"]) == ("Busy", 4, 5)
        assert (one["journal_rows"], one["lagging"], one["quarantine"]) == (1, 0, "somebody")
        assert one["document_bytes"] > 0
        assert one["journal_bytes"] > 0
        assert (one["frozen_at"], one["closed_until"], one["kept_out"]) == (None, None, 0)
        assert one["nodes"] == [edge.services.hub.node]
        detail = (await order(edge, "GET", f"{ROOMS}/{room['id']}")).json()
        assert [(p["user"]["name"], p["role"], p["connections"]) for p in detail["participants"]] == [
            ("Ada", "editor", 2),
            ("Bert", "editor", 1),
            ("Cleo", "commenter", 1),
            ("Dora", "viewer", 1),
        ]
        assert (await order(edge, "GET", f"{ROOMS}/{quiet['id']}")).json()["participants"] == []
        assert (await order(edge, "GET", f"{ROOMS}/no-such-room")).status_code == 404
        nodes = (await order(edge, "GET", "/api/v1/admin/nodes")).json()
        assert [(n["node"], n["is_this"], n["rooms"], n["connections"]) for n in nodes["items"]] == [
            (edge.services.hub.node, True, 1, 5)
        ]


async def test_a_freeze_holds_through_a_restart_and_everything_comes_after_it(
    tmp_path: Path, empty_database: Path
) -> None:
    """M5, M6: 403 over HTTP with words; reads go on; a thaw lets the edits in. A frozen room is listed."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room_id = (await ada.room(schema="open"))["id"]
        first = await order(edge, "POST", f"{ROOMS}/{room_id}/freeze")
        again = await order(edge, "POST", f"{ROOMS}/{room_id}/freeze")
        assert first.status_code == 200, first.text
        assert first.json() == again.json()
    async with open_edge(tmp_path, empty_database) as edge:
        assert (await listed(edge))[room_id]["frozen_at"] == first.json()["frozen_at"]
        post = {"content": a_change("x"), "headers": {"Content-Type": "application/octet-stream"}}
        refused = await ada_again(edge, ada.token).request("POST", f"/parties/{room_id}", **post)
        assert (refused.status_code, refused.json()["code"]) == (403, "room_frozen")
        peer = await Peer(Principal("u-bert", "Bert")).connect(edge.services.hub, room_id)
        await until(lambda: peer.synced, peer)
        peer.doc.get("things", type=Map)["mine"] = 1
        peer.flush()
        await until(lambda: peer.wire.notices, peer)
        assert (peer.wire.notices, peer.wire.code) == ([FROZEN], None)
        assert (await edge.services.hub.version(room_id)) == "1-0"
        assert (await order(edge, "POST", f"{ROOMS}/{room_id}/thaw")).status_code == 204
        await until(lambda: edge.services.hub.rooms[room_id].view.seq, peer)
        assert (await edge.services.hub.version(room_id)) == "1-1"
        taken = await ada_again(edge, ada.token).request("POST", f"/parties/{room_id}", **post)
        assert taken.status_code == 200
        assert (await order(edge, "POST", f"{ROOMS}/no-such-room/freeze")).status_code == 404


def ada_again(edge: Edge, token: str) -> httpx2.AsyncClient:
    edge.http.headers["Authorization"] = f"Bearer {token}"
    return edge.http


async def test_a_kick_keeps_out_only_who_and_as_long_as_it_says(tmp_path: Path, empty_database: Path) -> None:
    """M7, M8: without a time he may come back; with one he may not, through a restart, until it is opened."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest("Ada")
        room_id = (await ada.room(schema="open"))["id"]
        hub, who = edge.services.hub, Principal(ada.user_id, "Ada")
        peer = await Peer(who).connect(hub, room_id)
        with capture_logs() as logs:
            kicked = await order(edge, "POST", f"{ROOMS}/{room_id}/kick", json={"user_id": ada.user_id})
        [told] = [one for one in logs if one["event"] == "operator ordered"]
        assert (told["order"], told["operator"], told["operator_name"]) == ("kick", "operator", "Olga")
        assert (told["room_id"], told["user_id"]) == (room_id, ada.user_id)
        assert kicked.json() == {"closed": 1}
        assert peer.wire.closed is not None
        assert peer.wire.closed[0] == 4403
        assert "you may open it again" in peer.wire.closed[1]
        peer = await Peer(who).connect(hub, room_id)
        body = {"user_id": ada.user_id, "for_s": 3600.0}
        assert (await order(edge, "POST", f"{ROOMS}/{room_id}/kick", json=body)).status_code == 200
        assert "UTC" in (peer.wire.closed or (0, ""))[1]
        with pytest.raises(KeptOut):
            await Peer(who).connect(hub, room_id)
        await Peer(Principal("u-bert", "Bert")).connect(hub, room_id)
        assert (await listed(edge))[room_id]["kept_out"] == 1
    async with open_edge(tmp_path, empty_database) as edge:
        with pytest.raises(KeptOut):
            await edge.services.hub.submit(room_id, who, a_change("x"))
        again, at = ada_again(edge, ada.token), f"/api/v1/rooms/{room_id}"
        file = {"filename": "a.png", "content_type": "image/png", "size": 4, "sha256": "0" * 64}
        for method, path, more in (
            ("PATCH", at, {"json": {"title": "Mine!"}}),
            ("POST", f"{at}/assets", {"json": file}),
            (
                "PUT",
                f"{at}/assets/{'0' * 64}",
                {"content": b"1234", "headers": {"Content-Type": "image/png"}},
            ),
            ("POST", f"{at}/assets/import", {"json": {"url": "https://example.org/a.png"}}),
            ("POST", f"{at}/assets/{'0' * 26}/parts", {"json": {"numbers": [1]}}),
            ("POST", f"{at}/assets/{'0' * 26}/complete", {}),
        ):
            refused = await again.request(method, path, **more)
            assert (refused.status_code, refused.json()["code"]) == (403, "kept_out"), path
        assert (await order(edge, "POST", f"{ROOMS}/{room_id}/open")).status_code == 204
        assert await edge.services.hub.submit(room_id, who, a_change("x"))


async def test_a_closed_room_lets_nobody_in_until_it_is_opened(tmp_path: Path, empty_database: Path) -> None:
    """M7: everybody is sent out with words, and nothing of the drawing is touched."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest("Ada")
        room_id = (await ada.room(schema="open"))["id"]
        hub, who = edge.services.hub, Principal(ada.user_id, "Ada")
        await hub.submit(room_id, who, a_change("kept"))
        peers = [await Peer(who).connect(hub, room_id), await Peer(Principal("b", "B")).connect(hub, room_id)]
        assert (await order(edge, "POST", f"{ROOMS}/{room_id}/close", json={})).status_code == 204
        assert {peer.wire.code for peer in peers} == {4403}
        await Peer(who).connect(hub, room_id)
        await order(edge, "POST", f"{ROOMS}/{room_id}/close", json={"for_s": 60})
        with pytest.raises(RoomClosed):
            await Peer(who).connect(hub, room_id)
        assert (await listed(edge))[room_id]["closed_until"] is not None
        assert (await order(edge, "POST", f"{ROOMS}/{room_id}/open")).status_code == 204
        await Peer(who).connect(hub, room_id)
        assert (await listed(edge))[room_id]["closed_until"] is None
        assert (await hub.version(room_id)) == "1-1"


async def test_the_only_node_is_not_drained(tmp_path: Path, empty_database: Path) -> None:
    """M9: 409 with words; 404 for one that is not there."""
    async with open_edge(tmp_path, empty_database) as edge:
        refused = await order(edge, "POST", f"/api/v1/admin/nodes/{edge.services.hub.node}/drain")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        gone = await order(edge, "POST", "/api/v1/admin/nodes/two/drain")
        assert (gone.status_code, gone.json()["code"]) == (404, "node_not_found")


@pytest.mark.parametrize("other", [{"phase": "draining"}, {"serves": False}], ids=["draining", "a worker"])
async def test_a_node_is_not_drained_while_the_other_can_not_serve(
    other: dict[str, Any], tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M9: it drains, too, or does jobs alone; nobody would be left to serve."""
    async with open_edge(tmp_path, empty_database) as edge:
        here = edge.services.hub.node
        told = NodeReading("two", "host", 1, 0.0, "ready", 0, 0, None)

        async def look(overview: Overview) -> Seen:
            return Seen({}, [replace(told, **other), replace(told, node=here)], [], [])

        monkeypatch.setattr(Hub, "nodes", lambda _: [here, "two"])
        monkeypatch.setattr(Overview, "look", look)
        refused = await order(edge, "POST", f"/api/v1/admin/nodes/{here}/drain")
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
        assert "No other node is ready" in refused.json()["detail"]


# -- two nodes ----------------------------------------------------------------------------------


@dataclass
class Node:
    hub: Hub
    guard: Guard
    notes: Wireless
    oversight: Oversight
    overview: Overview


@asynccontextmanager
async def open_node(url: str, notes: Wireless) -> AsyncIterator[Node]:
    guard = Guard()
    async with (
        open_database(url) as database,
        open_hub(SqlJournal(database), guard=guard) as hub,
        open_oversight(database, guard, hub, notes) as oversight,
    ):
        yield Node(hub, guard, notes, oversight, Overview(hub, notes, lambda: "ready"))


@asynccontextmanager
async def two_nodes(tmp_path: Path, empty_database: Path) -> AsyncIterator[tuple[Node, Node, str]]:
    async with open_edge(tmp_path, empty_database) as edge:
        room_id = (await (await edge.guest()).room(schema="open"))["id"]
    url = f"sqlite:///{tmp_path / 'kanvas.db'}"
    notes = Wireless("a")
    assert isinstance(notes, Notes)
    async with open_node(url, notes) as first, open_node(url, Wireless("b", notes)) as second:
        yield first, second, room_id


@pytest.mark.parametrize("is_muted", [False, True], ids=["told", "note lost"])
async def test_a_freeze_reaches_the_other_node_within_a_second(
    tmp_path: Path, empty_database: Path, is_muted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M5, M6: by a note at once, and without it by looking."""
    assert oversight.LOOK_S < 1
    if not is_muted:
        monkeypatch.setattr(oversight, "LOOK_S", 3600)
    async with two_nodes(tmp_path, empty_database) as (first, second, room_id):
        peer = await Peer(Principal("u", "U")).connect(second.hub, room_id)
        second.notes.is_muted = is_muted
        await first.oversight.freeze(room_id, BY)
        await until(lambda: peer.wire.notices == [FROZEN])
        assert second.guard.is_frozen(room_id)
        peer.wire.sent.clear()
        await first.oversight.thaw(room_id, BY)
        await until(lambda: not second.guard.is_frozen(room_id))


async def test_a_kick_and_a_closing_reach_the_other_node(tmp_path: Path, empty_database: Path) -> None:
    """M7: those who may come back by a note; those who may not also without one."""
    async with two_nodes(tmp_path, empty_database) as (first, second, room_id):
        for for_s, is_muted in ((0, False), (60, True)):
            await first.oversight.open(room_id, BY)
            await until(lambda: second.guard.restraints.exclusions == [])
            second.notes.is_muted = is_muted
            anna = await Peer(Principal("anna", "Anna")).connect(second.hub, room_id)
            bert = await Peer(Principal("bert", "Bert")).connect(second.hub, room_id)
            assert await first.oversight.kick(room_id, "anna", for_s, BY) == 0
            await until(lambda anna=anna: anna.wire.code == 4403)
            assert bert.wire.code is None
            await first.oversight.close(room_id, for_s, BY)
            await until(lambda bert=bert: bert.wire.code == 4403)
            second.notes.is_muted = False


async def test_the_overview_is_of_all_nodes_and_names_the_silent(
    tmp_path: Path, empty_database: Path
) -> None:
    """M4: one line for a room on two nodes; a node that does not answer holds nobody up."""
    async with two_nodes(tmp_path, empty_database) as (first, second, room_id):
        for node, name in ((first, "anna"), (second, "bert"), (second, "carl")):
            await Peer(Principal(name, name.title())).connect(node.hub, room_id)
        seen = await first.overview.look(room_id)
        room = seen.rooms[room_id]
        assert (sorted(room.nodes), room.people, room.connections, seen.silent) == (["a", "b"], 3, 3, [])
        assert [(node, one.name) for node, one in seen.people] == [
            ("a", "Anna"),
            ("b", "Bert"),
            ("b", "Carl"),
        ]
        assert [node.node for node in seen.nodes] == ["a", "b"]
        second.notes.is_muted = True
        assert WAIT_S < 1
        async with asyncio.timeout(60):
            seen = await first.overview.look()
        assert (seen.rooms[room_id].people, seen.silent) == (1, ["b"])


async def test_notes_that_make_no_sense_are_passed_over(tmp_path: Path, empty_database: Path) -> None:
    """M4: of another version, cut off, too late."""
    async with two_nodes(tmp_path, empty_database) as (first, second, _):
        for topic in ("hold", "kick", "overview", "overview-told"):
            for data in (b"", b"{", b"[]", b"1", b'{"number": 99}', b"\xff"):
                second.notes.note(topic, data)
        await asyncio.sleep(0.05)
        assert (await first.overview.look()).silent == []
        second.notes.is_muted = True
        looking = asyncio.create_task(first.overview.look())
        await asyncio.sleep(0)
        told = {"number": 2, "rooms": [], "people": []}
        for node in ({}, {"node": "b"}, {"node": "b", "moods": "of a newer version"}, []):
            second.notes.note("overview-told", orjson.dumps({**told, "node": node}))
        half = {"number": 2, "node": {}, "rooms": [[{"room_id": "x"}, 1]], "people": []}
        second.notes.note("overview-told", orjson.dumps(half))
        seen = await looking
        assert ([node.node for node in seen.nodes], seen.silent) == (["a"], ["b"])


async def test_another_node_is_told_to_drain(tmp_path: Path, empty_database: Path) -> None:
    """M9: it ends itself, as with SIGTERM; one that is not there is 404, and this one can be drained, too."""
    async with two_nodes(tmp_path, empty_database) as (first, second, _):
        ended: list[str] = []
        first.oversight.stop = lambda: ended.append("a")
        second.oversight.stop = lambda: ended.append("b")
        await first.oversight.drain("b", ["a", "b"], BY)
        await until(lambda: ended == ["b"])
        # alive for the seconds it takes, but nobody can be sent to it
        with pytest.raises(Conflict):
            await first.oversight.drain("a", ["a"], BY)
        await first.oversight.drain("a", ["a", "b"], BY)
        assert ended == ["b", "a"]
        with pytest.raises(NodeNotFound):
            await first.oversight.drain("c", ["a", "b"], BY)


def test_rates_are_differences_between_two_looks() -> None:
    """M4: none at the first look, none for what is new, none since a look of long ago."""
    rates = Rates()
    assert rates.look({"r": 10}, 100.0) == {}
    assert rates.look({"r": 20, "new": 5}, 100.0 + 2 * RATE_S) == {"r": 10 / (2 * RATE_S)}
    # a second operator who looks at once gets the same, not noise
    assert rates.look({"r": 20}, 100.1 + 2 * RATE_S)["r"] == pytest.approx(10 / (2 * RATE_S + 0.1))
    assert rates.look({"r": 0}, 100.0 + 4 * RATE_S) == {"r": 0}
    assert rates.look({"r": 99}, 200.0 + 2 * RATE_MOST_S) == {}
