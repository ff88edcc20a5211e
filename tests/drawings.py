"""Large drawings as Yjs updates, for tests of joins and reads.

Owns: a document of hand-drawn strokes and boxes, as the browser client would store it; the same for one seed.
"""

import random
from typing import Any

from pycrdt import Doc, Map

POINTS = 120

STYLE = {
    "strokeColor": "#1e1e1e",
    "backgroundColor": "transparent",
    "fillStyle": "solid",
    "strokeWidth": 2,
    "strokeStyle": "solid",
    "roughness": 1,
    "opacity": 100,
}
META = {"groupIds": [], "frameId": None, "locked": False, "link": None, "roundness": None}


def drawing(size_bytes: int, seed: int = 1) -> list[bytes]:
    """Updates of at most 256 KiB that make a drawing of about `size_bytes`; nine in ten bytes are strokes."""
    dice = random.Random(seed)
    doc: Doc[Any] = Doc(client_id=1000 + seed)
    elements: Map[Any] = doc.get("elements", type=Map)
    updates: list[bytes] = []
    made, number = 0, 0
    while made < size_bytes:
        before = doc.get_state()
        with doc.transaction():
            for _ in range(60):
                id_ = f"{dice.getrandbits(100):025x}"
                groups = _stroke(dice) if number % 3 else _box(dice)
                elements[id_] = Map(groups | {"z": f"b{number:06d}V", "meta": META, "deleted": False})
                number += 1
        updates.append(doc.get_update(before))
        made += len(updates[-1])
    return updates


def _stroke(dice: random.Random) -> dict[str, Any]:
    x, y = 0.0, 0.0
    points = [[x, y]]
    # pointer coordinates are whole pixels divided by the zoom: long fractions in half of the strokes
    zoom = dice.choice((1.0, 1.0, 1.1, 0.9))
    for _ in range(POINTS):
        x, y = x + round(dice.gauss(2, 3)), y + round(dice.gauss(0, 3))
        points.append([x / zoom, y / zoom])
    xs, ys = [one[0] for one in points], [one[1] for one in points]
    place = {
        "x": dice.uniform(-2000, 2000),
        "y": dice.uniform(-2000, 2000),
        "width": max(xs) - min(xs),
        "height": max(ys) - min(ys),
        "angle": 0,
        "points": points,
        "pressures": [],
        "simulatePressure": True,
        "lastCommittedPoint": points[-1],
    }
    return {
        "kind": {"type": "freedraw", "seed": dice.getrandbits(31)},
        "geometry": place,
        "style": STYLE,
    }


def _box(dice: random.Random) -> dict[str, Any]:
    place = {
        "x": dice.uniform(-2000, 2000),
        "y": dice.uniform(-2000, 2000),
        "width": dice.uniform(20, 300),
        "height": dice.uniform(20, 300),
        "angle": 0,
    }
    return {
        "kind": {"type": "rectangle", "seed": dice.getrandbits(31)},
        "geometry": place,
        "style": STYLE | {"backgroundColor": "#a5d8ff"},
    }
