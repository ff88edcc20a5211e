"""Small screens, fingers, the keyboard and screen readers."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.conftest import Meet
from tests.browser.people import Meeting, Person, Point, new_person
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
NAMED = {
    "button",
    "link",
    "textbox",
    "searchbox",
    "radio",
    "checkbox",
    "menuitem",
    "menuitemradio",
    "tab",
    "slider",
}


async def swipe(person: Person, *points: Point) -> None:
    """One finger down, along the points of the screen, and up.

    It rests before it is lifted: Chromium takes a swift end for a fling and swallows the tap that follows.
    It does not rest before it moves, however busy the machine is: that would be a long press.
    """
    finger = await person.context.new_cdp_session(person.page)

    async def touch(kind: str, x: float, y: float) -> None:
        await finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})

    first, second, *rest = points
    await asyncio.gather(touch("touchStart", *first), touch("touchMove", *second))
    for point in rest:
        await touch("touchMove", *point)
    await person.pause(150)
    await touch("touchMove", *points[-1])
    await finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    await finger.detach()


async def stroke(person: Person, *points: Point) -> None:
    """A pen that presses harder and harder, along the points of the screen."""
    pen = await person.context.new_cdp_session(person.page)
    for number, (x, y) in enumerate(points):
        kind = "mouseMoved" if number else "mousePressed"
        event = {
            "x": x,
            "y": y,
            "button": "left",
            "buttons": 1,
            "pointerType": "pen",
            "force": 0.2 + number / 10,
        }
        await pen.send("Input.dispatchMouseEvent", {"type": kind, **event})
    await pen.send("Input.dispatchMouseEvent", {"type": "mouseReleased", **event, "buttons": 0})
    await pen.detach()


async def tool(person: Person, name: str) -> None:
    """Tap a tool; the click that a tap makes comes a moment after it."""
    await person.page.locator("label", has=person.page.get_by_test_id(f"toolbar-{name}")).tap()
    await person.until("(name) => window.kanvas.api.getAppState().activeTool.type === name", name)


async def box_of(locator: Locator) -> tuple[float, float, float, float]:
    """Left, top, right, bottom on the screen."""
    await expect(locator).to_be_visible()
    box = await locator.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


async def fits(page: Page) -> None:
    """The page doesn't scroll sideways."""
    assert await page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


async def unnamed(person: Person) -> list[str]:
    """Controls a screen reader has no name for."""
    session = await person.context.new_cdp_session(person.page)
    tree = await session.send("Accessibility.getFullAXTree")
    missing = []
    for node in tree["nodes"]:
        role = node.get("role", {}).get("value", "")
        if role not in NAMED or node.get("ignored") or node.get("name", {}).get("value", "").strip():
            continue
        found = await session.send("DOM.resolveNode", {"backendNodeId": node["backendDOMNodeId"]})
        html = await session.send(
            "Runtime.callFunctionOn",
            {
                "objectId": found["object"]["objectId"],
                "functionDeclaration": "function () { return this.outerHTML; }",
            },
        )
        missing.append(f"{role}: {html['result']['value'][:200]}")
    await session.detach()
    return missing


async def test_a_phone_draws_with_a_finger_and_nothing_overlaps(
    browser: Browser, server: LiveServer, everyone: list[Person], meet: Meet
) -> None:
    ada = everyone[0]
    phone = await new_person(browser, server, "Margaret", **PHONE)
    everyone.append(phone)
    await fits(phone.page)
    await expect(phone.page.get_by_role("button", name="New room")).to_be_in_viewport()
    meeting: Meeting = await meet([phone, ada], title="A room with quite a long name to be cut off")
    await fits(phone.page)

    page = phone.page
    bar = await box_of(page.locator(".room__bar"))
    tools = await box_of(page.locator(".App-toolbar--mobile"))
    foot = await box_of(page.locator("footer.App-toolbar"))
    assert not overlap(bar, tools), (bar, tools)
    assert 0 <= tools[0] < tools[2] <= 390, tools
    assert foot[3] <= 844, foot
    parts = [
        page.get_by_role("link", name="Back to the lobby"),
        phone.indicator,
        page.get_by_test_id("people"),
    ]
    buttons = [page.get_by_test_id(name) for name in ("comments-button", "room-more", "share-button")]
    boxes = [await box_of(part) for part in [page.get_by_role("heading", level=1), *parts, *buttons]]
    for number, one in enumerate(boxes):
        assert not any(overlap(one, other) for other in boxes[number + 1 :]), boxes
        assert 0 <= one[0] < one[2] <= 390, boxes
    for left, _, right, _ in boxes[:2] + boxes[4:]:
        assert right - left >= 32
    # what has no place of its own is a tap further
    await page.get_by_test_id("room-more").tap()
    menu = page.get_by_role("menu", name="More of this room")
    assert await menu.get_by_role("menuitem").all_inner_texts() == ["Files"]
    left, _, right, _ = await box_of(menu)
    assert 0 <= left < right <= 390
    await menu.get_by_role("menuitem", name="Files").tap()
    await expect(page.get_by_role("heading", name="Files")).to_be_visible()
    await page.get_by_role("button", name="Close", exact=False).last.tap()
    await expect(page.get_by_test_id("room-more")).to_be_focused()

    await tool(phone, "rectangle")
    await swipe(phone, (80, 250), (120, 300), (180, 340))
    await phone.until("() => window.kanvas.doc.getMap('elements').size === 1")
    # To Excalidraw two touches within 300 ms are a double tap, wherever they are.
    await phone.pause(300)
    await tool(phone, "freedraw")
    await swipe(phone, (80, 450), (100, 470), (140, 440), (180, 480), (240, 460))
    scene = await meeting.agree(lambda scene: len(scene) == 2)
    assert [one["type"] for one in scene] == ["rectangle", "freedraw"]
    assert scene[0]["width"] == pytest.approx(100, abs=2)
    await stroke(phone, (80, 550), (120, 580), (160, 560), (200, 600))
    scene = await meeting.agree(lambda scene: len(scene) == 3)
    assert len(set(scene[2]["pressures"])) > 2
    assert scene[2]["simulatePressure"] is False
    assert await unnamed(phone) == []


async def test_the_keyboard_reaches_every_control_and_all_have_names(
    everyone: list[Person], meet: Meet
) -> None:
    ada = everyone[0]
    await ada.page.goto(ada.server.url)
    await expect(ada.page.get_by_role("button", name="New room")).to_be_visible()
    names = await tab_through(ada, 12)
    for name in ("Skip to the rooms", "Account of Ada", "New room", "My rooms", "Search rooms by name"):
        assert name in names, " | ".join(names)
    assert await unnamed(ada) == []

    await meet()
    await ada.draw("r", (300, 120), (400, 200))
    await expect(ada.page.get_by_role("button", name="Follow Grace")).to_be_visible()
    names = await tab_through(ada, 60)
    for name in ("Back to the lobby", "Follow Grace", "Share this room", "Undo", "Zoom in"):
        assert name in names, " | ".join(names)
    assert await unnamed(ada) == []


async def tab_through(person: Person, most: int) -> list[str]:
    """The names of what Tab comes to, one after the other."""
    names: list[str] = []
    for _ in range(most):
        await person.press("Tab")
        name = await person.ask(
            """() => { const at = document.activeElement;
              return (at.getAttribute("aria-label") ?? at.labels?.[0]?.innerText ?? at.innerText ?? "").trim(); }"""
        )
        if name:
            names.append(name)
    return names
