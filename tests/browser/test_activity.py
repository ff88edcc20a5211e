"""The room's Activity: what its owner is told, filtered, page by page; on a small screen and by keys."""

from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.browser.people import Person, new_person
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}}


async def open_activity(page: Page) -> Locator:
    await page.get_by_test_id("activity-button").click()
    drawer = page.get_by_test_id("activity-drawer")
    await expect(drawer).to_be_visible()
    return drawer


async def test_the_owner_sees_who_did_what(everyone: list[Person]) -> None:
    """Y5: deeds and refusals in words, filtered; nobody else has the button."""
    ada, grace = everyone
    await ada.page.goto(ada.server.url)
    room = (await call(ada, "POST", "/api/v1/rooms", {"title": "Ours"}))["id"]
    for person in everyone:
        await person.enter(room)
    for n in range(35):
        await call(ada, "PATCH", f"/api/v1/rooms/{room}", {"title": f"Plan {n}"})
    with grace.watch.expecting("403"):
        await call(grace, "DELETE", f"/api/v1/rooms/{room}")

    drawer = await open_activity(ada.page)
    rows = drawer.get_by_test_id("activity")
    await expect(rows).to_have_count(30)
    refused = drawer.locator("[data-result=refused]")
    look = drawer.get_by_role("button", name="Look again")
    for _ in range(200):
        if await refused.count():
            break
        # it is written within a second
        await ada.pause(200)
        await look.click()
        await expect(look).to_be_enabled()
    await expect(refused).to_have_count(1)
    await expect(refused).to_contain_text(f"Refused {grace.name} tried to put the room into the trash")
    await expect(rows.nth(1)).to_contain_text("You renamed the room to “Plan 34”")
    await drawer.get_by_role("button", name="Show older activity").click()
    await expect(rows.last).to_contain_text("You made the room")
    await drawer.get_by_label("Show").select_option("link")
    await expect(drawer.get_by_test_id("activity-empty")).to_contain_text("Nothing of this kind")

    # another drawer in its place has the focus, and gives it back to its own button
    await ada.page.get_by_test_id("files-button").click()
    await expect(ada.page.get_by_label("Search files by name")).to_be_focused()
    await ada.page.get_by_test_id("activity-button").click()
    await expect(drawer.get_by_label("Show")).to_be_focused()
    await drawer.get_by_label("Show").press("Escape")
    await expect(drawer).to_be_hidden()
    await expect(ada.page.get_by_test_id("activity-button")).to_be_focused()
    await expect(grace.page.get_by_test_id("files-button")).to_be_visible()
    await expect(grace.page.get_by_test_id("activity-button")).to_have_count(0)


async def test_it_fits_a_phone(browser: Browser, server: LiveServer, everyone: list[Person]) -> None:
    ada = await new_person(browser, server, "Ada", **PHONE)
    everyone.append(ada)
    made = await call(
        ada, "POST", "/api/v1/rooms", {"title": "A room with a name that is long enough to wrap"}
    )
    await ada.enter(made["id"])
    # there the button is in the bar's menu
    await ada.page.get_by_test_id("room-more").click()
    drawer = await open_activity(ada.page)
    await expect(drawer.get_by_test_id("activity")).to_have_count(1)
    box = await drawer.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert await ada.page.evaluate("document.documentElement.scrollWidth") <= 390


async def call(person: Person, method: str, path: str, json: dict[str, Any] | None = None) -> dict[str, Any]:
    """With the page's session cookie, as the client itself asks."""
    told: dict[str, Any] = await person.page.evaluate(
        """async ([method, path, json]) => {
          const headers = json ? { "Content-Type": "application/json" } : {};
          const answer = await fetch(path, { method, headers, body: json ? JSON.stringify(json) : null });
          const text = await answer.text();
          return text.startsWith("{") ? JSON.parse(text) : {};
        }""",
        [method, path, json],
    )
    return told
