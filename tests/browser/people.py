"""People with browsers: what a person does in Kanvas, and what they see.

Owns: signing in, opening rooms, drawing by mouse, keyboard and touch, reading one's scene and indicator. Does not
own: what is equal (`scenes.py`), what is forbidden (`watch.py`). Rule: every wait is for a condition, with a deadline.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.scenes import Element, Scene, differences, normal, scene_of, stored
from tests.browser.watch import VIOLATIONS, Watch
from tests.servers import LiveServer

DEADLINE_S = 60.0
POLL_S = 0.03
READY = "canvas.excalidraw__canvas.interactive"
SIZE = {"width": 1100, "height": 720}

Point = tuple[float, float]

# What the editor shows, as JSON: copies, since the page goes on changing its own.
SCENE = "() => JSON.parse(JSON.stringify(window.kanvas.api.getSceneElements()))"
SAVED = "() => document.querySelector('[data-testid=saved]')?.dataset.status === 'saved' && window.kanvas.saved.status.kind === 'saved'"
# Writes of the page's copies are done: a transaction waits for those that were begun before it.
KEPT = """async () => { for (const { name } of await indexedDB.databases()) if (name.startsWith("kanvas:")) {
  const db = await new Promise((resolve, reject) => { const open = indexedDB.open(name);
    open.onsuccess = () => resolve(open.result); open.onerror = () => reject(open.error); });
  await new Promise((resolve, reject) => { const turn = db.transaction("updates", "readwrite");
    turn.oncomplete = resolve; turn.onabort = () => reject(turn.error); turn.objectStore("updates").count(); });
  db.close(); } }"""
# Elements this page created in the document: previews of others and unwritten ones aren't among them.
OWN = """() => { const { doc } = window.kanvas; const found = [];
  for (const [id, map] of doc.getMap("elements")) if (map._item.id.client === doc.clientID) found.push(id);
  return found; }"""
CREATED = f"(known) => ({OWN})().find((id) => !known.includes(id))"
# Counts the transactions of this page from now on: what the indicator is to count while nobody confirms them.
COUNT = """() => { window.mine = 0;
  window.kanvas.doc.on("update", (_update, _origin, _doc, transaction) => { if (transaction.local) window.mine += 1; }); }"""
PLACE = """() => { const s = window.kanvas.api.getAppState();
  return { x: s.scrollX, y: s.scrollY, zoom: s.zoom.value, left: s.offsetLeft, top: s.offsetTop }; }"""

expect.set_options(timeout=DEADLINE_S * 1000)


class Person:
    """Somebody with a browser of their own."""

    def __init__(self, name: str, context: BrowserContext, page: Page, server: LiveServer) -> None:
        self.name = name
        self.context = context
        self.page = page
        self.server = server
        self.watch = Watch(context, server.url)

    # -- coming and going -----------------------------------------------------------------------

    async def sign_in(self) -> None:
        """The first visit: say a name, land in the lobby."""
        await self.page.goto(self.server.url)
        await self.page.get_by_label("Your name").fill(self.name)
        await self.page.get_by_role("button", name="Start drawing").click()
        await expect(self.page.get_by_role("heading", name=f"Hello, {self.name}")).to_be_visible()

    async def enter(self, room_id: str) -> None:
        """Open a room by its address and wait until it can be drawn in and is saved."""
        await self.page.goto(f"{self.server.url}/r/{room_id}")
        await self.arrive()
        await self.saved()

    async def arrive(self) -> None:
        """Wait until the room's editor can be drawn in."""
        await self.page.wait_for_selector(READY)
        await self.until("() => Boolean(window.kanvas) && !window.kanvas.api.getAppState().isLoading")

    # -- waiting --------------------------------------------------------------------------------

    async def until(self, condition: str, argument: Any = None) -> None:
        """Wait for a condition in the page, which may be an async function."""
        if not condition.startswith("async"):
            await self.page.wait_for_function(condition, arg=argument, polling=20, timeout=DEADLINE_S * 1000)
            return
        # wait_for_function takes the promise itself for a yes
        end = time.monotonic() + DEADLINE_S
        while not await self.ask(condition, argument):
            assert time.monotonic() < end, f"not within {DEADLINE_S:g} s: {condition} {argument}"
            await asyncio.sleep(POLL_S)

    async def saved(self) -> None:
        """Wait until the indicator shows saved."""
        await self.until(SAVED)

    async def kept(self) -> None:
        """Wait until what was drawn is in this browser's own copy, so that the page can be left."""
        await self.ask(KEPT)

    async def pause(self, ms: float) -> None:
        """Do nothing for this long by the page's clock: part of a gesture, never a way to wait for something."""
        since = await self.ask("() => performance.now()")
        await self.until("([since, ms]) => performance.now() - since > ms", [since, ms])

    @property
    def indicator(self) -> Locator:
        return self.page.get_by_test_id("saved")

    # -- seeing ---------------------------------------------------------------------------------

    async def ask(self, expression: str, argument: Any = None) -> Any:
        return await self.page.evaluate(expression, argument)

    async def scene(self) -> Scene:
        """The live elements, comparable."""
        return normal(await self.ask(SCENE))

    async def element(self, id_: str) -> Element:
        """One live element as shown now."""
        return next(one for one in await self.scene() if one["id"] == id_)

    async def sees(self, id_: str, **fields: Any) -> None:
        """Wait until an element is shown with these fields; numbers to a hundredth."""
        await self.until(
            """([id, fields]) => { const element = window.kanvas.api.getSceneElements().find((one) => one.id === id);
              return element && Object.entries(fields).every(([name, value]) =>
                typeof value === "number" ? Math.abs(element[name] - value) < 0.01 : element[name] === value); }""",
            [id_, fields],
        )

    # -- drawing --------------------------------------------------------------------------------

    async def at(self, x: float, y: float) -> Point:
        """Where a point of the scene is on the screen."""
        place = await self.ask(PLACE)
        return (x + place["x"]) * place["zoom"] + place["left"], (y + place["y"]) * place["zoom"] + place[
            "top"
        ]

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def nothing_selected(self) -> None:
        """Leave whatever is open, and select nothing: Escape ends, a click beside everything deselects."""
        await self.press("Escape", "v")
        size = self.page.viewport_size or SIZE
        await self.page.mouse.click(size["width"] / 2, size["height"] - 20)

    async def grab(self, x: float, y: float) -> None:
        """Press the mouse button at a point of the scene."""
        await self.page.mouse.move(*await self.at(x, y))
        await self.page.mouse.down()

    async def pull(self, *points: Point, steps: int = 4) -> None:
        """Move the mouse through points of the scene."""
        for point in points:
            await self.page.mouse.move(*await self.at(*point), steps=steps)

    async def drop(self) -> None:
        await self.page.mouse.up()

    async def drag(self, start: Point, *points: Point, steps: int = 4) -> None:
        await self.grab(*start)
        await self.pull(*points, steps=steps)
        await self.drop()

    async def click(self, x: float, y: float, **options: Any) -> None:
        await self.page.mouse.click(*await self.at(x, y), **options)

    async def draw(self, key: str, start: Point, end: Point, *more: Point) -> Element:
        """Choose a tool by its key and draw with it; the new element, once it is written."""
        known = await self.ask(OWN)
        await self.press("Escape", key)
        await self.drag(start, end, *more)
        return await self._created(known)

    async def write(self, x: float, y: float, text: str) -> Element:
        """Click with the text tool, type, leave; the new element, once it is written."""
        known = await self.ask(OWN)
        await self.press("Escape", "t")
        await self.click(x, y)
        await self.page.wait_for_selector("textarea.excalidraw-wysiwyg")
        await self.page.keyboard.type(text)
        await self.press("Escape", "Escape")
        return await self._created(known)

    async def _created(self, known: list[str]) -> Element:
        handle = await self.page.wait_for_function(CREATED, arg=known, polling=20, timeout=DEADLINE_S * 1000)
        return await self.element(await handle.json_value())

    async def select(self, *ids: str) -> None:
        """Select by a click on the outline, further ones with shift."""
        await self.nothing_selected()
        for number, id_ in enumerate(ids):
            point = handle_of(await self.element(id_))
            if number:
                await self.page.keyboard.down("Shift")
            await self.click(*point)
        await self.page.keyboard.up("Shift")

    async def drag_element(self, id_: str, dx: float, dy: float, steps: int = 4) -> None:
        """Take an element by its outline and drop it further on."""
        await self.nothing_selected()
        x, y = handle_of(await self.element(id_))
        await self.drag((x, y), (x + dx, y + dy), steps=steps)

    async def recolour(self, *ids: str, **fields: Any) -> None:
        """Change fields as the editor's own panels do: one step that can be undone."""
        await self.ask(
            """([ids, fields]) => window.kanvas.api.updateScene({ captureUpdate: "IMMEDIATELY",
              elements: window.kanvas.api.getSceneElementsIncludingDeleted().map((one) => !ids.includes(one.id) ? one :
                { ...one, ...fields, version: one.version + 1, versionNonce: Math.floor(Math.random() * 2 ** 31) }) })""",
            [list(ids), fields],
        )


