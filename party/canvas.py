"""The canvas schema: what a valid element value is, and what an invalid one becomes.

Owns: the groups of an element, their fields, and the repair of one value alone (never across keys, so that
a merge of valid values is valid). Does not own: when it is checked (room) or how it is drawn (the client).
Keeps rules C1-C7. Pure. Source: Excalidraw 0.18 element types.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from party.document import UNREAD, Document, Fix, NotPlain

MAX_ID: Final = 128
MAX_TEXT: Final = 100_000
MAX_POINTS: Final = 50_000
MAX_COORDINATE: Final = 1e8
MAX_Z: Final = 256

Check = Callable[[Any], bool]

ELEMENT_TYPES: Final = frozenset(
    (
        *("rectangle", "diamond", "ellipse", "arrow", "line", "freedraw", "text", "image"),
        *("frame", "magicframe", "embeddable", "iframe"),
    )
)


def _is_number(value: Any, least: float = -MAX_COORDINATE, most: float = MAX_COORDINATE) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
    )


def _number(least: float = -MAX_COORDINATE, most: float = MAX_COORDINATE) -> Check:
    return lambda value: _is_number(value, least, most)


def _text(longest: int = MAX_TEXT) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= longest


def _one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _nullable(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _list_of(check: Check, longest: int) -> Check:
    return lambda value: isinstance(value, list) and len(value) <= longest and all(map(check, value))


def _is_binding(value: Any) -> bool:
    return isinstance(value, dict) and _text(MAX_ID)(value.get("elementId"))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_link(value: Any) -> bool:
    """No script runs from a link: the scheme is checked here and again by the editor."""
    return _text(8192)(value) and not value.lstrip().lower().startswith(("javascript:", "vbscript:", "data:"))


ARROWHEADS: Final = _nullable(_text(64))

FIELDS: Final[dict[str, dict[str, tuple[Check, Any]]]] = {
    "geometry": {
        "x": (_number(), 0),
        "y": (_number(), 0),
        "width": (_number(), 0),
        "height": (_number(), 0),
        "angle": (_number(-1e4, 1e4), 0),
        "points": (_list_of(_is_point, MAX_POINTS), [[0, 0], [0, 0]]),
        "pressures": (_list_of(_number(0, 1e3), MAX_POINTS), []),
        "simulatePressure": (_is_flag, True),
        "lastCommittedPoint": (_nullable(_is_point), None),
        "startBinding": (_nullable(_is_binding), None),
        "endBinding": (_nullable(_is_binding), None),
        "elbowed": (_is_flag, False),
        "fixedSegments": (_nullable(_list_of(_is_object, MAX_POINTS)), None),
        "startIsSpecial": (_nullable(_is_flag), None),
        "endIsSpecial": (_nullable(_is_flag), None),
    },
    "text": {
        "text": (_text(), ""),
        "originalText": (_text(), ""),
        "fontSize": (_number(0.01, 1e5), 20),
        "fontFamily": (_number(0, 1e6), 5),
        "textAlign": (_one_of("left", "center", "right"), "left"),
        "verticalAlign": (_one_of("top", "middle", "bottom"), "top"),
        "containerId": (_nullable(_text(MAX_ID)), None),
        "autoResize": (_is_flag, True),
        "lineHeight": (_number(0.01, 1e3), 1.25),
    },
    "style": {
        "strokeColor": (_text(128), "#1e1e1e"),
        "backgroundColor": (_text(128), "transparent"),
        "fillStyle": (_one_of("hachure", "cross-hatch", "solid", "zigzag"), "solid"),
        "strokeWidth": (_number(0, 1e4), 2),
        "strokeStyle": (_one_of("solid", "dashed", "dotted"), "solid"),
        "roughness": (_number(0, 100), 1),
        "opacity": (_number(0, 100), 100),
        "startArrowhead": (ARROWHEADS, None),
        "endArrowhead": (ARROWHEADS, None),
    },
    "image": {
        "fileId": (_nullable(_text(MAX_ID)), None),
        "scale": (_list_of(_number(-1e3, 1e3), 2), [1, 1]),
        "crop": (_nullable(_is_object), None),
    },
    "meta": {
        "groupIds": (_list_of(_text(MAX_ID), 1000), []),
        "frameId": (_nullable(_text(MAX_ID)), None),
        "locked": (_is_flag, False),
        "link": (_nullable(_is_link), None),
        "roundness": (_nullable(_is_object), None),
    },
}

REQUIRED: Final[dict[str, frozenset[str]]] = {
    "geometry": frozenset(("x", "y", "width", "height", "angle")),
    "text": frozenset(("text", "originalText", "fontSize", "fontFamily")),
    "style": frozenset(("strokeColor", "backgroundColor")),
    "image": frozenset(("fileId",)),
    "meta": frozenset(),
}


def is_element_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID


def is_kind(value: Any) -> bool:
    """True for `{type, seed}` with a known type (C2)."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("type"), str)
        and value["type"] in ELEMENT_TYPES
        and _is_number(value.get("seed", 1), 0, 2**53)
    )


def mend(group: str, value: Any) -> Any:
    """The value itself when it is valid, else the nearest valid one (C3). `group` is a key of FIELDS.

    Only fields that are wrong change; unknown fields stay.
    """
    fields = FIELDS[group]
    if not isinstance(value, dict):
        return {name: fields[name][1] for name in sorted(REQUIRED[group])}
    wrong = {
        name: default
        for name, (check, default) in fields.items()
        if (name in value and not check(value[name])) or (name not in value and name in REQUIRED[group])
    }
    return {**value, **wrong} if wrong else value


def check_value(element_id: str, key: str, value: Any) -> Fix | None:
    """The fix one stored value needs, None when it is valid. Unknown keys are left alone (C5)."""
    if key == "kind":
        return None if is_kind(value) else Fix(element_id, None, remove=True)
    if key == "z":
        return (
            None if isinstance(value, str) and 0 < len(value) <= MAX_Z else Fix(element_id, key, remove=True)
        )
    if key == "deleted":
        return None if isinstance(value, bool) else Fix(element_id, key, False)
    if key in FIELDS:
        mended = mend(key, value)
        return None if mended is value else Fix(element_id, key, mended)
    return Fix(element_id, key, remove=True) if isinstance(value, NotPlain) else None


def check_touched(document: Document, touched: Mapping[tuple[str, str | None], Any]) -> list[Fix]:
    """Check the values a batch touched, as `Changes` lists them; (id, None) is all of an element."""
    fixes: list[Fix] = []
    by_element: dict[str, dict[str | None, Any]] = {}
    for (element_id, key), value in touched.items():
        by_element.setdefault(element_id, {})[key] = value
    for element_id, by_key in sorted(by_element.items()):
        values: dict[str, Any] | None
        if None in by_key:
            values = document.values(element_id)
        elif UNREAD in by_key.values():
            values = document.values(element_id, [key for key in by_key if key is not None])
        else:
            values = {key: value for key, value in by_key.items() if key is not None}
        if values is None:
            if document.has_element(element_id):
                fixes.append(Fix(element_id, None, remove=True))
            continue
        if not is_element_id(element_id):
            fixes.append(Fix(element_id, None, remove=True))
            continue
        found = [
            fix
            for key, value in sorted(values.items())
            if (fix := check_value(element_id, key, value)) is not None
        ]
        gone = next((fix for fix in found if fix.key is None), None)
        fixes += [gone] if gone is not None else found
    return fixes
