"""Documents as JSON over HTTP: what comes, what is refused, and what happens when reading hangs."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pycrdt import Array, Doc, Map, Text

from server.documents import disposition
from tests.server.edge import ROOMS, Edge, Person, field_names, open_edge
from tests.server.hangs import die, hold_the_gil

FIXTURE = Path(__file__).parents[2] / "static" / "tests" / "app" / "export.json"


async def send(person: Person, room_id: str, update: bytes) -> str:
    """Apply an update; the room's new version."""
    sent = await person.ask(
        "POST", f"/parties/{room_id}", content=update, headers={"Content-Type": "application/octet-stream"}
    )
    assert sent.status_code == 200, sent.text
    version: str = sent.json()["version"]
    return version


async def opened(edge: Edge, **fields: Any) -> tuple[Person, str, str]:
    """Somebody, the id of a room of theirs, and the address of its document."""
    ada = await edge.guest()
    room_id = (await ada.room(**fields))["id"]
    return ada, room_id, f"{ROOMS}/{room_id}/document"


def element(kind: str, **groups: Any) -> Map[Any]:
    geometry = {"x": 0, "y": 0, "width": 1, "height": 1, "angle": 0}
    style = {"strokeColor": "#000000", "backgroundColor": "transparent"}
    whole = {"kind": {"type": kind, "seed": 1}, "geometry": geometry, "style": style, "meta": {}}
    return Map(whole | {"deleted": False} | groups)


async def test_a_drawing_comes_as_an_excalidraw_file(tmp_path: Path, empty_database: Path) -> None:
    """C10, R4: what the server made of our client's document is what our client makes of it."""
    fixture = json.loads(FIXTURE.read_text(encoding="utf-8"))
    async with open_edge(tmp_path, empty_database, public_url="https://kanvas.example") as edge:
        ada, room_id, at = await opened(edge)
        version = await send(ada, room_id, base64.b64decode(fixture["update"]))
        found = await ada.ask("GET", at)
        with_deleted = await ada.ask("GET", f"{at}?deleted=true")
        known = await ada.ask("GET", at, headers={"If-None-Match": found.headers["etag"]})
    assert found.status_code == 200, found.text
    assert found.headers["content-type"] == "application/json"
    assert found.headers["etag"] == f'W/"{version}"'
    assert "content-disposition" not in found.headers
    file = found.json()
    assert file["type"] == "excalidraw"
    assert file["source"] == "https://kanvas.example"
    assert file["files"] == {}
    # the room has mended the odd ones further than an export would (C3); those it keeps are all there
    sound = {one["id"]: one for one in fixture["file"]["elements"]}
    for id_ in ("rectangle-1", "text-1", "image-1", "freedraw-1", "arrow-1", "elbow-1", "frame-1", "line-1"):
        assert next(one for one in file["elements"] if one["id"] == id_) == sound[id_]
    extra = {one["id"] for one in with_deleted.json()["elements"]} - {one["id"] for one in file["elements"]}
    assert extra == {"gone", "gone label"}
    assert (known.status_code, known.content) == (304, b"")


async def test_a_drawing_can_be_downloaded_under_its_name(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, room_id, at = await opened(edge, title='Größe: "A/B"')
        doc: Doc[Any] = Doc()
        doc.get("elements", type=Map)["a"] = element("rectangle")
        await send(ada, room_id, doc.get_update())
        found = await ada.ask("GET", f"{at}?download=true")
    assert [one["id"] for one in found.json()["elements"]] == ["a"]
    assert found.headers["content-disposition"] == (
        "attachment; filename=\"Groe A B.excalidraw\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20A%20B.excalidraw"
    )


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("..", "Kanvas"),
        ("日本", "日本"),
        ("a\tb", "a b"),
        ("x" * 200, "x" * 80),
        ("CON. ", "CON"),
        ("%2e", "%2e"),
    ],
)
def test_a_file_name_is_allowed_everywhere(title: str, name: str) -> None:
    told = disposition(title)
    assert told.isascii()
    assert told.endswith(f"filename*=UTF-8''{quote(name)}.excalidraw")


