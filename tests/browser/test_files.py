"""Pictures and files in a room: dropped, pasted, picked, cancelled, taken back, and seen by somebody else."""

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import FileChooser, Route, expect

from tests.browser.conftest import Meet
from tests.browser.files import Given, drop, film, holding, paste, pdf, photo, sketch
from tests.browser.people import DEADLINE_S, Meeting, Person
from tests.browser.scenes import Element, Scene
from tests.browser.watch import NO_SERVER

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

# Longest side of the picture the editor shows for a file, 0 as long as there is none.
SHOWN = """async (id) => { const file = window.kanvas.api.getFiles()[id]; if (!file) return 0;
  const image = new Image(); image.src = file.dataURL; await image.decode();
  return Math.max(image.naturalWidth, image.naturalHeight); }"""
SHOWS = f"async ([id, least]) => (await ({SHOWN})(id)) >= least"
MADE = """async (room) => { const answer = await fetch(`/api/v1/rooms/${room}/assets?limit=1`);
  return (await answer.json()).items[0].renditions.length === 2; }"""
# Whether the canvas is grey or coloured in the middle of an element: Excalidraw's placeholder has no colour.
PIXEL = """(id) => { const element = window.kanvas.api.getSceneElements().find((one) => one.id === id);
  const s = window.kanvas.api.getAppState(); const canvas = document.querySelector("canvas.static");
  const scale = canvas.width / s.width;
  const at = (part, size, scroll) => Math.round((part + size * 0.1 + scroll) * s.zoom.value * scale);
  return [...canvas.getContext("2d").getImageData(at(element.x, element.width, s.scrollX), at(element.y, element.height, s.scrollY), 1, 1).data]; }"""

# Looks at the middle of an element.
LOOK = """([id, zoom]) => { const { api } = window.kanvas; const { width, height } = api.getAppState();
  const one = api.getSceneElements().find((element) => element.id === id);
  api.updateScene({ appState: { zoom: { value: zoom }, scrollX: width / 2 / zoom - one.x - one.width / 2,
    scrollY: height / 2 / zoom - one.y - one.height / 2 } }); }"""


def images(scene: Scene) -> list[Element]:
    return [one for one in scene if one["type"] == "image"]


async def only_image(person: Person) -> Element:
    [found] = images(await person.scene())
    return found


def tray(person: Person) -> Any:
    return person.page.get_by_test_id("upload")


async def test_a_photo_of_6_mb_is_seen_by_somebody_else(meet: Meet) -> None:
    """A placeholder at once, at the pointer and in its shape, with progress; others see it when it is stored."""
    meeting = await meet()
    ada, grace = meeting.people
    given = photo(turned=True)
    assert len(given.content) > 6_000_000
    async with holding(ada.page) as held:
        await drop(ada, [given], at=(500, 400))
        await ada.until("() => window.kanvas.api.getSceneElements().length === 1")
        placed = await only_image(ada)
        x, y = await ada.at(placed["x"] + placed["width"] / 2, placed["y"] + placed["height"] / 2)
        assert (x, y) == pytest.approx((500, 400), abs=1)
        # Turned by its EXIF data, as every browser shows it.
        assert placed["height"] / placed["width"] == pytest.approx(3000 / 2250, rel=0.01)
        await expect(tray(ada)).to_have_attribute("data-phase", "sending")
        await expect(ada.page.get_by_role("button", name="Cancel beach.jpg")).to_have_count(2)
        assert await grace.scene() == []
        await held.let_go()
    scene = await meeting.agree(lambda scene: len(images(scene)) == 1)
    sha = scene[0]["fileId"]
    # All of it where it is large on the screen, and never the 6 MB for a thumbnail.
    await grace.until(SHOWS, [sha, 600])
    await expect(tray(ada)).to_have_count(0)
    red, green, blue, _ = await grace.ask(PIXEL, scene[0]["id"])
    assert blue > red + 10, (red, green, blue)

    # Undo and redo as for any element.
    await ada.press("Control+z")
    await meeting.agree(lambda scene: images(scene) == [])
    await ada.press("Control+Shift+Z")
    await meeting.agree(lambda scene: len(images(scene)) == 1)


