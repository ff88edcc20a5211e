"""The lobby: making, finding, renaming, deleting and restoring rooms; and a room that is deleted under one's hands."""

import json
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.people import Person
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

GONE = r"40[34]"
"""What Chromium says of an answer with this status."""


async def new_room(person: Person, title: str) -> str:
    """Make a public room in the lobby; its id."""
    page = person.page
    await page.goto(person.server.url)
    await page.get_by_role("button", name="New room").click()
    dialog = page.get_by_role("dialog", name="New room")
    await dialog.get_by_label("Name").fill(title)
    await dialog.get_by_label("Public").check()
    await dialog.get_by_role("button", name="Make the room").click()
    await person.arrive()
    await person.saved()
    return page.url.rsplit("/", 1)[1]


def card(page: Page, title: str) -> Locator:
    return page.get_by_test_id("room-card").filter(has=page.get_by_text(title, exact=True))


async def choose(page: Page, title: str, entry: str) -> None:
    """Pick an entry of a room's menu."""
    await page.get_by_role("button", name=f"More about {title}").click()
    await page.get_by_role("menuitem", name=entry).click()


async def test_rooms_are_made_found_renamed_deleted_and_restored(
    server: LiveServer, everyone: list[Person], tmp_path: Path
) -> None:
    ada, grace = everyone
    room_id = await new_room(ada, "Harbour plans")
    await new_room(ada, "Second thoughts")

    # Grace finds the first one by its name, and who is in.
    await grace.page.goto(f"{server.url}/?tab=public")
    await expect(card(grace.page, "Harbour plans")).to_be_visible()
    await expect(card(grace.page, "Second thoughts")).to_contain_text("1 person here now: Ada")
    # Those with people in them come first; the page looks every ten seconds.
    active = grace.page.get_by_test_id("active-rooms").get_by_test_id("room-card")
    await expect(active).to_contain_text("Second thoughts")
    await expect(grace.page.get_by_test_id("rooms").get_by_test_id("room-card")).to_have_count(1)
    await grace.page.get_by_role("searchbox", name="Search rooms by name").fill("hArBoUr")
    await expect(grace.page.get_by_test_id("room-card")).to_have_count(1)
    await card(grace.page, "Harbour plans").get_by_role("link").click()
    await grace.arrive()
    await grace.draw("r", (300, 120), (400, 200))
    await grace.saved()

    # Renamed by its owner in the lobby, and in the room itself.
    await ada.page.goto(server.url)
    await expect(card(ada.page, "Harbour plans")).to_contain_text("1 person here now: Grace")
    await choose(ada.page, "Harbour plans", "Rename")
    await ada.page.get_by_role("dialog").get_by_label("Name").fill("Lighthouse")
    await ada.page.get_by_role("button", name="Rename", exact=True).click()
    await card(ada.page, "Lighthouse").get_by_role("link").click()
    await ada.arrive()
    await ada.page.get_by_role("button", name="Lighthouse, rename").click()
    await ada.page.get_by_label("Name of the room").fill("Lighthouse keepers")
    await ada.press("Enter")
    await expect(ada.page.get_by_role("button", name="Lighthouse keepers, rename")).to_be_visible()
    await ada.page.get_by_role("link", name="Back to the lobby").click()

    # Deleted while Grace is in it: she is told, and keeps what she drew.
    with grace.watch.expecting(GONE):
        await choose(ada.page, "Lighthouse keepers", "Delete")
        await ada.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(card(ada.page, "Lighthouse keepers")).to_have_count(0)
        await refused(grace, tmp_path)
        await grace.page.goto(f"{server.url}/r/{room_id}")
        await expect(grace.page.get_by_role("heading", name="There is no such room")).to_be_visible()

    await ada.page.get_by_role("tab", name="Trash").click()
    await expect(card(ada.page, "Lighthouse keepers")).to_contain_text("30 days")
    await ada.page.get_by_role("button", name="Restore Lighthouse keepers").click()
    await expect(card(ada.page, "Lighthouse keepers")).to_have_count(0)
    await ada.page.get_by_role("tab", name="My rooms").click()
    await expect(card(ada.page, "Lighthouse keepers")).to_be_visible()
    await grace.enter(room_id)
    assert [one["type"] for one in await grace.scene()] == ["rectangle"]


async def refused(person: Person, tmp_path: Path) -> None:
    """The words, the download, and the copy into a room of one's own."""
    page = person.page
    dialog = page.get_by_role("dialog", name="This room is gone")
    await expect(dialog).to_contain_text("It was deleted.")
    async with page.expect_download() as download:
        await dialog.get_by_role("button", name="Download it").click()
    file = tmp_path / (await download.value).suggested_filename
    await (await download.value).save_as(file)
    assert file.name.endswith(".excalidraw")
    assert [one["type"] for one in json.loads(file.read_text())["elements"]] == ["rectangle"]
    await expect(dialog).to_contain_text("Downloaded.")

    address = page.url
    await dialog.get_by_role("button", name="Copy it into a new room").click()
    await page.wait_for_url(lambda url: url != address)
    await person.arrive()
    await person.until("() => window.kanvas.doc.getMap('elements').size === 1")
    await person.saved()
    await expect(page.get_by_role("button", name="Copy of")).to_be_visible()
