"""A canvas document as an Excalidraw file: stored groups to the JSON that Excalidraw opens.

Owns: the element made of its groups, its defaults, the drawing order, what holds on to what. Does not own:
reading a document (readings.py), checking and mending stored values (canvas.py).
The same file as our browser client writes, held together by a fixture that both read: what is missing or
unusable gets a default, so that no stored value can crash an editor. Pure.
Keeps rule C10. Source: static/src/binding/elements.ts, values.ts, bonds.ts; Excalidraw 0.18 data/restore.ts.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from party.canvas import ELEMENT_TYPES, FIELDS

MAX_COORDINATE: Final = 1e8
MAX_SIZE: Final = 1e6
"""A larger shape would hang the editor, which draws hachures line by line."""

MAX_TEXT: Final = 100_000
MAX_POINTS: Final = 50_000
MAX_DEPTH: Final = 48

FILL_STYLES: Final = ("hachure", "cross-hatch", "solid", "zigzag")
STROKE_STYLES: Final = ("solid", "dashed", "dotted")
ARROWHEADS: Final = frozenset(
    (
        *("arrow", "bar", "dot", "circle", "circle_outline", "triangle", "triangle_outline", "diamond"),
        *("diamond_outline", "crowfoot_one", "crowfoot_many", "crowfoot_one_or_many"),
    )
)
SAFE_SCHEMES: Final = frozenset(
    (
        *("http", "https", "mailto", "tel", "sms", "ftp", "geo", "obsidian", "vscode", "slack", "msteams"),
        *("zoommtg", "file"),
    )
)

NOT_IN_META: Final = frozenset(
    (
        *("id", "version", "versionNonce", "updated", "boundElements", "status", "index", "isDeleted"),
        *("__proto__", "constructor", "prototype"),
        *("type", "seed"),
        *(field for group in ("geometry", "style", "text", "image") for field in FIELDS[group]),
    )
)
"""Fields that are stored elsewhere, derived, or would be taken for another type's."""

NUMBERS: Final = (float, int)
UNSAFE: Final = frozenset(("__proto__", "constructor", "prototype"))

Fields = dict[str, Any]

_INVISIBLE: Final = re.compile(
    "[\\u0000-\\u0020\\u007f-\\u009f\\u200b-\\u200f\\u2028-\\u202f\\ufeff]"  # browsers skip them in a scheme
)
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE | re.ASCII)
_INDEX: Final = re.compile(r"[A-Za-z][0-9A-Za-z]*")


def drawing(
    elements: Mapping[str, Any], meta: Mapping[str, Any], *, source: str, deleted: bool = False
) -> dict[str, Any]:
    """The roots `elements` and `meta` of a canvas document as the JSON of an `.excalidraw` file.

    In drawing order; deleted elements only when asked for. Images are named by their hash (`fileId`); their
    bytes are no part of the document, so `files` is empty.
    """
    made = [
        one
        for id_, groups in elements.items()
        if isinstance(groups, dict) and (one := element(id_, groups)) is not None
    ]
    held = bonds(made)
    shown = [
        one | {"boundElements": held.get(one["id"], [])} for one in made if deleted or not one["isDeleted"]
    ]
    shown.sort(key=_order)
    background = meta.get("background")
    usable = isinstance(background, str) and len(background) <= 128
    return {
        "type": "excalidraw",
        "version": 2,
        "source": source,
        "elements": shown,
        "appState": {"viewBackgroundColor": background if usable else "#ffffff"},
        "files": {},
    }


def _order(one: Fields) -> tuple[bool, str, bytes]:
    """By fractional index, then by id as JavaScript compares strings; what has no index comes last."""
    index = one["index"]
    return index is None, index or "", one["id"].encode("utf-16-be", "surrogatepass")