async def test_several_at_once_stand_side_by_side_and_one_is_cancelled(meet: Meet) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    given = [photo(f"day {day}.jpg", (900, 600), seed=day) for day in range(1, 6)]
    async with holding(ada.page) as held:
        await drop(ada, given)
        await ada.until("() => window.kanvas.api.getSceneElements().length === 5")
        await expect(ada.page.get_by_test_id("upload-mark")).to_have_count(5)
        boxes = images(await ada.scene())
        assert all(apart(one, other) for one in boxes for other in boxes if one is not other)
        await ada.page.get_by_role("button", name="Show the list").click()
        await tray(ada).filter(has_text="day 3.jpg").get_by_role("button").click()
        await ada.until("() => window.kanvas.api.getSceneElements().length === 4")
        await held.let_go()
    scene = await meeting.agree(lambda scene: len(images(scene)) == 4)
    for element in images(scene):
        await grace.until(SHOWS, [element["fileId"], 200])
    # Taken back together: they came as one step.
    await ada.press("Control+z")
    await meeting.agree(lambda scene: images(scene) == [])


def apart(one: Element, other: Element) -> bool:
    return bool(
        one["x"] + one["width"] <= other["x"]
        or other["x"] + other["width"] <= one["x"]
        or one["y"] + one["height"] <= other["y"]
        or other["y"] + other["height"] <= one["y"]
    )


async def test_pasted_and_picked_pictures_come_the_same_way(meet: Meet, tmp_path: Path) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    # from the beginning: the browser is asked to hand choosers out while the test goes on, and a key may be faster
    choosers: asyncio.Queue[FileChooser] = asyncio.Queue()
    grace.page.on("filechooser", choosers.put_nowait)
    await ada.click(300, 250)
    await paste(ada, [sketch("image.png", color="#1971c2")])
    scene = await meeting.agree(lambda scene: len(images(scene)) == 1)
    middle = scene[0]["x"] + scene[0]["width"] / 2, scene[0]["y"] + scene[0]["height"] / 2
    assert middle == pytest.approx((300, 250), abs=1)

    file = tmp_path / "picked.png"
    file.write_bytes(sketch(color="#e03131").content)
    second = tmp_path / "other.png"
    second.write_bytes(sketch(color="#6741d9").content)
    await grace.press("9")
    await (await asyncio.wait_for(choosers.get(), DEADLINE_S)).set_files([file, second])
    await meeting.agree(lambda scene: len(images(scene)) == 3)
    await grace.page.get_by_title("Insert image").click()
    # The same file again: no new upload, another element of the same picture.
    await (await asyncio.wait_for(choosers.get(), DEADLINE_S)).set_files(file)
    scene = await meeting.agree(lambda scene: len(images(scene)) == 4)
    assert len({one["fileId"] for one in images(scene)}) == 3


async def test_a_file_that_is_refused_goes_again_with_the_servers_words(meet: Meet) -> None:
    meeting = await meet()
    ada, _ = meeting.people
    await drop(ada, [Given("broken.png", "image/png", sketch().content[:200])])
    with ada.watch.expecting(r"status of 4\d\d"):
        await expect(ada.page.locator(".toast--bad")).to_contain_text("broken.png could not be shared:")
    await expect(tray(ada)).to_have_attribute("data-phase", "failed")
    await ada.page.get_by_role("button", name="Take broken.png off the list").click()
    await drop(ada, [Given("notes.txt", "text/plain", b"words")])
    await expect(ada.page.locator(".toast--bad").last).to_contain_text("notes.txt can't be added")
    await meeting.agree(lambda scene: scene == [])


async def test_an_upload_goes_on_after_a_lost_network_and_after_a_reload(meet: Meet) -> None:
    """Offline the picture is in the drawing at once (it is kept here), and it arrives when the network is back."""
    meeting = await meet()
    ada, grace = meeting.people
    # Grace asks for a picture that is on its way.
    with (
        ada.watch.expecting(NO_SERVER, r"ERR_FAILED"),
        grace.watch.expecting(r"status of 404 .*rendition=thumb"),
    ):
        await ada.context.set_offline(True)
        await drop(ada, [photo(size=(1200, 900))])
        await expect(tray(ada)).to_have_attribute("data-phase", "waiting")
        placed = await only_image(ada)
        await ada.until("(id) => window.kanvas.doc.getMap('elements').has(id)", placed["id"])
        await ada.context.set_offline(False)
        scene = await meeting.agree(lambda scene: len(images(scene)) == 1)
        await grace.until(SHOWS, [scene[0]["fileId"], 600])

        async with holding(ada.page):
            await drop(ada, [photo("later.jpg", (1500, 1100), seed=7)], at=(600, 500))
            await ada.until("() => window.kanvas.api.getSceneElements().length === 2")
            await ada.until(f"async () => (await ({WAITING})()) === 1")
            await ada.page.reload()
        await ada.arrive()
        scene = await meeting.agree(lambda scene: len(images(scene)) == 2)
        await grace.until(SHOWS, [images(scene)[1]["fileId"], 600])


