"""What else a room has: cursors and the people bar, following a view, files in and out."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import Meet
from tests.browser.elements import FILES
from tests.browser.people import Person, new_person
from tests.browser.scenes import differences, stored
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

POINTER = """([name, x, y]) => [...window.kanvas.api.getAppState().collaborators.values()].some((one) =>
  one.username === name && one.pointer && Math.hypot(one.pointer.x - x, one.pointer.y - y) < 1)"""
SELECTED = """([name, id]) => [...window.kanvas.api.getAppState().collaborators.values()].some((one) =>
  one.username === name && one.selectedElementIds?.[id])"""
CENTRE = """() => { const s = window.kanvas.api.getAppState();
  return [s.width / 2 / s.zoom.value - s.scrollX, s.height / 2 / s.zoom.value - s.scrollY, s.zoom.value]; }"""
NEAR = f"""([x, y, zoom]) => {{ const at = ({CENTRE})();
  return Math.hypot(at[0] - x, at[1] - y) < 2 && Math.abs(at[2] - zoom) < 0.01; }}"""


async def test_people_see_each_other_and_follow_a_view(
    browser: Browser, server: LiveServer, everyone: list[Person], meet: Meet
) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    box = await ada.draw("r", (300, 120), (400, 200))
    await meeting.agree()

    # Live cursors with names, and what somebody has selected.
    for x in (350, 480):
        await ada.page.mouse.move(*await ada.at(x, 300))
        await grace.until(POINTER, ["Ada", x, 300])
    await ada.select(box["id"])
    await grace.until(SELECTED, ["Ada", box["id"]])

    # The people bar: who comes, who goes.
    bar = grace.page.get_by_test_id("people")
    await expect(bar).to_have_attribute("aria-label", "2 people in the room")
    linus = await new_person(browser, server, "Linus")
    everyone.append(linus)
    await linus.enter(meeting.room_id)
    await expect(bar.get_by_role("button", name="Follow Linus")).to_be_visible()
    await expect(bar).to_have_attribute("aria-label", "3 people in the room")
    await linus.page.goto(server.url)
    await expect(bar).to_have_attribute("aria-label", "2 people in the room")

    # Following: my view goes where theirs goes, until I pan myself.
    await bar.get_by_role("button", name="Follow Ada").click()
    await expect(bar.get_by_role("button", name="Stop following Ada")).to_be_visible()
    await ada.until("() => window.kanvas.api.getAppState().followedBy.size === 1")
    await ada.page.mouse.move(600, 400)
    await ada.page.mouse.wheel(300, 200)
    await grace.until(NEAR, await ada.ask(CENTRE))
    await ada.press("Control+-")
    await grace.until(NEAR, await ada.ask(CENTRE))
    await grace.page.mouse.move(600, 400)
    await grace.page.mouse.wheel(0, 250)
    await expect(bar.get_by_role("button", name="Follow Ada")).to_be_visible()
    left = await grace.ask(CENTRE)
    await ada.until("() => window.kanvas.api.getAppState().followedBy.size === 0")
    await ada.page.mouse.wheel(-300, -200)
    await ada.page.mouse.move(*await ada.at(200, 100))
    await grace.until(POINTER, ["Ada", 200, 100])
    assert await grace.ask(CENTRE) == pytest.approx(left)


async def test_a_drawing_goes_out_as_a_file_and_comes_into_another_room(meet: Meet, tmp_path: Path) -> None:
    """Shapes, a bound arrow and an image: exported by the menu, added to an empty room, then in place of another."""
    meeting = await meet()
    ada, _ = meeting.people
    await ada.draw("r", (300, 120), (400, 200))
    await ada.draw("o", (560, 120), (660, 200))
    await ada.draw("a", (406, 160), (552, 160))
    await ada.write(300, 300, "out and in")
    await ada.ask(
        """([file]) => { const { api } = window.kanvas; api.addFiles([file]);
          const [shape] = api.getSceneElements().filter((one) => one.type === "rectangle");
          api.updateScene({ captureUpdate: "IMMEDIATELY", elements: [...api.getSceneElementsIncludingDeleted(),
            { ...shape, id: "picture", type: "image", x: 560, y: 300, width: 64, height: 64, boundElements: null,
              roundness: null, index: null, fileId: file.id, scale: [1, 1], crop: null, status: "saved" }] }); }""",
        [FILES[0]],
    )
    before = await meeting.agree(lambda scene: len(scene) == 5)
    file = tmp_path / "drawing.excalidraw"
    async with ada.page.expect_download() as download:
        await menu(ada, "menu-export")
    await (await download.value).save_as(file)
    content = json.loads(file.read_text())
    assert (content["type"], len(content["elements"])) == ("excalidraw", 5)
    assert content["files"][FILES[0]["id"]]["dataURL"] == FILES[0]["dataURL"]

    other = await meet()
    ada, grace = other.people
    await bring_in(ada, file, "Add to the drawing")
    after = await other.agree(lambda scene: len(scene) == 5)
    assert differences(stored(before), stored(after)) == []
    await grace.until("(id) => Boolean(window.kanvas.api.getFiles()[id])", FILES[0]["id"])

    # A second time the ids are taken: the drawing is copied, its bonds among themselves.
    await bring_in(grace, file, "Add to the drawing")
    scene = await other.agree(lambda scene: len(scene) == 10)
    ids = {one["id"] for one in scene}
    arrows = [one for one in scene if one["type"] == "arrow"]
    assert len({(one["startBinding"]["elementId"], one["endBinding"]["elementId"]) for one in arrows}) == 2
    assert {one["startBinding"]["elementId"] for one in arrows} <= ids
    await bring_in(ada, file, "Replace the drawing")
    await other.agree(lambda scene: len(scene) == 5)
    await ada.press("Control+z")
    await other.agree(lambda scene: len(scene) == 10)


async def menu(person: Person, entry: str) -> None:
    """Choose an entry of the editor's menu."""
    await person.page.get_by_test_id("main-menu-trigger").click()
    await person.page.get_by_test_id(entry).click()


async def bring_in(person: Person, file: Path, manner: str) -> None:
    async with person.page.expect_file_chooser() as chooser:
        await menu(person, "menu-import")
    chosen: Any = await chooser.value
    await chosen.set_files(file)
    await (
        person.page.get_by_role("dialog", name="Import a drawing").get_by_role("button", name=manner).click()
    )
