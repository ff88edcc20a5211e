"""Every element type of Excalidraw 0.18.1 with every field it can have, none of them at its default.

Owns: the lists of types and fields that must survive the way from one browser through the document to another, and a
second value for each field. Source: the element types of @excalidraw/excalidraw 0.18.1 (element/types.d.ts).
"""

import base64
import hashlib
import struct
import zlib
from typing import Any

from tests.browser.scenes import Element


def png(red: int, green: int, blue: int, side: int = 24) -> bytes:
    """A square of one colour as a PNG file."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes((red, green, blue)) * side
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(row * side))
        + chunk(b"IEND", b"")
    )


def file_of(data: bytes) -> dict[str, Any]:
    """An image as Excalidraw's `addFiles` takes it; its id is the hash of its bytes."""
    return {
        "id": hashlib.sha256(data).hexdigest(),
        "dataURL": f"data:image/png;base64,{base64.b64encode(data).decode()}",
        "mimeType": "image/png",
        "created": 1,
    }


FILES = [file_of(png(200, 40, 90)), file_of(png(20, 90, 200))]

# Field: its value, and another one. Common to all types.
COMMON: dict[str, tuple[Any, Any]] = {
    "x": (300.5, -120.25),
    "y": (200.25, 77),
    "width": (120, 61.5),
    "height": (80, 43.25),
    "angle": (0.5, 1.25),
    "strokeColor": ("#e03131", "#2f9e44"),
    "backgroundColor": ("#ffc9c9", "#b2f2bb"),
    "fillStyle": ("cross-hatch", "zigzag"),
    "strokeWidth": (4, 1),
    "strokeStyle": ("dashed", "dotted"),
    "roughness": (2, 0),
    "opacity": (70, 35),
    "seed": (42, 4711),
    "groupIds": (["inner", "outer"], ["other"]),
    "frameId": ("frame", "magicframe"),
    "roundness": ({"type": 3, "value": 17}, {"type": 2}),
    "link": ("https://example.org/a?b=c#d", "/r/somewhere?element=x"),
    "locked": (True, False),
    "customData": ({"deep": {"list": [1, "two", None, True]}}, {"other": 0.5}),
    "isDeleted": (False, True),
    # No field of today's Excalidraw: what a later version adds must not get lost.
    "fieldOfTomorrow": ({"kept": True}, {"kept": "still"}),
}
LINE: dict[str, tuple[Any, Any]] = {
    "points": ([[0, 0], [60, 30], [120, 80]], [[0, 0], [61.5, 43.25]]),
    "lastCommittedPoint": ([120, 80], [60, 30]),
    "startBinding": (
        {"elementId": "rectangle", "focus": 0.25, "gap": 6},
        {"elementId": "diamond", "focus": -0.5, "gap": 2},
    ),
    "endBinding": (
        {"elementId": "ellipse", "focus": -0.25, "gap": 3},
        {"elementId": "text", "focus": 0.1, "gap": 9},
    ),
    "startArrowhead": ("circle_outline", "crowfoot_one"),
    "endArrowhead": ("diamond_outline", "triangle"),
}
# Field: its value, and another one. Of one type only.
PARTICULAR: dict[str, dict[str, tuple[Any, Any]]] = {
    "rectangle": {},
    "diamond": {},
    "ellipse": {},
    "embeddable": {},
    "iframe": {},
    "frame": {"name": ("Sketches", "Plans")},
    "magicframe": {"name": ("Magic", "Wand")},
    "text": {
        "text": ("two\nlines", "one line"),
        "originalText": ("two lines", "one line"),
        "fontSize": (28, 16),
        "fontFamily": (8, 6),
        "textAlign": ("center", "right"),
        "verticalAlign": ("middle", "bottom"),
        "containerId": ("rectangle", "diamond"),
        "autoResize": (False, True),
        "lineHeight": (1.35, 1.15),
    },
    "freedraw": {
        "points": ([[0, 0], [60.5, 30.25], [120, 80]], [[0, 0], [61.5, 43.25], [10, 20]]),
        "pressures": ([0.25, 0.5, 0.75], [0.1, 0.2, 0.3]),
        "simulatePressure": (False, True),
        "lastCommittedPoint": ([120, 80], [10, 20]),
    },
    "line": LINE,
    "arrow": LINE | {"elbowed": (False,)},
    "elbow": LINE
    | {
        "points": ([[0, 0], [60, 0], [60, 80], [120, 80]], [[0, 0], [0, 43.25], [61.5, 43.25]]),
        "startBinding": (
            {"elementId": "rectangle", "focus": 0.25, "gap": 6, "fixedPoint": [1.05, 0.4]},
            {"elementId": "diamond", "focus": 0, "gap": 1, "fixedPoint": [0.5, -0.1]},
        ),
        "endBinding": (
            {"elementId": "ellipse", "focus": 0.5, "gap": 4, "fixedPoint": [-0.05, 0.6]},
            {"elementId": "text", "focus": 0, "gap": 1, "fixedPoint": [0.5, 1.1]},
        ),
        "elbowed": (True,),
        "fixedSegments": (
            [{"index": 2, "start": [60, 0], "end": [60, 80]}],
            [{"index": 1, "start": [0, 0], "end": [0, 43.25]}],
        ),
        "startIsSpecial": (True, False),
        "endIsSpecial": (True, False),
        "angle": (0,),
    },
    "image": {
        "fileId": (FILES[0]["id"], FILES[1]["id"]),
        "scale": ([-1, 1], [1, -1]),
        "crop": (
            {"x": 2, "y": 3, "width": 10, "height": 12, "naturalWidth": 24, "naturalHeight": 24},
            {"x": 0, "y": 1, "width": 20, "height": 4, "naturalWidth": 24, "naturalHeight": 24},
        ),
    },
}
FRAMES = ("frame", "magicframe")


def fields_of(name: str) -> dict[str, tuple[Any, ...]]:
    """All fields of a type; one that has no second value can't be changed by itself."""
    fields: dict[str, tuple[Any, ...]] = COMMON | PARTICULAR[name]
    # Frames don't nest.
    return fields | ({"frameId": (None,)} if name in FRAMES else {})


def element_of(name: str, id_: str) -> Element:
    """A new element with every field set."""
    return {
        "id": id_,
        "type": "arrow" if name == "elbow" else name,
        "version": 1,
        "versionNonce": 1,
        "updated": 1,
        "index": None,
        "boundElements": None,
    } | {field: values[0] for field, values in fields_of(name).items()}


def one_of_each() -> list[Element]:
    """One element of every type, with its type as id, so that the bindings above find them."""
    return [element_of(name, name) for name in PARTICULAR]


def one_for_each_field() -> tuple[list[Element], dict[str, dict[str, Any]]]:
    """For every field of every type an element of its own, and what is to be changed in it."""
    elements, changes = [], {}
    for name in PARTICULAR:
        for field, values in fields_of(name).items():
            if len(values) > 1:
                element = element_of(name, f"{name}-{field}")
                elements.append(element)
                changes[element["id"]] = {field: values[1]}
    return elements, changes