# How many files wait on this browser's shelf.
WAITING = """async () => { const found = (await indexedDB.databases()).find(({ name }) => name.startsWith("kanvas-assets:"));
  if (!found) return 0;
  const db = await new Promise((resolve) => { const open = indexedDB.open(found.name); open.onsuccess = () => resolve(open.result); });
  const all = await new Promise((resolve) => {
    const asked = db.transaction("assets").objectStore("assets").getAll(); asked.onsuccess = () => resolve(asked.result); });
  db.close(); return all.filter((one) => !one.uploaded && !one.refused).length; }"""


async def test_far_away_a_thumbnail_near_the_rest_and_exports_carry_all_of_it(
    meet: Meet, tmp_path: Path
) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    given = photo(size=(2700, 2000), seed=3)
    await drop(ada, [given])
    scene = await meeting.agree(lambda scene: len(images(scene)) == 1)
    sha = scene[0]["fileId"]
    # Made after the answer; until then the picture itself comes in their place.
    await ada.until(MADE, meeting.room_id)
    for zoom, least, most in ((0.3, 100, 256), (1, 1500, 2048), (8, 2700, 2700), (0.3, 2700, 2700)):
        await grace.ask(LOOK, [scene[0]["id"], zoom])
        if least == 100:
            # A reload begins where one looked last.
            await grace.until(
                "(key) => JSON.parse(sessionStorage.getItem(key) ?? '[]')[2] === 0.3",
                f"kanvas.view:{meeting.room_id}",
            )
            await grace.page.reload()
            await grace.arrive()
        await grace.until(SHOWS, [sha, least])
        assert await grace.ask(SHOWN, sha) <= most

    # Who has seen the thumbnail only exports the picture.
    await grace.page.reload()
    await grace.arrive()
    file = tmp_path / "out.excalidraw"
    async with grace.page.expect_download() as download:
        await grace.page.keyboard.press("Control+s")
    await (await download.value).save_as(file)
    url = json.loads(file.read_text())["files"][sha]["dataURL"]
    content = base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.size == (2700, 2000)
        # Raises when anything is missing.
        picture.load()


async def test_a_pdf_and_a_video_are_cards_for_everybody(meet: Meet) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    async with holding(ada.page) as held:
        given = pdf()
        await drop(ada, [given])
        await expect(ada.page.get_by_test_id("upload-mark")).to_have_count(1)
        await held.let_go()
    scene = await meeting.agree(lambda scene: len(scene) == 1)
    assert scene[0]["type"] == "embeddable"
    assert scene[0]["link"].startswith("/api/v1/assets/")
    card = grace.page.get_by_test_id("attachment-card")
    await expect(card).to_contain_text("Minutes of the spring meeting.pdf")
    await expect(card).to_contain_text("PDF")
    await expect(card.get_by_role("link")).to_have_attribute("href", scene[0]["link"])
    async with grace.page.expect_download() as download:
        await card.get_by_role("link").dispatch_event("click")
    assert (await (await download.value).path()).read_bytes() == given.content

    await drop(ada, [await film(ada)], at=(700, 200))
    await meeting.agree(lambda scene: len(scene) == 2)
    await expect(grace.page.get_by_test_id("attachment-video")).to_have_count(1)
    await grace.until(
        "() => { const film = document.querySelector('video'); return film.videoWidth === 320 && film.readyState >= 1; }"
    )

    # A link to anywhere else is never loaded into the page.
    await ada.ask(
        """() => { const { api } = window.kanvas; api.updateScene({ captureUpdate: "IMMEDIATELY",
          elements: api.getSceneElementsIncludingDeleted().flatMap((one, at) => at ? [one] : [one, { ...one, id: "elsewhere",
            index: null, y: one.y + 200, customData: undefined, link: "https://example.org/" }]) }); }"""
    )
    await meeting.agree(lambda scene: len(scene) == 3)
    assert await grace.page.locator("iframe").count() == 0
    await expect(grace.page.get_by_test_id("attachment-card")).to_have_count(1)


