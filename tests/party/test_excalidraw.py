"""party.excalidraw and party.readings: a document as the file that Excalidraw opens, and roots as JSON."""

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from party.errors import DocumentBroken, RootNotFound
from party.excalidraw import drawing
from party.readings import read_drawing, read_root

FIXTURE = Path(__file__).parents[2] / "static" / "tests" / "app" / "export.json"
SOURCE = "https://kanvas.example"


def fixture() -> tuple[bytes, dict[str, Any]]:
    """A document and the file our browser client makes of it (static/tests/app/export.test.ts)."""
    held = json.loads(FIXTURE.read_text(encoding="utf-8"))
    return base64.b64decode(held["update"]), held["file"]


def test_the_export_is_the_file_our_client_writes() -> None:
    """C10: element by element, in the same order, odd values mended the same way."""
    update, file = fixture()
    made = json.loads(read_drawing(update, (), SOURCE, False))
    assert [one["id"] for one in made["elements"]] == [one["id"] for one in file["elements"]]
    for one, other in zip(made["elements"], file["elements"], strict=True):
        assert one == other, one["id"]
    assert made == file


def test_deleted_elements_come_when_they_are_asked_for() -> None:
    """C10: marked as deleted; they hold on to nothing."""
    update, file = fixture()
    made = json.loads(read_drawing(update, (), SOURCE, True))["elements"]
    assert {one["id"] for one in made} - {one["id"] for one in file["elements"]} == {"gone", "gone label"}
    assert [one["id"] for one in made if one["isDeleted"]] == ["gone", "gone label"]
    assert [one for one in made if not one["isDeleted"]] == file["elements"]


def test_an_empty_document_is_an_empty_drawing() -> None:
    """C10: on a white canvas."""
    assert json.loads(read_drawing(b"\x00\x00", (), "kanvas", False)) == {
        "type": "excalidraw",
        "version": 2,
        "source": "kanvas",
        "elements": [],
        "appState": {"viewBackgroundColor": "#ffffff"},
        "files": {},
    }


@pytest.mark.parametrize("wrong", [None, 3, "x", [], {"kind": None}, {"kind": {"type": []}}, {"kind": {}}])
def test_what_is_no_element_is_left_out(wrong: Any) -> None:
    """C10: and does not harm the others."""
    made = drawing({"wrong": wrong, "right": {"kind": {"type": "frame"}}}, {"background": 7}, source="s")
    assert [one["id"] for one in made["elements"]] == ["right"]
    assert made["appState"] == {"viewBackgroundColor": "#ffffff"}


def open_document() -> tuple[bytes, list[bytes]]:
    """A base and two frames with a root of each type."""
    doc: Doc[Any] = Doc()
    things: Map[Any] = doc.get("things", type=Map)
    base = doc.get_update()
    frames: list[bytes] = []
    subscription = doc.observe(lambda event: frames.append(event.update))
    with doc.transaction():
        things["lamp"] = {"watts": 40.5, "on": True, "tags": ["a", None]}
        things["nested"] = Map({"list": Array([1, Text("words")])})
        doc.get("list", type=Array).extend(["é\u2028", 2, Map({"three": 3})])
    with doc.transaction():
        doc.get("notes", type=Text).insert(0, 'hello "room" 👋')
        doc.get("page", type=XmlFragment).children.append(XmlElement("p", {"k": "v"}, [XmlText("hi")]))
    doc.unobserve(subscription)
    return base, frames


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        (
            "things",
            "map",
            {
                "lamp": {"watts": 40.5, "on": True, "tags": ["a", None]},
                "nested": {"list": [1, "words"]},
            },
        ),
        ("list", "array", ["é\u2028", 2, {"three": 3}]),
        ("notes", "text", 'hello "room" 👋'),
        ("page", "xml", '<p k="v">hi</p>'),
        ("notes", "map", {}),
    ],
)
def test_a_root_is_read_as_the_type_it_is_said_to_be(name: str, kind: Any, expected: Any) -> None:
    """C7: base and frames together; Yjs does not store what type a root is."""
    base, frames = open_document()
    assert json.loads(read_root(base, frames, name, kind)) == expected


def test_a_root_that_is_not_there_is_told_with_those_that_are() -> None:
    base, frames = open_document()
    with pytest.raises(RootNotFound, match="list, notes, page, things") as caught:
        read_root(base, frames, "thing", "map")
    # it comes out of a child process
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, again.names) == (caught.value.message, caught.value.names)
    with pytest.raises(RootNotFound, match="nothing was written yet"):
        read_root(b"\x00\x00", (), "thing", "map")


def test_bytes_that_are_no_document_are_said_to_be_broken() -> None:
    with pytest.raises(DocumentBroken):
        read_drawing(b"\x07nonsense", (), SOURCE, False)
