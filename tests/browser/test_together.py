"""Two people at the same element at the same moment: whoever changes different things, both win."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.browser.conftest import Meet
from tests.browser.people import Meeting, Person
from tests.browser.scenes import Element, Scene, groups_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

BLUE = "#1971c2"
RED = "#e03131"


def only(scene: Scene) -> Element:
    [element] = scene
    return element


async def heard_of(person: Person, id_: str, group: str, name: str, value: object) -> None:
    """Wait until a change has arrived in the person's document, shown or not."""
    await person.until(
        "([id, group, name, value]) => window.kanvas.doc.getMap('elements').get(id).get(group)[name] === value",
        [id_, group, name, value],
    )


async def start_drag(person: Person, element: Element) -> None:
    await person.nothing_selected()
    await person.grab(element["x"], element["y"] + element["height"] * 0.3)
    await person.pull((element["x"] + 60, element["y"] + 90))


async def start_resize(person: Person, element: Element) -> None:
    await person.select(element["id"])
    corner = element["x"] + element["width"], element["y"] + element["height"]
    # The handle stands a little off the corner.
    await person.grab(corner[0] + 6, corner[1] + 6)
    await person.pull((corner[0] + 80, corner[1] + 60))


@pytest.mark.parametrize("start", [start_drag, start_resize], ids=["drag", "resize"])
async def test_a_gesture_and_a_recolour_both_win_and_undo_takes_back_mine_only(
    meet: Meet, start: Callable[[Person, Element], Awaitable[None]]
) -> None:
    """Recoloured in the middle of my gesture and after it: both stay, also after my undo."""
    meeting = await meet()
    ada, grace = meeting.people
    before = await ada.draw("r", (300, 120), (400, 200))
    await meeting.agree()
    shape = {name: before[name] for name in ("x", "y", "width", "height")}

    def is_back(scene: Scene) -> bool:
        return {name: only(scene)[name] for name in shape} == shape

    await start(ada, before)
    await grace.recolour(before["id"], strokeColor=BLUE)
    await heard_of(ada, before["id"], "style", "strokeColor", BLUE)
    await ada.drop()
    scene = await meeting.agree(lambda scene: not is_back(scene))
    assert only(scene)["strokeColor"] == BLUE

    await ada.press("Control+z")
    scene = await meeting.agree(is_back)
    assert only(scene)["strokeColor"] == BLUE, "my undo took back the other's recolour"

    await ada.press("Control+Shift+Z")
    await meeting.agree(lambda scene: not is_back(scene))
    await grace.recolour(before["id"], strokeColor=RED)
    await meeting.agree(lambda scene: only(scene)["strokeColor"] == RED)
    await ada.press("Control+z")
    scene = await meeting.agree(is_back)
    assert only(scene)["strokeColor"] == RED, "my undo took back the other's recolour"


async def test_typing_and_a_recolour_both_win_and_undo_takes_back_the_words_only(meet: Meet) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    label = await ada.write(400, 200, "one")
    await meeting.agree()

    x, y = label["x"] + label["width"] / 2, label["y"] + label["height"] / 2
    await ada.click(x, y, click_count=2)
    await ada.page.wait_for_selector("textarea.excalidraw-wysiwyg")
    await ada.press("End")
    await ada.page.keyboard.type(" two")
    await grace.recolour(label["id"], strokeColor=BLUE)
    await heard_of(ada, label["id"], "style", "strokeColor", BLUE)
    await ada.page.keyboard.type(" three")
    await ada.press("Escape")
    scene = await meeting.agree(lambda scene: only(scene)["originalText"] == "one two three")
    assert only(scene)["strokeColor"] == BLUE

    await ada.press("Control+z")
    scene = await meeting.agree(lambda scene: only(scene)["originalText"] == "one")
    assert only(scene)["strokeColor"] == BLUE


async def test_both_move_and_one_moves_what_the_other_deletes(meet: Meet) -> None:
    """The same group twice: the last wins, and it is the same last for everybody. A deletion beats a move."""
    meeting = await meet()
    ada, grace = meeting.people
    box = await ada.draw("r", (300, 120), (400, 200))
    await meeting.agree()

    await asyncio.gather(start_drag(ada, box), start_drag(grace, box))
    await ada.pull((320, 400))
    await grace.pull((700, 160))
    await asyncio.gather(ada.drop(), grace.drop())
    scene = await meeting.agree(lambda scene: only(scene)["x"] != 300)
    moved = only(scene)
    assert (moved["x"], moved["y"]) in {(320, 376), (700, 136)}

    await start_drag(ada, moved)
    # Grace takes hold of it where she sees it: on its way.
    await grace.sees(box["id"], x=moved["x"] + 60)
    await grace.select(box["id"])
    await grace.press("Delete")
    await ada.until("(id) => window.kanvas.doc.getMap('elements').get(id).get('deleted') === true", box["id"])
    await ada.drop()
    assert await meeting.agree(lambda scene: scene == []) == []
    groups = groups_of(await meeting.state())[box["id"]]
    assert groups["deleted"] is True
    # Both changes are in the document: whoever restores it finds it where it was dropped.
    assert groups["geometry"]["x"] == moved["x"] + 60

    await grace.press("Control+z")
    scene = await meeting.agree(lambda scene: len(scene) == 1)
    assert only(scene)["x"] == moved["x"] + 60