def handle_of(element: Element) -> Point:
    """A point on the element where a click takes hold of it."""
    x, y, width, height = (element[name] for name in ("x", "y", "width", "height"))
    if element["type"] in ("line", "arrow", "freedraw"):
        points = element["points"]
        if len(points) == 2:
            return x + points[1][0] / 2, y + points[1][1] / 2
        middle = points[len(points) // 2]
        return x + middle[0], y + middle[1]
    if element["type"] == "text":
        return x + width / 2, y + height / 2
    if element["type"] == "diamond":
        return x + width * 0.25, y + height * 0.25
    if element["type"] == "ellipse":
        turn = math.sqrt(0.5)
        return x + width / 2 * (1 - turn), y + height / 2 * (1 - turn)
    return x, y + height * 0.3


@dataclass
class Meeting:
    """Some people in one room, and somebody at the server who can look into the document."""

    people: Sequence[Person]
    server: LiveServer
    token: str
    room_id: str

    async def state(self) -> bytes:
        """The room's Yjs state on the server."""
        _, state = await asyncio.to_thread(self.server.state, self.token, self.room_id)
        return state

    async def agree(self, when: Callable[[Scene], object] = lambda _: True) -> Scene:
        """Wait until all show the same scene, saved, the server holds it too, and it is as `when` wants it."""
        end = time.monotonic() + DEADLINE_S
        while True:
            scenes = [await person.scene() for person in self.people]
            unlike = [line for other in scenes[1:] for line in differences(scenes[0], other)]
            unsaved = [person.name for person in self.people if not await person.ask(SAVED)]
            if not unlike and not unsaved and when(scenes[0]):
                unlike = differences(stored(scenes[0]), scene_of(await self.state()))
                if not unlike:
                    return scenes[0]
            if time.monotonic() > end:
                problems = "\n".join(unlike[:20]) or "the scene is not as it was expected"
                shown = [(one["id"], one["type"], one["x"], one["y"], one["isDeleted"]) for one in scenes[0]]
                raise AssertionError(f"{problems}\nnot saved: {unsaved}\nscene: {shown}\n{scenes[0]}"[:6000])
            await asyncio.sleep(POLL_S)


async def new_person(browser: Browser, server: LiveServer, name: str, **options: Any) -> Person:
    """A person with a fresh browser profile, signed in. No service worker unless asked for: it loads everything."""
    context = await browser.new_context(
        **{"viewport": SIZE, "service_workers": "block", "reduced_motion": "reduce", "locale": "en-US"}
        | options
    )
    context.set_default_timeout(DEADLINE_S * 1000)
    await context.add_init_script(VIOLATIONS)
    person = Person(name, context, await context.new_page(), server)
    await person.sign_in()
    return person
