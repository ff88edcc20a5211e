"""Deleted elements leave the stored state: from a person's edit to the bytes in the database file."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Map

from db.scopes import as_system
from db.tables import canvas_states, room_updates, tombstones
from party.errors import RoomNotFound, Unavailable
from party.hub import Hub
from party.ports import Entry, Principal
from server.purging import ELEMENTS_KEPT, UNSEEN_MOST, purge_elements
from server.services import Services, clean_up
from tests.party.contents import content
from tests.party.peers import Peer, doc_of, quiet
from tests.server.edge import open_edge

MARK = b"a word that has to leave"
HOUR = timedelta(hours=1)


async def stored_bytes(services: Services) -> bytes:
    """All that the database holds of any room's drawing."""

    def read(connection: Any) -> bytes:
        states = connection.execute(canvas_states.select()).all()
        updates = connection.execute(room_updates.select()).all()
        return b"".join([*(row.state for row in states), *(row.update_bytes for row in updates)])

    return await as_system(services.database).read(read)


async def buried(services: Services) -> set[tuple[str, str]]:
    rows = await as_system(services.database).read(
        lambda connection: connection.execute(tombstones.select()).all()
    )
    return {(row.room_id, row.element_id) for row in rows}


def elements(state: bytes) -> set[str]:
    return set(content(doc_of(state))["elements"])


def drawing(deleted: Sequence[str] = ()) -> list[Entry]:
    """A text that is kept, and deleted ones with the mark in them."""
    peer = Peer()
    for element_id in ("kept", *deleted):
        text = "kept" if element_id == "kept" else MARK.decode()
        peer.draw(element_id)
        peer.elements[element_id]["text"] = {
            "text": text,
            "originalText": text,
            "fontSize": 20,
            "fontFamily": 5,
        }
    for element_id in deleted:
        peer.elements[element_id]["deleted"] = True
    return [Entry(update, "ada") for update in peer.outgoing]


def at(monkeypatch: pytest.MonkeyPatch, services: Services, now: datetime) -> None:
    monkeypatch.setattr(type(services), "now", staticmethod(lambda: now))


async def test_a_deleted_element_leaves_after_thirty_days(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C8, C9, J7: from the rows, the checkpoint and the file; nobody has to open the room for it."""
    async with open_edge(tmp_path, empty_database) as edge:
        services = edge.services
        person = await edge.guest()
        room_id = (await person.room())["id"]
        peer = await Peer(Principal(person.user_id, "Ada")).connect(services.hub, room_id)
        await quiet(peer)
        for element_id in ("gone", "kept"):
            peer.draw(element_id)
        peer.elements["gone"]["text"] = {
            "text": MARK.decode(),
            "originalText": MARK.decode(),
            "fontSize": 20,
            "fontFamily": 5,
        }
        peer.flush()
        _, state = await services.hub.state(room_id)
        peer.elements["gone"]["deleted"] = True
        peer.flush()
        while elements(state) != {"gone", "kept"} or not deleted_in(state, "gone"):
            await asyncio.sleep(0.01)
            _, state = await services.hub.state(room_id)
        peer.disconnect()
        now = datetime.now(UTC)
        # nobody was told yet: a day without a checkpoint, and the clean-up has it made
        at(monkeypatch, services, now + UNSEEN_MOST + HOUR)
        await clean_up(services)
        assert await buried(services) == {(room_id, "gone")}
        assert MARK in await stored_bytes(services)
        at(monkeypatch, services, now + ELEMENTS_KEPT - HOUR)
        await clean_up(services)
        assert MARK in await stored_bytes(services)
        at(monkeypatch, services, now + ELEMENTS_KEPT + HOUR)
        await clean_up(services)
        assert MARK not in await stored_bytes(services)
        assert await buried(services) == set()
        version, state = await services.hub.state(room_id)
        assert elements(state) == {"kept"}
        await clean_up(services)
        assert (await services.hub.state(room_id))[0] == version
    # the file itself, once its log is folded into it: what is deleted is overwritten
    assert MARK not in (tmp_path / "kanvas.db").read_bytes()
    assert not (tmp_path / "kanvas.db-wal").exists()


def deleted_in(state: bytes, element_id: str) -> bool:
    doc: Doc[Any] = doc_of(state)
    return doc.get("elements", type=Map)[element_id].get("deleted") is True


async def test_rooms_nobody_opened_since_are_purged_one_after_another(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C9: and none of them stays open for it."""
    async with open_edge(tmp_path, empty_database) as edge:
        services = edge.services
        person = await edge.guest()
        rooms = [(await person.room())["id"] for _ in range(12)]
        for room_id in rooms:
            await services.journal.append(room_id, 1, drawing(deleted=["a", "b"]))
        most = 0
        open_now = Hub.purge

        async def watched(hub: Hub, room_id: str, element_ids: Sequence[str] = ()) -> None:
            nonlocal most
            await open_now(hub, room_id, element_ids)
            most = max(most, hub.open_rooms())

        monkeypatch.setattr(Hub, "purge", watched)
        now = datetime.now(UTC)
        assert await purge_elements(services.database, services.hub, now) == 0
        assert await purge_elements(services.database, services.hub, now + 2 * UNSEEN_MOST) == 0
        assert await buried(services) == {(room_id, one) for room_id in rooms for one in "ab"}
        assert await purge_elements(services.database, services.hub, now + ELEMENTS_KEPT + HOUR) == 12
        assert most == 0
        assert MARK not in await stored_bytes(services)
        for room_id in rooms:
            assert elements((await services.hub.state(room_id))[1]) == {"kept"}


@pytest.mark.parametrize(("error", "asked"), [(RoomNotFound(), 6), (Unavailable(), 3)])
async def test_what_fails_is_left_for_the_next_pass(
    tmp_path: Path,
    empty_database: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    asked: int,
) -> None:
    """C9: one room's failure is its own; when all fail the pass ends."""
    async with open_edge(tmp_path, empty_database) as edge:
        services = edge.services
        person = await edge.guest()
        for _ in range(6):
            await services.journal.append((await person.room())["id"], 1, drawing(deleted=["a"]))
        now = datetime.now(UTC)
        await purge_elements(services.database, services.hub, now + 2 * UNSEEN_MOST)
        calls: list[str] = []

        async def fails(_hub: Hub, room_id: str, _element_ids: Sequence[str] = ()) -> None:
            calls.append(room_id)
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(Hub, "purge", fails)
            assert await purge_elements(services.database, services.hub, now + ELEMENTS_KEPT + HOUR) == 0
        assert len(calls) == asked
        assert await purge_elements(services.database, services.hub, now + ELEMENTS_KEPT + HOUR) == 6