def bonds(elements: Iterable[Fields]) -> dict[str, list[dict[str, str]]]:
    """Shape id to the arrows and texts that hold on to it, in the order of their ids."""
    held: dict[str, dict[str, str]] = {}
    for one in elements:
        if one["isDeleted"]:
            continue
        if one["type"] == "text" and one["containerId"] is not None:
            held.setdefault(one["containerId"], {})[one["id"]] = "text"
        if one["type"] == "arrow":
            for end in (one["startBinding"], one["endBinding"]):
                if end is not None:
                    held.setdefault(end["elementId"], {})[one["id"]] = "arrow"
    return {
        shape: [
            {"id": id_, "type": kind}
            for id_, kind in sorted(
                holders.items(), key=lambda one: one[0].encode("utf-16-be", "surrogatepass")
            )
        ]
        for shape, holders in held.items()
    }


def element(id_: str, groups: Mapping[str, Any]) -> Fields | None:
    """One element of its groups; None when its type is unknown."""
    kind = _object(groups.get("kind"))
    type_ = kind.get("type")
    if not isinstance(type_, str) or type_ not in ELEMENT_TYPES:
        return None
    geometry, style = _object(groups.get("geometry")), _object(groups.get("style"))
    made = {
        **_meta(id_, _object(groups.get("meta"))),
        **_style(style),
        **_box(geometry),
        "id": id_,
        "type": type_,
        "seed": _number(kind.get("seed"), 1, 0, 2**53),
        "version": 1,
        "versionNonce": 0,
        "updated": 1,
        "index": _index(groups.get("z")),
        "isDeleted": groups.get("deleted") is True,
        "boundElements": None,
    }
    match type_:
        case "text":
            made |= _words(id_, _object(groups.get("text")))
        case "image":
            made |= _image(_object(groups.get("image")))
        case "freedraw":
            made |= _stroke(geometry)
        case "line":
            heads = {name: _arrowhead(style, name, None) for name in ("startArrowhead", "endArrowhead")}
            made |= _line(id_, geometry, made, elbowed=False) | heads
        case "arrow":
            made |= _arrow(id_, geometry, style, made)
        case "frame" | "magicframe":
            # frames don't nest; a ring of them would never end
            name = made.get("name")
            made |= {"frameId": None, "name": name[:1000] if isinstance(name, str) else None}
    return made


def _meta(id_: str, meta: Fields) -> Fields:
    fields = {name: _copy(value) for name, value in meta.items() if name not in NOT_IN_META}
    if not isinstance(fields.get("customData", {}), dict):
        del fields["customData"]
    frame_id = _id(meta.get("frameId"))
    group_ids = meta.get("groupIds")
    roundness = _object(meta.get("roundness"))
    fields["groupIds"] = [
        one for one in (group_ids[:1000] if isinstance(group_ids, list) else ()) if _id(one) is not None
    ]
    fields["frameId"] = None if frame_id == id_ else frame_id
    fields["locked"] = _flag(meta.get("locked"), False)
    fields["link"] = _link(meta.get("link"))
    fields["roundness"] = None
    if _is_number(roundness.get("type")) and roundness["type"] in (1, 2, 3):
        fields["roundness"] = {"type": roundness["type"]}
        if _is_number(roundness.get("value")):
            fields["roundness"]["value"] = _number(roundness["value"], 0, 0, MAX_SIZE)
    return fields


def _style(style: Fields) -> Fields:
    return {
        "strokeColor": _text(style.get("strokeColor"), "#1e1e1e", 128) or "#1e1e1e",
        "backgroundColor": _text(style.get("backgroundColor"), "transparent", 128) or "transparent",
        "fillStyle": _one_of(style.get("fillStyle"), FILL_STYLES, "solid"),
        "strokeWidth": _number(style.get("strokeWidth"), 2, 0.1, 1000),
        "strokeStyle": _one_of(style.get("strokeStyle"), STROKE_STYLES, "solid"),
        "roughness": _number(style.get("roughness"), 1, 0, 100),
        "opacity": _number(style.get("opacity"), 100, 0, 100),
    }


def _box(geometry: Fields) -> Fields:
    width = _number(geometry.get("width"), 0, -MAX_SIZE, MAX_SIZE)
    height = _number(geometry.get("height"), 0, -MAX_SIZE, MAX_SIZE)
    return {
        "x": _number(geometry.get("x"), 0) + min(width, 0),
        "y": _number(geometry.get("y"), 0) + min(height, 0),
        "width": abs(width),
        "height": abs(height),
        "angle": _number(geometry.get("angle"), 0, -1e4, 1e4),
    }


