"""Takes a picture of Kanvas: a few people in a room with a small sketch, photos and files, or the lobby.

    python -m tests.browser.screenshot OUT.png [--page PAGE] [--width 1280] [--height 800] [--dark]
    PAGE: room, files, uploads, comments, thread, lobby, public, admin, quiet, and those of trust_scenes.py

Owns: the scene of the README's picture. The server is a real one with data of its own, which goes with it.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import expect

from tests.browser.chromium import open_chromium
from tests.browser.files import Held, drop, pdf, photo
from tests.browser.people import SIZE, Meeting, Person, new_person
from tests.browser.sketch import NARROW_PX, TOP, fit, put_sketch
from tests.browser.trust_scenes import SCENES
from tests.servers import LiveServer

TITLE = "How a stroke travels"
OTHER_ROOMS = ("Autumn workshop", "Floor plan", "Release 1.0", "Lighthouse", "Sunday sketches")

MAKE = """async (body) => { const answer = await fetch("/api/v1/rooms", { method: "POST",
  headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const room = await answer.json(); if (!answer.ok) throw new Error(JSON.stringify(room)); return room.id; }"""


async def room(people: Sequence[Person], meeting: Meeting) -> None:
    """Draw the sketch, then leave everybody in the middle of something."""
    ada, grace, linus = people
    for person in (linus, grace, ada):
        await person.enter(meeting.room_id)
    left = await put_sketch(ada)
    await meeting.agree()
    for person in people:
        await fit(person)
    line = TOP + 362
    await grace.draw(
        "x", (left + 460, line), (left + 540, line - 12), (left + 620, line + 6), (left + 660, line - 6)
    )
    await meeting.agree()
    await grace.select("check")
    await grace.page.mouse.move(*await grace.at(left + 510, TOP + 250))
    await linus.page.mouse.move(*await linus.at(left + 110, TOP + 210))
    await ada.nothing_selected()
    await ada.until(
        "() => [...window.kanvas.api.getAppState().collaborators.values()].filter((one) => one.pointer).length === 2"
    )
    await ada.saved()
    # Twice: a frame that is being drawn, and the next one.
    for _ in range(2):
        await ada.ask("() => new Promise((resolve) => requestAnimationFrame(() => resolve(true)))")


async def files(people: Sequence[Person], meeting: Meeting) -> None:
    """Photos and a file on the canvas, and the drawer beside them."""
    ada, *_ = people
    await ada.enter(meeting.room_id)
    size = ada.page.viewport_size or SIZE
    given = [photo(f"day {day}.jpg", (900, 600), seed=day) for day in range(1, 4)]
    await drop(ada, [*given, pdf()], at=(size["width"] / 3, size["height"] / 2))
    await ada.until("() => window.kanvas.api.getSceneElements().length === 4")
    await expect(ada.page.get_by_test_id("upload")).to_have_count(0)
    await ada.nothing_selected()
    await ada.ask(
        "() => window.kanvas.api.scrollToContent(undefined, { fitToViewport: true, viewportZoomFactor: 0.6 })"
    )
    menu = ada.page.get_by_test_id("room-more")
    if await menu.count():
        await menu.click()
    await ada.page.get_by_test_id("files-button").click()
    await expect(ada.page.get_by_test_id("asset")).to_have_count(4)
    await ada.until(
        "() => [...document.querySelectorAll('.drawer img')].every((one) => one.naturalWidth > 0)"
    )
    await ada.ask("() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 200)))")


async def uploads(people: Sequence[Person], meeting: Meeting) -> None:
    """Photos on their way: placeholders, bars, and the list."""
    ada, *_ = people
    await ada.enter(meeting.room_id)
    size = ada.page.viewport_size or SIZE
    # held back until the picture is taken: the page ends with it
    await ada.page.route("**/*", Held().take)
    given = [photo(f"day {day}.jpg", (900, 600), seed=day) for day in range(1, 6)]
    await drop(ada, given, at=(size["width"] / 2, size["height"] / 2))
    await ada.until("() => window.kanvas.api.getSceneElements().length === 5")
    await ada.page.get_by_role("button", name="Show the list").click()


REMARK = """async ([room, body]) => { const path = `/api/v1/rooms/${room}/comments`;
  const { reply, mention, ...thread } = body;
  if (mention) thread.mentions = (await (await fetch(`${path}/people?q=${mention}`)).json()).items.map((one) => one.id);
  const answer = await fetch(reply ? `${path}/${reply}/replies` : path, { method: "POST",
    headers: { "Content-Type": "application/json" }, body: JSON.stringify(thread) });
  if (!answer.ok) throw new Error(await answer.text()); return (await answer.json()).id; }"""


async def comments(people: Sequence[Person], meeting: Meeting) -> None:
    """The sketch with comments, and their list."""
    ada, grace, linus = people
    await room(people, meeting)

    async def write(person: Person, **body: Any) -> str:
        made: str = await person.ask(REMARK, [meeting.room_id, body])
        return made

    place = {"x": 0, "y": 0}
    first = await write(
        grace, **place, element_id="journal", body="Could this be bigger? It is what everything hangs on."
    )
    await write(ada, reply=first, body="@Grace twice as wide, or more?", mention="Grace")
    await write(linus, **place, element_id="check", body="We tested this with power cuts, too.")
    await write(ada, **place, element_id="eyes", body="And everybody else.")
    await expect(ada.page.get_by_test_id("pin")).to_have_count(3)
    await ada.page.get_by_test_id("comments-button").click()
    await expect(ada.page.get_by_test_id("thread-row")).to_have_count(3)


async def thread(people: Sequence[Person], meeting: Meeting) -> None:
    """One thread, looked at."""
    ada, *_ = people
    await comments(people, meeting)
    await ada.page.get_by_test_id("thread-row").last.click()
    await expect(ada.page.get_by_test_id("remark")).to_have_count(2)
    await ada.page.get_by_test_id("composer").press_sequentially("@G")
    await expect(ada.page.get_by_role("option")).to_have_count(1)


async def lobby(people: Sequence[Person], meeting: Meeting) -> None:
    """Rooms of mine, one with people in."""
    ada, *others = people
    for title in OTHER_ROOMS:
        visibility = "public" if len(title) % 2 else "unlisted"
        await ada.ask(MAKE, {"title": title, "visibility": visibility})
    for person in (*others, ada):
        await person.enter(meeting.room_id)
    await ada.page.get_by_role("link", name="Back to the lobby").click()
    await expect(ada.page.get_by_test_id("room-card").filter(has_text=TITLE)).to_contain_text(
        "2 people here now"
    )
    await ada.ask("() => document.fonts.ready.then(() => true)")


async def public(people: Sequence[Person], meeting: Meeting) -> None:
    """Public rooms, one with people in."""
    ada, *others = people
    for title in OTHER_ROOMS:
        await ada.ask(MAKE, {"title": title, "visibility": "public"})
    busy = await ada.ask(MAKE, {"title": TITLE, "visibility": "public"})
    for person in others:
        await person.enter(busy)
    await ada.page.goto(f"{meeting.server.url}/?tab=public")
    await expect(ada.page.get_by_test_id("active-rooms")).to_contain_text("2 people here now", timeout=30_000)
    await ada.ask("() => document.fonts.ready.then(() => true)")


async def oversee(person: Person, meeting: Meeting) -> None:
    """Open the operator's page with a token of his."""
    await person.page.goto(f"{meeting.server.url}/admin")
    await person.page.get_by_label("Operator’s token").fill(meeting.server.admin())
    await person.page.get_by_role("button", name="Look").click()


async def quiet(people: Sequence[Person], meeting: Meeting) -> None:
    """The operator's page while nobody draws."""
    ada, *_ = people
    await oversee(ada, meeting)
    await expect(ada.page.get_by_text("All quiet")).to_be_visible()
    await ada.ask("() => document.fonts.ready.then(() => true)")


async def admin(people: Sequence[Person], meeting: Meeting) -> None:
    """The operator's page: rooms with people in, one frozen, one closed."""
    ada, *others = people
    made = [await ada.ask(MAKE, {"title": title}) for title in OTHER_ROOMS]
    for person in others:
        await person.enter(meeting.room_id)
    await others[0].draw("x", (300, 300), (420, 360), (500, 320))
    asked = meeting.server.order
    asked(f"rooms/{meeting.room_id}/freeze")
    asked(f"rooms/{made[0]}/close", for_s=3600)
    asked(f"rooms/{made[1]}/kick", user_id="somebody", for_s=86400)
    await oversee(ada, meeting)
    await expect(ada.page.get_by_test_id("live-room")).to_have_count(3)
    await ada.ask("() => document.fonts.ready.then(() => true)")
    # the second look brings the rates
    await expect(ada.page.get_by_test_id("sums")).not_to_contain_text("–")


PAGES = {
    "room": room,
    "files": files,
    "uploads": uploads,
    "comments": comments,
    "thread": thread,
    "lobby": lobby,
    "public": public,
    "admin": admin,
    "quiet": quiet,
} | SCENES


async def take(out: Path, page: str, width: int, height: int, *, dark: bool) -> None:
    looks: dict[str, Any] = {
        "viewport": {"width": width, "height": height},
        "color_scheme": "dark" if dark else "light",
        "is_mobile": width <= NARROW_PX,
        "has_touch": width <= NARROW_PX,
    }
    with tempfile.TemporaryDirectory() as folder, LiveServer(Path(folder) / "data") as server:
        async with open_chromium() as browser:
            ada = await new_person(browser, server, "Ada", **looks)
            people = [ada, *[await new_person(browser, server, name) for name in ("Grace", "Linus")]]
            room_id = await ada.ask(MAKE, {"title": TITLE})
            meeting = Meeting(people, server, server.guest("Witness"), room_id)
            await PAGES[page](people, meeting)
            await ada.page.screenshot(path=out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--page", choices=sorted(PAGES), default="room")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--dark", action="store_true")
    chosen = parser.parse_args()
    asyncio.run(take(chosen.out, chosen.page, chosen.width, chosen.height, dark=chosen.dark))


if __name__ == "__main__":
    main()
