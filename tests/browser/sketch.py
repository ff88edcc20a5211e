"""The sketch in Kanvas's pictures: how a stroke travels.

Owns: its elements. Does not own: who draws it and what else is in a picture (`screenshot.py`, `trust_scenes.py`).
"""

from typing import Any

from tests.browser.people import SIZE, Person
from tests.browser.scenes import Element

NARROW_PX = 700
WIDTH, TOP = 690, 190
"""Of the sketch: how wide it is, and the middle of its heading."""

PUT = """(elements) => { const { api } = window.kanvas;
  const nonce = () => Math.floor(Math.random() * 2 ** 31);
  const bound = (id) => elements.filter((one) => one.containerId === id || one.startBinding?.elementId === id
    || one.endBinding?.elementId === id).map((one) => ({ id: one.id, type: one.type === "text" ? "text" : "arrow" }));
  api.updateScene({ captureUpdate: "IMMEDIATELY", elements: [...api.getSceneElementsIncludingDeleted(),
    ...elements.map((one) => ({ ...one, versionNonce: nonce(), boundElements: bound(one.id) }))] }); }"""
MEASURE = """([text, size]) => { const context = document.createElement("canvas").getContext("2d");
  context.font = `${size}px Excalifont`; return context.measureText(text).width; }"""

INK, RED, BLUE, GREEN, VIOLET = "#1e1e1e", "#e03131", "#1971c2", "#2f9e44", "#6741d9"


def element(id_: str, kind: str, box: tuple[float, float, float, float], **fields: Any) -> Element:
    """A new element with a box of x, y, width, height."""
    x, y, width, height = box
    style = {"strokeColor": INK, "backgroundColor": "transparent", "fillStyle": "solid", "strokeWidth": 2}
    rest = {
        "strokeStyle": "solid",
        "roughness": 1,
        "opacity": 100,
        "angle": 0,
        "seed": sum(map(ord, id_)) * 7919,
    }
    meta = {
        "groupIds": [],
        "frameId": None,
        "roundness": None,
        "link": None,
        "locked": False,
        "isDeleted": False,
    }
    place = {"id": id_, "type": kind, "x": x, "y": y, "width": width, "height": height, "index": None}
    return place | style | rest | meta | {"version": 1, "versionNonce": 1, "updated": 1} | fields


async def text(
    person: Person, id_: str, at: tuple[float, float], words: str, size: int = 20, **fields: Any
) -> Element:
    """Words centred on a point."""
    width = await person.ask(MEASURE, [words, size])
    box = (at[0] - width / 2, at[1] - size * 0.625, width, size * 1.25)
    particular = {
        "text": words,
        "originalText": words,
        "fontSize": size,
        "fontFamily": 5,
        "textAlign": "center",
    }
    layout = {"verticalAlign": "middle", "containerId": None, "autoResize": True, "lineHeight": 1.25}
    return element(id_, "text", box, **particular, **layout, **fields)


def arrow(
    id_: str, start: tuple[float, float], end: tuple[float, float], ends: tuple[str, str], **fields: Any
) -> Element:
    """An arrow that holds on to two shapes."""
    across = end[0] - start[0], end[1] - start[1]
    hold = [{"elementId": one, "focus": 0, "gap": 6} for one in ends]
    line = {
        "points": [[0, 0], list(across)],
        "lastCommittedPoint": None,
        "startBinding": hold[0],
        "endBinding": hold[1],
    }
    heads = {"startArrowhead": None, "endArrowhead": "arrow", "elbowed": False, "roundness": {"type": 2}}
    return element(id_, "arrow", (*start, abs(across[0]), abs(across[1])), **line, **heads, **fields)


async def sketch(person: Person, left: float) -> list[Element]:
    """A stroke's way from one hand to the other screen."""
    steps = [
        ("pen", "ellipse", "Ada draws", "#a5d8ff", BLUE),
        ("journal", "rectangle", "the journal", "#ffec99", "#f08c00"),
        ("eyes", "ellipse", "Grace sees", "#b2f2bb", GREEN),
    ]
    found: list[Element] = []
    for number, (id_, kind, words, fill, ink) in enumerate(steps):
        x = left + 260 * number
        fields = {
            "backgroundColor": fill,
            "strokeColor": ink,
            "roundness": {"type": 3 if kind == "rectangle" else 2},
        }
        found.append(element(id_, kind, (x, TOP + 60, 170, 100), **fields))
        label = await text(person, f"{id_}-label", (x + 85, TOP + 110), words, strokeColor=INK)
        found.append(label | {"containerId": id_})
    found.append(
        arrow("first", (left + 176, TOP + 110), (left + 254, TOP + 110), ("pen", "journal"), strokeColor=INK)
    )
    found.append(
        arrow(
            "second", (left + 436, TOP + 110), (left + 514, TOP + 110), ("journal", "eyes"), strokeColor=INK
        )
    )
    found.append(
        element(
            "check",
            "diamond",
            (left + 265, TOP + 270, 160, 110),
            backgroundColor="#ffc9c9",
            strokeColor=RED,
            roundness={"type": 2},
        )
    )
    found.append(
        await text(person, "check-label", (left + 345, TOP + 325), "kill -9 ?", strokeColor=INK)
        | {"containerId": "check"}
    )
    found.append(
        arrow(
            "down",
            (left + 345, TOP + 168),
            (left + 345, TOP + 264),
            ("journal", "check"),
            strokeColor=RED,
            strokeStyle="dashed",
        )
    )
    found.append(
        await text(person, "back", (left + 560, TOP + 325), "nothing is lost", 28, strokeColor=VIOLET)
    )
    found.append(await text(person, "head", (left + 345, TOP), "Journal before eyes", 36, strokeColor=VIOLET))
    return found


async def put_sketch(person: Person) -> float:
    """Draw it in the middle; its left edge."""
    width = (person.page.viewport_size or SIZE)["width"]
    left = max(0.0, (width - WIDTH) / 2)
    await person.ask(PUT, await sketch(person, left))
    await person.ask("() => document.fonts.ready.then(() => true)")
    return left


async def fit(person: Person) -> None:
    """Show all of it, where the screen is small."""
    if (person.page.viewport_size or SIZE)["width"] <= NARROW_PX:
        await person.ask("() => window.kanvas.api.scrollToContent(undefined, { fitToViewport: true })")