def _words(id_: str, text: Fields) -> Fields:
    shown = _text(text.get("text"), "")
    container_id = _id(text.get("containerId"))
    return {
        "text": shown,
        "originalText": _text(text.get("originalText"), shown),
        "fontSize": _number(text.get("fontSize"), 20, 0.1, 1e4),
        "fontFamily": _number(text.get("fontFamily"), 5, 0, 1e6),
        "textAlign": _one_of(text.get("textAlign"), ("left", "center", "right"), "left"),
        "verticalAlign": _one_of(text.get("verticalAlign"), ("top", "middle", "bottom"), "top"),
        "containerId": None if container_id == id_ else container_id,
        "autoResize": _flag(text.get("autoResize"), True),
        "lineHeight": _number(text.get("lineHeight"), 1.25, 0.1, 100),
    }


def _image(image: Fields) -> Fields:
    file_id = _id(image.get("fileId"))
    crop = _object(image.get("crop"))
    sides = {
        side: _number(crop.get(side), 0, 0, MAX_SIZE)
        for side in ("width", "height", "naturalWidth", "naturalHeight")
    }
    place = {"x": _number(crop.get("x"), 0), "y": _number(crop.get("y"), 0)}
    return {
        "fileId": file_id,
        "scale": _pair(image.get("scale"), 1000) or [1, 1],
        "crop": place | sides if all(side > 0 for side in sides.values()) else None,
        "status": "pending" if file_id is None else "saved",
    }


def _stroke(geometry: Fields) -> Fields:
    pressures = geometry.get("pressures")
    return {
        "points": _pairs(geometry.get("points")) or [[0, 0]],
        "pressures": [
            _number(one, 0.5) for one in (pressures[:MAX_POINTS] if isinstance(pressures, list) else ())
        ],
        "simulatePressure": _flag(geometry.get("simulatePressure"), True),
        "lastCommittedPoint": _pair(geometry.get("lastCommittedPoint"), MAX_SIZE),
    }


def _line(id_: str, geometry: Fields, made: Fields, *, elbowed: bool) -> Fields:
    points = _pairs(geometry.get("points")) or [[0, 0]]
    if len(points) == 1:
        points.append([made["width"], made["height"]])
    return {
        "points": points,
        "lastCommittedPoint": _pair(geometry.get("lastCommittedPoint"), MAX_SIZE),
        "startBinding": _binding(id_, geometry.get("startBinding"), elbowed=elbowed),
        "endBinding": _binding(id_, geometry.get("endBinding"), elbowed=elbowed),
    }


def _arrow(id_: str, geometry: Fields, style: Fields, made: Fields) -> Fields:
    elbowed = _flag(geometry.get("elbowed"), False)
    fields = {
        **_line(id_, geometry, made, elbowed=elbowed),
        "startArrowhead": _arrowhead(style, "startArrowhead", None),
        "endArrowhead": _arrowhead(style, "endArrowhead", "arrow"),
        "elbowed": elbowed,
    }
    if elbowed:
        start, end = geometry.get("startIsSpecial"), geometry.get("endIsSpecial")
        fields |= {
            "angle": 0,
            "fixedSegments": _segments(geometry.get("fixedSegments")),
            "startIsSpecial": start if isinstance(start, bool) else None,
            "endIsSpecial": end if isinstance(end, bool) else None,
        }
    return fields


def _arrowhead(style: Fields, name: str, otherwise: str | None) -> str | None:
    value = style.get(name, otherwise)
    if value is None:
        return None
    return value if isinstance(value, str) and value in ARROWHEADS else otherwise


