"""party.canvas: what a valid element value is, and what an invalid one becomes."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from party import canvas, wire
from party.canvas import ELEMENT_TYPES, FIELDS, REQUIRED, check_touched, check_value, is_kind, mend
from party.document import Document, Fix, NotPlain
from tests.party.contents import content
from tests.party.peers import ANNA, Peer, doc_of, open_room, settle
from tests.party.test_wire import json_values
from tests.party.updates import ANY, ANY_FIVE, EMPTY_MAP, FORMAT, STRING, TYPE, item, text, update

GOOD: dict[str, Any] = {
    "kind": {"type": "arrow", "seed": 12345},
    "geometry": {
        "x": -1.5,
        "y": 0,
        "width": 100,
        "height": 1e6,
        "angle": 3.14,
        "points": [[0, 0], [1.5, -2]],
        "pressures": [0.5, 1],
        "simulatePressure": False,
        "lastCommittedPoint": None,
        "startBinding": {"elementId": "b", "focus": 0.1, "gap": 2},
        "endBinding": None,
        "elbowed": False,
        "fixedSegments": [{"index": 1}],
        "startIsSpecial": None,
        "endIsSpecial": True,
    },
    "text": {
        "text": "héllo 😀",
        "originalText": "héllo 😀",
        "fontSize": 20,
        "fontFamily": 5,
        "textAlign": "center",
        "verticalAlign": "middle",
        "containerId": None,
        "autoResize": True,
        "lineHeight": 1.25,
    },
    "style": {
        "strokeColor": "#1e1e1e",
        "backgroundColor": "transparent",
        "fillStyle": "hachure",
        "strokeWidth": 2,
        "strokeStyle": "dashed",
        "roughness": 1,
        "opacity": 100,
        "startArrowhead": None,
        "endArrowhead": "bar",
    },
    "image": {"fileId": "ab" * 32, "scale": [1, -1], "crop": {"x": 1}},
    "z": "a0V",
    "meta": {
        "groupIds": ["g"],
        "frameId": None,
        "locked": True,
        "link": "https://example.org",
        "roundness": {"type": 3},
        "customData": {"anything": [1, None]},
        "name": "frame",
    },
    "deleted": False,
}


@pytest.mark.parametrize("key", GOOD)
def test_valid_values_are_left_alone(key: str) -> None:
    """C1, D6: every field of every group as the editor writes it."""
    assert check_value("e", key, GOOD[key]) is None


def test_the_groups_are_those_of_the_rules() -> None:
    """C1: the fields of SPEC.md, group by group, are the fields that are checked (or free by C5)."""
    spec = Path(canvas.__file__).with_name("SPEC.md").read_text(encoding="utf-8")
    for group, fields in FIELDS.items():
        row = next(line for line in spec.splitlines() if line.startswith(f"| `{group}` |"))
        listed = {name.strip(" |") for name in row.split("|")[2].split(",")}
        free = {"customData", "name and every field not named here"} if group == "meta" else set()
        assert set(fields) == listed - free
    assert set(GOOD) == {*FIELDS, "kind", "z", "deleted"}


@pytest.mark.parametrize("kind", [*({"type": name, "seed": 0} for name in sorted(ELEMENT_TYPES))])
def test_every_type_of_the_editor_is_known(kind: dict[str, Any]) -> None:
    """C2: with a seed from 0 to 2^53."""
    assert is_kind(kind)


@pytest.mark.parametrize(
    "kind",
    [
        None,
        5,
        "rectangle",
        [],
        {},
        {"type": "rectangl", "seed": 1},
        {"type": "", "seed": 1},
        {"type": None, "seed": 1},
        {"type": [], "seed": 1},
        {"type": {}, "seed": 1},
        {"type": ["rectangle"], "seed": 1},
        {"type": "rectangle", "seed": "1"},
        {"type": "rectangle", "seed": None},
        {"type": "rectangle", "seed": True},
        {"type": "rectangle", "seed": math.nan},
        {"type": "rectangle", "seed": math.inf},
        {"type": "rectangle", "seed": -1},
        {"type": "rectangle", "seed": 2**54},
        NotPlain(),
    ],
)
def test_an_element_without_a_kind_is_removed(kind: Any) -> None:
    """C2: whatever stands in the place of the type or the seed."""
    assert check_value("e", "kind", kind) == Fix("e", None, remove=True)


@pytest.mark.parametrize(
    ("group", "field", "wrong"),
    [
        ("geometry", "x", math.nan),
        ("geometry", "x", math.inf),
        ("geometry", "y", 1e9),
        ("geometry", "x", "5"),
        ("geometry", "width", None),
        ("geometry", "height", True),
        ("geometry", "angle", -1e5),
        ("geometry", "points", [[0, 0], [1]]),
        ("geometry", "points", [[0, math.nan]]),
        ("geometry", "points", {}),
        ("geometry", "points", [[0, 0]] * 50_001),
        ("geometry", "pressures", [-1]),
        ("geometry", "pressures", ["a"]),
        ("geometry", "startBinding", {"elementId": 5}),
        ("geometry", "endBinding", {}),
        ("geometry", "endBinding", []),
        ("geometry", "fixedSegments", [1]),
        ("geometry", "elbowed", None),
        ("geometry", "lastCommittedPoint", [1]),
        ("text", "text", None),
        ("text", "text", "x" * 100_001),
        ("text", "fontSize", 0),
        ("text", "fontSize", 1e6),
        ("text", "textAlign", "justify"),
        ("text", "verticalAlign", 1),
        ("text", "containerId", "x" * 129),
        ("text", "lineHeight", 0),
        ("style", "strokeColor", 5),
        ("style", "backgroundColor", "x" * 129),
        ("style", "fillStyle", "dots"),
        ("style", "strokeWidth", -1),
        ("style", "opacity", 101),
        ("style", "roughness", [1]),
        ("style", "endArrowhead", 1),
        ("image", "fileId", 1),
        ("image", "scale", [1, 1, 1]),
        ("image", "crop", []),
        ("meta", "groupIds", ["x" * 129]),
        ("meta", "groupIds", "g"),
        ("meta", "groupIds", ["g"] * 1001),
        ("meta", "frameId", {}),
        ("meta", "locked", 1),
        ("meta", "link", "javascript:alert(1)"),
        ("meta", "link", "  JavaScript:alert(1)"),
        ("meta", "link", "data:text/html,x"),
        ("meta", "link", "vbscript:x"),
        ("meta", "link", "x" * 9000),
        ("meta", "roundness", 3),
    ],
)
def test_a_wrong_field_takes_its_default(group: str, field: str, wrong: Any) -> None:
    """C3: not finite, out of range, of another type, too long; the other fields stay."""
    value = {**GOOD[group], field: wrong}
    fix = check_value("e", group, value)
    assert fix is not None
    assert fix.value == {**GOOD[group], field: FIELDS[group][field][1]}
    assert check_value("e", group, fix.value) is None


@pytest.mark.parametrize("group", FIELDS)
@pytest.mark.parametrize("value", [None, 5, "x", [], True, NotPlain()])
def test_a_group_that_is_no_object_becomes_one(group: str, value: Any) -> None:
    """C3: with the fields an element cannot do without."""
    fix = check_value("e", group, value)
    assert fix is not None
    assert set(fix.value) == REQUIRED[group]
    assert check_value("e", group, fix.value) is None


@pytest.mark.parametrize("group", FIELDS)
def test_required_fields_are_added(group: str) -> None:
    """C3: an empty object is not enough, except for meta."""
    mended = mend(group, {})
    assert set(mended) == REQUIRED[group]
    assert mend(group, mended) is mended


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("z", "", Fix("e", "z", remove=True)),
        ("z", None, Fix("e", "z", remove=True)),
        ("z", "a" * 257, Fix("e", "z", remove=True)),
        ("z", 5, Fix("e", "z", remove=True)),
        ("deleted", None, Fix("e", "deleted", False)),
        ("deleted", 1, Fix("e", "deleted", False)),
        ("unknown", NotPlain(), Fix("e", "unknown", remove=True)),
    ],
)
def test_single_values(key: str, value: Any, fix: Fix) -> None:
    """C3: z is a short text or nothing, deleted a flag; a shared type is nowhere a value (C1)."""
    assert check_value("e", key, value) == fix


@given(st.sampled_from(sorted(FIELDS)), json_values)
def test_a_mended_value_is_valid_and_stays(group: str, value: Any) -> None:
    """C3: mending is done once, whatever came; and it changes no field that is right."""
    before = copy.deepcopy(value)
    mended = mend(group, value)
    assert mend(group, mended) is mended
    assert value == before
    json.dumps(mended, allow_nan=False)


@given(
    st.dictionaries(st.text(min_size=1).map(lambda name: f"my {name}"), json_values, max_size=4),
    st.sampled_from(sorted(FIELDS)),
)
def test_unknown_fields_and_keys_are_kept(more: dict[str, Any], group: str) -> None:
    """C5: also beside a field that has to be mended."""
    assert check_value("e", group, {**GOOD[group], **more}) is None
    field = next(iter(FIELDS[group]))
    fix = check_value("e", group, {**GOOD[group], field: object, **more})
    assert fix is not None
    assert more.items() <= fix.value.items()
    for name, value in more.items():
        assert check_value("e", name, value) is None


def test_values_are_checked_alone() -> None:
    """C4: any merge of valid values is valid: the groups of one element do not have to fit each other."""
    peer = Peer()
    peer.draw("a")
    for key, value in GOOD.items():
        peer.elements["a"][key] = value
    peer.elements["a"]["kind"] = {"type": "ellipse", "seed": 1}
    document = Document(watch_elements=True)
    with document.batch() as changes:
        document.apply(peer.doc.get_update())
    assert check_touched(document, changes.touched) == []
    peer.outgoing.clear()
    del peer.elements["a"]["geometry"]
    with document.batch() as changes:
        document.apply(peer.outgoing[0])
    assert check_touched(document, changes.touched) == []


def mended_room(*updates: bytes) -> dict[str, Any]:
    room = open_room(updates=())
    peer = Peer(ANNA)
    peer.enter(room)
    peer.read()
    for made in updates:
        peer.send(wire.encode_update(made))
    settle(room)
    return dict(content(doc_of(room.state(0.0)[1]))["elements"])


ELEMENT = item(TYPE, EMPTY_MAP, parent="elements", key="a")
KIND = item(
    ANY,
    b"\x01\x76\x02" + text("type") + b"\x77" + text("line") + text("seed") + b"\x7d\x05",
    parent=(1, 0),
    key="kind",
)


@pytest.mark.parametrize(
    "structs",
    [
        [item(ANY, ANY_FIVE, parent="elements", key="a")],
        [item(TYPE, b"\x00", parent="elements", key="a")],
        [item(TYPE, b"\x02", parent="elements", key="a")],
        [item(TYPE, EMPTY_MAP, parent="elements", key="")],
        [item(TYPE, EMPTY_MAP, parent="elements", key="x" * 129)],
        [ELEMENT, item(ANY, ANY_FIVE, parent=(1, 0), key="kind")],
        [ELEMENT, item(TYPE, EMPTY_MAP, parent=(1, 0), key="kind")],
        [ELEMENT, item(ANY, b"\x01\x76\x01" + text("type") + b"\x75\x00", parent=(1, 0), key="kind")],
    ],
)
def test_what_is_no_element_is_removed(structs: list[bytes]) -> None:
    """C1, C2: the id is a text of 1 to 128 characters, the element a map, its kind a known one."""
    assert mended_room(update((1, 0, structs))) == {}


def test_an_empty_key_is_a_key() -> None:
    """C1, C5: a shared type under the key "" is removed like any other, a plain value stays."""
    first = update((1, 0, [ELEMENT, KIND]))
    shared = update((1, 2, [item(TYPE, b"\x00", parent=(1, 0), key="")]))
    plain = update((1, 2, [item(ANY, ANY_FIVE, parent=(1, 0), key="")]))
    assert set(mended_room(first, shared)["a"]) == {"kind"}
    assert set(mended_room(first, plain)["a"]) == {"kind", ""}


@pytest.mark.parametrize(("schema", "code"), [("canvas", 4400), ("open", None)])
@pytest.mark.parametrize(
    "content_of_text",
    [item(STRING, text("hello"), parent="text"), item(FORMAT, text("b") + text("1"), parent="text")],
)
def test_shared_text_is_for_open_rooms(content_of_text: bytes, schema: Any, code: int | None) -> None:
    """C6, C7: a canvas room refuses it; an open room takes any root and does not look at values."""
    room = open_room(schema)
    peer = Peer(ANNA)
    peer.enter(room)
    peer.read()
    peer.send(wire.encode_update(update((1, 0, [content_of_text]))))
    settle(room)
    peer.send(wire.encode_update(update((2, 0, [item(ANY, ANY_FIVE, parent="elements", key="a")]))))
    settle(room)
    assert peer.wire.code == code
    assert room.view.seq == (0 if code else 2)
    if code is None:
        assert content(doc_of(room.state(0.0)[1]))["elements"] == {"a": 5}
