"""Every element type and every field goes from one browser through the document into another; images too."""

import base64
from typing import Any

import pytest

from tests.browser.conftest import Meet
from tests.browser.elements import FILES, one_for_each_field, one_of_each, png
from tests.browser.people import Person
from tests.browser.scenes import LOCAL, Element, Scene, whole

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

# As the editor itself does when somebody draws: what holds on to a shape is listed at the shape.
WITH_BONDS = """(elements) => { const holders = {};
  const hold = (shape, id, type) => shape && ((holders[shape] ??= new Map()).set(id, { id, type }));
  for (const one of elements.filter((one) => !one.isDeleted)) {
    if (one.type === "text") hold(one.containerId, one.id, "text");
    if (one.type === "arrow") for (const end of [one.startBinding, one.endBinding]) hold(end?.elementId, one.id, "arrow");
  }
  return elements.map((one) => ({ ...one, boundElements: [...(holders[one.id]?.values() ?? [])] })); }"""
PUT = f"""([elements, files]) => {{ const {{ api }} = window.kanvas;
  api.addFiles(files);
  const nonce = () => Math.floor(Math.random() * 2 ** 31);
  api.updateScene({{ captureUpdate: "IMMEDIATELY", elements: ({WITH_BONDS})(
    [...api.getSceneElementsIncludingDeleted(), ...elements.map((one) => ({{ ...one, versionNonce: nonce() }}))]) }}); }}"""
CHANGE = f"""(changes) => {{ const {{ api }} = window.kanvas;
  const nonce = () => Math.floor(Math.random() * 2 ** 31);
  api.updateScene({{ captureUpdate: "IMMEDIATELY", elements: ({WITH_BONDS})(
    api.getSceneElementsIncludingDeleted().map((one) => changes[one.id]
      ? {{ ...one, ...changes[one.id], version: one.version + 1, versionNonce: nonce() }} : one)) }}); }}"""
MARGIN = frozenset({"boundElements"}) | LOCAL


def lost(wanted: list[Element], scene: Scene) -> list[str]:
    """Which fields of which elements aren't as they were put in."""
    there = {one["id"]: one for one in scene}
    return [
        f"{one['id']}.{name}: {value!r} became {there.get(one['id'], {}).get(name, 'nothing')!r}"
        for one in wanted
        for name, value in one.items()
        if name not in MARGIN and whole(there.get(one["id"], {}).get(name, "nothing")) != whole(value)
    ] + [
        f"{one['id']}.{name} appeared"
        for one in wanted
        for name in there.get(one["id"], {})
        if name not in one
    ]


async def test_every_field_of_every_element_type_arrives(meet: Meet) -> None:
    """With all fields set, and with each field of each type changed by itself."""
    meeting = await meet()
    ada, grace = meeting.people
    each = one_of_each()
    singles, changes = one_for_each_field()
    assert len(each) == 13
    assert len(singles) > 300

    await ada.ask(PUT, [[*each, *singles], FILES])
    scene = await meeting.agree(lambda scene: len(scene) == len(each) + len(singles))
    assert lost([*each, *singles], await grace.scene()) == []
    shape = next(one for one in scene if one["id"] == "rectangle")
    assert {"arrow", "elbow", "text"} <= {bond["id"] for bond in shape["boundElements"]}

    await ada.ask(CHANGE, changes)
    gone = {id_ for id_, change in changes.items() if change.get("isDeleted")}
    await meeting.agree(lambda scene: len(scene) == len(each) + len(singles) - len(gone))
    wanted = [one | changes[one["id"]] for one in singles if one["id"] not in gone]
    assert lost([*each, *wanted], await grace.scene()) == []
    # Grace's editor agrees when it reads the document afresh, too.
    await grace.page.reload()
    await grace.arrive()
    await meeting.agree(lambda scene: len(scene) == len(each) + len(wanted))
    assert lost([*each, *wanted], await grace.scene()) == []


async def test_a_pasted_image_is_uploaded_and_shows_at_the_other_person(meet: Meet) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    picture = png(230, 73, 128, side=64)
    await ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await ada.page.mouse.move(550, 350)
    await ada.ask(COPY, base64.b64encode(picture).decode())
    await ada.press("Control+v")
    scene = await meeting.agree(lambda scene: len(scene) == 1)
    image = scene[0]
    assert image["type"] == "image"
    for person in (ada, grace):
        await person.until("(id) => Boolean(window.kanvas.api.getFiles()[id])", image["fileId"])
        await colour_at(person, image, (230, 73, 128))
    path = f"/api/v1/rooms/{meeting.room_id}/assets/{image['fileId']}"
    answer = await grace.page.request.get(f"{meeting.server.url}{path}")
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"


COPY = """async (data) => { const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]); }"""


async def colour_at(person: Person, element: Element, colour: tuple[int, int, int]) -> None:
    """Wait until the canvas shows this colour in the middle of the element."""
    x, y = await person.at(element["x"] + element["width"] / 2, element["y"] + element["height"] / 2)
    argument: Any = [x, y, list(colour)]
    await person.until(
        """([x, y, colour]) => { const canvas = document.querySelector("canvas.excalidraw__canvas.static");
          const box = canvas.getBoundingClientRect(); const scale = canvas.width / box.width;
          const data = canvas.getContext("2d").getImageData((x - box.left) * scale, (y - box.top) * scale, 1, 1).data;
          return colour.every((value, at) => Math.abs(value - data[at]) < 4); }""",
        argument,
    )