def _binding(id_: str, value: Any, *, elbowed: bool) -> Fields | None:
    """An elbow arrow holds on to a fixed point of the shape; without one Excalidraw can't route it."""
    binding = _object(value)
    element_id = _id(binding.get("elementId"))
    fixed_point = _pair(binding.get("fixedPoint"), 1e4)
    if element_id is None or element_id == id_ or (elbowed and fixed_point is None):
        return None
    made = {
        "elementId": element_id,
        "focus": _number(binding.get("focus"), 0, -1e4, 1e4),
        "gap": _number(binding.get("gap"), 1, -MAX_SIZE, MAX_SIZE),
    }
    return made if fixed_point is None else made | {"fixedPoint": fixed_point}


def _segments(value: Any) -> list[Fields] | None:
    if not isinstance(value, list):
        return None
    made = []
    for one in map(_object, value[:1000]):
        start, end, index = (
            _pair(one.get("start"), MAX_SIZE),
            _pair(one.get("end"), MAX_SIZE),
            one.get("index"),
        )
        if start and end and index is not None and _is_number(index) and index % 1 == 0:
            made.append({"start": start, "end": end, "index": index})
    return made


# -- one untrusted value ------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(
    value: Any, otherwise: float, least: float = -MAX_COORDINATE, most: float = MAX_COORDINATE
) -> Any:
    return min(max(value, least), most) if _is_number(value) else otherwise


def _flag(value: Any, otherwise: bool) -> bool:
    return value if isinstance(value, bool) else otherwise


def _text(value: Any, otherwise: str, longest: int = MAX_TEXT) -> str:
    return value[:longest] if isinstance(value, str) else otherwise


def _one_of(value: Any, choices: tuple[str, ...], otherwise: str) -> str:
    return value if isinstance(value, str) and value in choices else otherwise


def _id(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 256 else None


def _object(value: Any) -> Fields:
    return value if isinstance(value, dict) else {}


def _pair(value: Any, most: float) -> list[Any] | None:
    if not isinstance(value, list) or len(value) < 2 or not (_is_number(value[0]) and _is_number(value[1])):
        return None
    return [_number(value[0], 0, -most, most), _number(value[1], 0, -most, most)]


def _pairs(value: Any) -> list[list[Any]]:
    pairs = []
    for one in value[:MAX_POINTS] if isinstance(value, list) else ():
        # the usual point without a call: 237,000 of them in 100 ms instead of 650
        if (
            type(one) is list
            and len(one) == 2
            and type(one[0]) in NUMBERS
            and type(one[1]) in NUMBERS
            and -MAX_SIZE <= one[0] <= MAX_SIZE
            and -MAX_SIZE <= one[1] <= MAX_SIZE
        ):
            pairs.append(one)
        elif (pair := _pair(one, MAX_SIZE)) is not None:
            pairs.append(pair)
    return pairs


def _link(value: Any) -> str | None:
    """A link that can't run a script: no scheme, or one that only opens or calls."""
    if not isinstance(value, str) or len(value) > 8192:
        return None
    found = _SCHEME.match(_INVISIBLE.sub("", value))
    if found is None:
        return value
    scheme = found[1].lower()
    # "example.com:8080/x" has no scheme in the reader's sense: a dot never occurs in those that matter
    return value if "." in scheme or scheme == "localhost" or scheme in SAFE_SCHEMES else None


def _index(value: Any) -> str | None:
    """The fractional index when it is one: Excalidraw throws on a malformed one."""
    if not isinstance(value, str) or len(value) > 256 or not _INDEX.fullmatch(value):
        return None
    head = ord(value[0])
    whole = head - ord("a") + 2 if head >= ord("a") else ord("Z") - head + 2
    if len(value) < whole or (len(value) > whole and value.endswith("0")) or value == "A" + "0" * 26:
        return None
    return value


def _copy(value: Any, depth: int = 0) -> Any:
    """Plain values without names that would reach an object's prototype."""
    if isinstance(value, dict) and depth <= MAX_DEPTH:
        return {name: _copy(inner, depth + 1) for name, inner in value.items() if name not in UNSAFE}
    if isinstance(value, list) and depth <= MAX_DEPTH:
        return [_copy(inner, depth + 1) for inner in value]
    return None if isinstance(value, dict | list) else value