async def test_arrows_of_two_people_to_one_shape_both_hold(meet: Meet) -> None:
    """What is bound to a shape is derived, so neither arrow loses its hold."""
    meeting = await meet()
    ada, grace = meeting.people
    box = await ada.draw("r", (500, 200), (600, 280))
    await meeting.agree()
    one, two = await asyncio.gather(
        ada.draw("a", (300, 240), (492, 240)), grace.draw("a", (800, 240), (608, 240))
    )
    scene = await meeting.agree(lambda scene: len(scene) == 3)
    assert {bond["id"] for bond in find(scene, box)["boundElements"]} == {one["id"], two["id"]}
    await ada.drag_element(box["id"], 0, 100)
    scene = await meeting.agree(lambda scene: find(scene, box)["y"] == 300)
    for arrow in (one, two):
        assert find(scene, arrow)["points"][-1][1] > 50, "an arrow did not follow its shape"


def find(scene: Scene, element: Element) -> Element:
    return next(one for one in scene if one["id"] == element["id"])


async def test_words_in_a_shape_stay_in_it_while_somebody_moves_it(meet: Meet) -> None:
    """Ada types into a shape, Grace moves it meanwhile: the words belong to it for both, and move along later."""
    meeting = await meet()
    ada, grace = meeting.people
    box = await ada.draw("r", (300, 120), (460, 220))
    await meeting.agree()
    await ada.press("Enter")
    await ada.page.wait_for_selector("textarea.excalidraw-wysiwyg")
    await ada.page.keyboard.type("in")
    await grace.drag_element(box["id"], 200, 100)
    await heard_of(ada, box["id"], "geometry", "x", 500)
    await ada.page.keyboard.type("side")
    await ada.press("Escape")
    scene = await meeting.agree(lambda scene: len(scene) == 2)
    words = next(one for one in scene if one["type"] == "text")
    assert words["containerId"] == box["id"]
    assert find(scene, box)["boundElements"] == [{"id": words["id"], "type": "text"}]

    await ada.drag_element(box["id"], -100, 50)
    scene = await meeting.agree(lambda scene: find(scene, box)["x"] == 400)
    moved, words = find(scene, box), find(scene, words)
    assert words["x"] + words["width"] / 2 == pytest.approx(moved["x"] + moved["width"] / 2, abs=2)
    assert words["y"] + words["height"] / 2 == pytest.approx(moved["y"] + moved["height"] / 2, abs=2)


async def draw_apart(meeting: Meeting, top: float) -> list[str]:
    """Both draw on top of all while they can't hear each other; everything in order, lowest first."""
    number = len(await meeting.people[0].scene())
    for person in meeting.people:
        await person.ask("() => window.kanvas.provider.disconnect()")
    for left, person in zip((300, 420), meeting.people, strict=True):
        await person.draw("r", (left, top), (left + 80, top + 60))
    for person in meeting.people:
        await person.ask("() => window.kanvas.provider.connect()")
    scene = await meeting.agree(lambda scene: len(scene) == number + 2)
    groups = groups_of(await meeting.state())
    low, high = ids(scene)[-2:]
    assert groups[low]["z"] == groups[high]["z"], "they were to get the same place"
    return ids(scene)


async def test_what_was_drawn_at_the_same_moment_can_be_put_in_any_order(meet: Meet) -> None:
    """Both drew on top of all, so both elements share a place in the order; what comes between them stays there."""
    meeting = await meet()
    ada, grace = meeting.people
    low, high = await draw_apart(meeting, 120)
    third = (await ada.draw("o", (560, 120), (640, 200)))["id"]
    await meeting.agree(lambda scene: ids(scene) == [low, high, third])
    await ada.press("Control+[")
    await meeting.agree(lambda scene: ids(scene) == [low, third, high])
    await grace.select(low)
    await grace.press("Control+]")
    await meeting.agree(lambda scene: ids(scene) == [third, low, high])

    # A copy goes beside what it was copied from.
    *_, low, high = await draw_apart(meeting, 320)
    await grace.select(low)
    await grace.press("Control+d")
    scene = await meeting.agree(lambda scene: len(scene) == 6)
    assert (ids(scene)[3], ids(scene)[5]) == (low, high)


def ids(scene: Scene) -> list[str]:
    return [one["id"] for one in scene]