async def test_a_root_of_an_open_room_is_read_by_name_and_type(tmp_path: Path, empty_database: Path) -> None:
    """C7, R4: base and what was committed since, in one answer."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, room_id, at = await opened(edge, schema="open")
        doc: Doc[Any] = Doc()
        doc.get("things", type=Map)["lamp"] = {"on": True}
        await send(ada, room_id, doc.get_update())
        assert (await ada.ask("GET", f"{at}?root=things&type=map")).json() == {"lamp": {"on": True}}
        before = doc.get_state()
        doc.get("list", type=Array).append(1.5)
        doc.get("notes", type=Text).insert(0, "hé")
        version = await send(ada, room_id, doc.get_update(before))
        found = await ada.ask("GET", f"{at}?root=list&type=array")
        assert (found.json(), found.headers["etag"]) == ([1.5], f'W/"{version}"')
        notes = await ada.ask("GET", f"{at}?root=notes&type=text&download=true")
        assert notes.json() == "hé"
        assert 'filename="Untitled notes.json"' in notes.headers["content-disposition"]
        missing = await ada.ask("GET", f"{at}?root=note&type=text")
        assert (missing.status_code, missing.json()["code"]) == (422, "root_not_found")
        assert "list, notes, things" in missing.json()["detail"]


async def test_what_makes_no_sense_for_the_room_is_said_by_name(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, _, canvas = await opened(edge)
        _, _, free = await opened(edge, schema="open")
        assert field_names(await ada.ask("GET", free)) == ["root", "type"]
        assert field_names(await ada.ask("GET", f"{free}?root=a")) == ["type"]
        assert field_names(await ada.ask("GET", f"{free}?root=a&type=table")) == ["type"]
        assert field_names(await ada.ask("GET", f"{free}?root=a&type=map&deleted=true")) == ["deleted"]
        assert field_names(await ada.ask("GET", f"{canvas}?root=a&type=map")) == ["root", "type"]
        assert field_names(await ada.ask("GET", f"{canvas}?deleted=1&download=yes")) == [
            "deleted",
            "download",
        ]
        assert (await ada.ask("GET", f"{ROOMS}/nowhere/document")).status_code == 404
        assert (await edge.http.get(canvas)).status_code == 401
        assert edge.services.readers.child.processes() == []


async def test_a_read_that_hangs_costs_its_asker_alone(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H10: the child that holds its GIL is killed, 503 in words; others are read, and the loop turned."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.005)
            turns += 1

    async with open_edge(tmp_path, empty_database) as edge:
        ada, room_id, at = await opened(edge)
        other = f"{ROOMS}/{(await ada.room())['id']}/document"
        assert (await ada.ask("GET", other)).status_code == 200
        monkeypatch.setattr(edge.services.readers.child, "_deadline_s", 0.5)
        with monkeypatch.context() as patch:
            patch.setattr("server.readers.read_drawing", hold_the_gil)
            counting = asyncio.create_task(count())
            hanging = asyncio.create_task(ada.ask("GET", at))
            while not edge.services.readers.child._turn.locked():
                await asyncio.sleep(0)
        monkeypatch.setattr(edge.services.readers.child, "_deadline_s", 60)
        behind = await asyncio.gather(*(ada.ask("GET", other) for _ in range(3)))
        refused = await hanging
        counting.cancel()
        assert [answer.status_code for answer in behind] == [200] * 3
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["code"] == "took_too_long"
        assert "too long" in refused.json()["detail"]
        assert refused.headers["retry-after"]
        assert turns > 10
        # not asked again: a script that repeats it would keep the child from everybody
        assert (await ada.ask("GET", at)).json()["code"] == "took_too_long"
        doc: Doc[Any] = Doc()
        doc.get("elements", type=Map)["a"] = element("rectangle")
        await send(ada, room_id, doc.get_update())
        assert (await ada.ask("GET", at)).status_code == 200


async def test_a_child_that_dies_and_a_crowd_are_answered_503(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H10: in words, and the next one is read."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, _, at = await opened(edge)
        with monkeypatch.context() as patch:
            patch.setattr("server.readers.read_drawing", die)
            assert (await ada.ask("GET", at)).json()["code"] == "unavailable"
        monkeypatch.setattr(edge.services.readers.child, "_most_waiting", 0)
        crowded = await ada.ask("GET", at)
        assert (crowded.status_code, crowded.json()["code"]) == (503, "busy")
        monkeypatch.setattr(edge.services.readers.child, "_most_waiting", 1)
        assert (await ada.ask("GET", at)).status_code == 200