async def test_the_drawer_lists_finds_adds_and_tells(meet: Meet) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    await grace.page.get_by_test_id("files-button").click()
    drawer = grace.page.get_by_test_id("asset-drawer")
    await expect(drawer.get_by_test_id("drawer-empty")).to_be_visible()
    await expect(drawer.get_by_role("searchbox")).to_be_focused()
    await grace.press("Escape")
    await expect(drawer).to_have_count(0)
    await expect(grace.page.get_by_test_id("files-button")).to_be_focused()

    await drop(ada, [sketch("green.png"), sketch("violet.png", color="#6741d9"), pdf("plan.pdf")])
    await meeting.agree(lambda scene: len(scene) == 3)
    await grace.page.get_by_test_id("files-button").click()
    rows = drawer.get_by_test_id("asset")
    await expect(rows).to_have_count(3)
    await expect(rows.filter(has_text="green.png")).to_contain_text("Ada, just now")
    await drawer.get_by_role("searchbox").fill("GREEN")
    await expect(rows).to_have_count(1)
    await drawer.get_by_role("button", name="Add green.png to the canvas").click()
    scene = await meeting.agree(lambda scene: len(scene) == 4)
    assert len({one["fileId"] for one in images(scene)}) == 2
    await drawer.get_by_role("searchbox").fill("")
    await drawer.get_by_role("button", name="Add plan.pdf to the canvas").click()
    await meeting.agree(lambda scene: len(scene) == 5)
    await rows.filter(has_text="violet.png").drag_to(
        grace.page.locator("canvas.interactive"), target_position={"x": 450, "y": 620}
    )
    await meeting.agree(lambda scene: len(scene) == 6)

    await drawer.get_by_label("Import from a link").fill("ftp://somewhere/else")
    await drawer.get_by_role("button", name="Import").click()
    await expect(drawer.get_by_role("alert")).to_contain_text("starts with https://")
    with grace.watch.expecting(r"status of 4\d\d"):
        await drawer.get_by_label("Import from a link").fill("http://127.0.0.1:9/picture.png")
        await drawer.get_by_role("button", name="Import").click()
        await expect(drawer.get_by_role("alert")).not_to_have_text("")


async def test_the_drawer_says_what_went_wrong_and_tries_again(meet: Meet) -> None:
    meeting = await meet()
    ada, _ = meeting.people
    broken = True

    async def answer(route: Route) -> None:
        await (route.fulfill(status=503, body="{}") if broken else route.continue_())

    pattern = f"**/rooms/{meeting.room_id}/assets?*"
    await ada.page.route(pattern, answer)
    with ada.watch.expecting("503"):
        await ada.page.get_by_test_id("files-button").click()
        drawer = ada.page.get_by_test_id("asset-drawer")
        await expect(drawer.get_by_role("alert")).to_contain_text("The server is busy")
        broken = False
        await drawer.get_by_role("button", name="Try again").click()
        await expect(drawer.get_by_test_id("drawer-empty")).to_be_visible()
    await ada.page.unroute(pattern, answer)


async def test_a_picture_goes_with_its_element_into_another_room(meet: Meet) -> None:
    """Copied where only a small form of it is shown, pasted elsewhere: the whole picture arrives."""
    first = await meet()
    ada, grace = first.people
    await drop(ada, [photo(size=(1600, 1200), seed=5)])
    scene = await first.agree(lambda scene: len(images(scene)) == 1)
    thumb = await grace.ask(
        """async ([room, id]) => { const answer = await fetch(`/api/v1/rooms/${room}/assets/${id}?rendition=thumb`);
          const bytes = new Uint8Array(await answer.arrayBuffer());
          const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
          return `data:image/webp;kanvas=${room};base64,${btoa(letters)}`; }""",
        [first.room_id, scene[0]["fileId"]],
    )
    other = await meet()
    await copy_in(other, scene[0], thumb)
    there = await other.agree(lambda scene: len(images(scene)) == 1)
    await other.people[0].until(SHOWS, [there[0]["fileId"], 1600])


async def copy_in(meeting: Meeting, element: Element, url: str) -> None:
    """As a paste does it: the element, and what its copy carried."""
    person = meeting.people[1]
    await person.ask(
        """([element, dataURL]) => { const { api } = window.kanvas;
          api.addFiles([{ id: element.fileId, dataURL, mimeType: "image/webp", created: 1 }]);
          api.updateScene({ captureUpdate: "IMMEDIATELY", elements: [{ ...element, index: null, version: 1, versionNonce: 1 }] }); }""",
        [element, url],
    )
