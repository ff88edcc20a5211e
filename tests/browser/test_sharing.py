"""People, roles and links in a real browser: who may only look really can't draw, and changes come at once."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from tests.browser.people import Person
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

NOT_FOUND = r"404 \(Not Found\)"
FORBIDDEN = r"403 \(Forbidden\)"
TOKEN = "() => JSON.parse(localStorage.getItem('kanvas.session')).token"
ME = "() => JSON.parse(localStorage.getItem('kanvas.session')).user.id"
ELEMENTS = "() => window.kanvas.doc.getMap('elements').size"
SHOWN = "(number) => window.kanvas.api.getSceneElements().length === number"
# The editor lets nothing be drawn, and what is forced upon it all the same does not stay and is not written.
FORCE = """async () => { const { api, doc } = window.kanvas; let written = 0;
  const count = (_update, _origin, _doc, transaction) => { if (transaction.local) written += 1; };
  doc.on("update", count);
  const [first] = api.getSceneElements();
  api.updateScene({ captureUpdate: "IMMEDIATELY", elements: [
    { ...first, x: first.x + 77, version: first.version + 1, versionNonce: 1 },
    { ...first, id: "foreign", version: 1, versionNonce: 2 } ] });
  for (let frame = 0; frame < 10; frame += 1) await new Promise(requestAnimationFrame);
  doc.off("update", count);
  const after = api.getSceneElements();
  return { written, moved: after[0].x - first.x, number: after.length }; }"""


@asynccontextmanager
async def sharing(person: Person) -> AsyncIterator[Locator]:
    """The Share dialog, open for the block."""
    await person.page.get_by_test_id("share-button").click()
    dialog = person.page.get_by_role("dialog", name="Share")
    await expect(dialog.get_by_test_id("member").first).to_be_visible()
    yield dialog
    await person.press("Escape")
    await expect(dialog).to_have_count(0)


def row(dialog: Locator, person: Person) -> Locator:
    return dialog.get_by_test_id("member").filter(has_text=person.name)


def looking(person: Person) -> Locator:
    return person.page.get_by_test_id("looking")


async def cannot_draw(person: Person) -> None:
    """No tool, no key, no clipboard, no title, and nothing that reaches the document."""
    page = person.page
    before = await person.ask(ELEMENTS)
    await expect(page.locator(".App-toolbar .ToolIcon_type_radio")).to_have_count(0)
    await expect(page.get_by_role("button", name=", rename")).to_have_count(0)
    await person.press("r")
    await person.drag((300, 400), (380, 460))
    await page.mouse.dblclick(*await person.at(500, 500))
    await page.keyboard.type("words")
    await person.press("Control+a", "Delete", "Control+x", "Control+z")
    await person.ask(
        """() => { const data = new DataTransfer(); data.setData("text/plain", "pasted");
          for (const type of ["paste", "cut"]) document.body.dispatchEvent(
            new ClipboardEvent(type, { clipboardData: data, bubbles: true, cancelable: true })); }"""
    )
    assert await person.ask(FORCE) == {"written": 0, "moved": 0, "number": before}
    assert await person.ask(ELEMENTS) == before


async def test_roles_are_given_changed_and_taken_while_the_room_is_open(
    server: LiveServer, everyone: list[Person], tmp_path: Path
) -> None:
    ada, grace = everyone
    await ada.page.goto(server.url)
    room_id = server.room(await ada.ask(TOKEN), title="Council", default_role="none")
    await ada.enter(room_id)
    await ada.draw("r", (300, 120), (400, 200))
    await ada.saved()
    await expect(ada.page.locator(".room__bar").get_by_test_id("role")).to_have_attribute(
        "data-role", "owner"
    )

    # Nobody who was not invited gets in, and nobody is told that the room is there.
    with grace.watch.expecting(NOT_FOUND):
        await grace.page.goto(f"{server.url}/r/{room_id}")
        await expect(grace.page.get_by_role("heading", name="There is no such room")).to_be_visible()
    await grace.page.goto(server.url)

    async with sharing(ada) as dialog:
        await dialog.get_by_label("E-mail address or user id").fill("two people")
        await dialog.get_by_role("button", name="Invite", exact=True).click()
        await expect(dialog.get_by_role("alert").filter(has_text="neither")).to_be_visible()
        await dialog.get_by_label("E-mail address or user id").fill(await grace.ask(ME))
        await dialog.get_by_label("Role of whom you invite").select_option("viewer")
        await dialog.get_by_role("button", name="Invite", exact=True).click()
        await expect(dialog.get_by_test_id("invitation")).to_contain_text("may look")

    # It waits in the lobby; who accepts may look, and no more.
    await grace.page.reload()
    waiting = grace.page.get_by_test_id("my-invitation")
    await expect(waiting).to_contain_text("Ada invites you to Council")
    await waiting.get_by_role("button", name="Accept").click()
    await grace.arrive()
    await grace.until(SHOWN, 1)
    await expect(looking(grace)).to_contain_text("but not draw")
    await cannot_draw(grace)

    # Up, and down again, without a reload.
    async with sharing(ada) as dialog:
        await expect(row(dialog, grace)).to_contain_text("was invited")
        await row(dialog, grace).get_by_role("combobox").select_option("editor")
        await expect(looking(grace)).to_have_count(0)
        circle = await grace.draw("o", (500, 120), (600, 200))
        await grace.saved()
        await ada.sees(circle["id"], type="ellipse")
        await row(dialog, grace).get_by_role("combobox").select_option("commenter")
        await expect(looking(grace)).to_contain_text("comment")
        await cannot_draw(grace)
        await row(dialog, grace).get_by_role("combobox").select_option("editor")
        await expect(looking(grace)).to_have_count(0)

    # In the middle of a stroke: what came too late is not in the room, and is not lost without a word.
    await grace.press("Escape", "r")
    await grace.grab(300, 300)
    await grace.pull((350, 340))
    async with sharing(ada) as dialog:
        await row(dialog, grace).get_by_role("combobox").select_option("viewer")
        refusal = grace.page.get_by_role("dialog", name="Your last changes were not taken")
        await expect(refusal).to_be_visible()
    await grace.drop()
    async with grace.page.expect_download() as download:
        await refusal.get_by_role("button", name="Download it").click()
    file = tmp_path / "kept.excalidraw"
    await (await download.value).save_as(file)
    assert len(json.loads(file.read_text())["elements"]) == 3
    await refusal.get_by_role("button", name="Open the room again").click()
    await grace.arrive()
    await grace.until(SHOWN, 2)
    assert await ada.ask(ELEMENTS) == 2

    # Handed over and taken back; then out.
    async with sharing(ada) as dialog:
        await row(dialog, grace).get_by_role("combobox").select_option("owner")
        await dialog.get_by_role("button", name="Make owner").click()
        await expect(row(dialog, grace)).to_contain_text("Owner")
        await expect(dialog.get_by_role("button", name="Make a link")).to_have_count(0)
    await expect(looking(grace)).to_have_count(0)
    async with sharing(grace) as dialog:
        await row(dialog, ada).get_by_role("combobox").select_option("owner")
        await dialog.get_by_role("button", name="Make owner").click()
        await expect(row(dialog, ada)).to_contain_text("Owner")
    with grace.watch.expecting(NOT_FOUND):
        async with sharing(ada) as dialog:
            await row(dialog, grace).get_by_role("button", name="Remove Grace").click()
            await dialog.get_by_role("button", name="Remove", exact=True).click()
            await expect(row(dialog, grace)).to_have_count(0)
        out = grace.page.get_by_role("dialog", name="You are not in this room any more")
        await expect(out).to_be_visible()
        await out.get_by_role("button", name="go to the lobby").click()
    await expect(grace.page.get_by_test_id("room-card").filter(has_text="Council")).to_have_count(0)


async def test_a_link_opens_the_room_until_it_is_revoked(server: LiveServer, everyone: list[Person]) -> None:
    ada, grace = everyone
    await ada.page.goto(server.url)
    room_id = server.room(await ada.ask(TOKEN), title="By link", default_role="none")
    await ada.enter(room_id)
    async with sharing(ada) as dialog:
        await dialog.get_by_role("button", name="Make a link").click()
        form = dialog.get_by_role("form", name="A new link")
        await form.get_by_label("What for").fill("For the review")
        await form.get_by_label("Role").select_option("editor")
        await form.get_by_label("Uses").fill("nine")
        await form.get_by_role("button", name="Make the link").click()
        await expect(form.get_by_role("alert")).to_contain_text("times")
        await form.get_by_label("Uses").fill("1")
        await form.get_by_label("Password").fill("open sesame")
        await form.get_by_role("button", name="Make the link").click()
        link = await dialog.get_by_test_id("new-link").input_value()
        entry = dialog.get_by_test_id("link")
        await expect(entry).to_contain_text("0 of 1 use")
        await expect(entry).to_contain_text("with a password")
    assert link.startswith(f"{server.url}/l/")

    # It is not shown again.
    async with sharing(ada) as dialog:
        await expect(dialog.get_by_test_id("link")).to_have_count(1)
        await expect(dialog.get_by_test_id("new-link")).to_have_count(0)

    page = grace.page
    with grace.watch.expecting(FORBIDDEN):
        await page.goto(link)
        await page.get_by_label("Password of the link").fill("please")
        await page.get_by_role("button", name="Enter the room").click()
        await expect(page.get_by_role("alert")).to_contain_text("password")
    await page.get_by_label("Password of the link").fill("open sesame")
    await page.get_by_role("button", name="Enter the room").click()
    await grace.arrive()
    assert page.url == f"{server.url}/r/{room_id}"
    square = await grace.draw("r", (300, 120), (400, 200))
    await grace.saved()
    await ada.sees(square["id"])

    with grace.watch.expecting(NOT_FOUND):
        async with sharing(ada) as dialog:
            await expect(row(dialog, grace)).to_contain_text("came by a link")
            await expect(dialog.get_by_test_id("link")).to_contain_text("1 of 1 use")
            await dialog.get_by_role("button", name="Revoke For the review").click()
            await dialog.get_by_role("button", name="Revoke", exact=True).click()
            await expect(dialog.get_by_test_id("link")).to_have_count(0)
            await expect(row(dialog, grace)).to_have_count(0)
        await expect(page.get_by_role("dialog", name="You are not in this room any more")).to_be_visible()
        await page.goto(link)
        await expect(page.get_by_role("heading", name="This link opens nothing")).to_be_visible()
        await page.goto(f"{server.url}/i/ki_nothing")
        await expect(page.get_by_role("heading", name="This invitation is over")).to_be_visible()
    await page.goto(server.url)


async def test_the_address_opens_what_the_owner_says(server: LiveServer, everyone: list[Person]) -> None:
    ada, grace = everyone
    await ada.page.goto(server.url)
    room_id = server.room(await ada.ask(TOKEN), title="Gallery")
    await ada.enter(room_id)
    await ada.draw("r", (300, 120), (400, 200))
    await grace.enter(room_id)
    async with sharing(ada) as dialog:
        await dialog.get_by_label("Whoever has it").select_option("viewer")
        await expect(looking(grace)).to_be_visible()
        await cannot_draw(grace)
        async with sharing(grace) as theirs:
            await expect(theirs).to_contain_text("Whoever has the address may look.")
            await expect(theirs.get_by_role("combobox")).to_have_count(0)
        await dialog.get_by_label("Whoever has it").select_option("editor")
        await expect(looking(grace)).to_have_count(0)
    await grace.draw("o", (500, 120), (600, 200))
    await grace.saved()
    await ada.until(SHOWN, 2)
