"""Signing in by e-mail, and a guest who keeps everything, in a real browser."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.people import Person, new_person
from tests.servers import LiveServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

STORED = "() => JSON.parse(localStorage.getItem('kanvas.session'))"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("accounts") / "data") as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def fox(browser: Browser, site: LiveServer) -> AsyncIterator[Person]:
    """A guest in the lobby. Looks at what the browser did."""
    person = await new_person(browser, site, "Fox")
    yield person
    assert person.watch.verdict() == []
    await person.context.close()


async def follow_newest(person: Person, address: str) -> None:
    """Open the mailbox in this tab and press the link in the newest mail to somebody."""
    page = person.page
    await page.goto(f"{person.server.url}/mailbox")
    mail = page.get_by_test_id("mail").filter(has_text=f"To {address}").first
    await mail.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="Sign in to Kanvas")).to_be_visible()


async def test_a_guest_signs_in_and_keeps_what_was_drawn(fox: Person, site: LiveServer) -> None:
    """T4, T5: also what the server has not got yet; the rooms are the account's."""
    page = fox.page
    before = await fox.ask(STORED)
    room_id = site.room(before["token"], title="Drawn as a guest")
    await fox.enter(room_id)
    first = await fox.draw("r", (300, 200), (380, 260))
    await fox.saved()
    # what is drawn without a network waits in this browser
    with fox.watch.expecting("ERR_INTERNET_DISCONNECTED|WebSocket"):
        await fox.context.set_offline(True)
        second = await fox.draw("r", (450, 300), (520, 360))
        await fox.kept()
        await page.goto("about:blank")
        await fox.context.set_offline(False)
    await page.goto(site.url)
    await page.get_by_test_id("account").click()
    await page.get_by_role("menuitem", name="Sign in to keep your rooms").click()
    await page.get_by_role("textbox", name="E-mail").fill("fox@example.org")
    await page.get_by_role("button", name="Send me a link").click()
    await expect(page.get_by_test_id("sent")).to_contain_text("fox@example.org")
    await follow_newest(fox, "fox@example.org")
    await expect(page.get_by_test_id("link-words")).to_contain_text("become your account’s")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Hello, Fox")).to_be_visible()
    after = await fox.ask(STORED)
    assert after["user"]["id"] != before["user"]["id"]
    await expect(page.get_by_text("Drawn as a guest")).to_be_visible()
    await page.goto(f"{site.url}/r/{room_id}")
    await fox.arrive()
    await fox.sees(first["id"])
    await fox.sees(second["id"])
    await fox.saved()
    # the guest is nobody any more
    status = "async (token) => (await fetch('/api/v1/me', { headers: { Authorization: `Bearer ${token}` } })).status"
    with fox.watch.expecting("401"):
        assert await fox.ask(status, before["token"]) == 401


async def test_a_link_is_used_up(fox: Person, site: LiveServer) -> None:
    """T1: by the button, not by opening the page; and it says so in words."""
    page = fox.page
    await page.get_by_test_id("account").click()
    await page.get_by_role("menuitem", name="Sign in to keep your rooms").click()
    await page.get_by_role("textbox", name="E-mail").fill("not an address")
    await page.get_by_role("button", name="Send me a link").click()
    await expect(page.get_by_role("alert").filter(has_text="e-mail address")).to_be_visible()
    await page.get_by_role("textbox", name="E-mail").fill("once@example.org")
    await page.get_by_role("button", name="Send me a link").click()
    await expect(page.get_by_test_id("sent")).to_be_visible()
    await follow_newest(fox, "once@example.org")
    address = page.url
    await page.reload()
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Hello, Fox")).to_be_visible()
    await page.goto(address)
    await expect(page.get_by_test_id("link-words")).to_contain_text("You are here as Fox")
    with fox.watch.expecting("404"):
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="This link has ended")).to_be_visible()
    await expect(page.get_by_role("alert")).to_contain_text("Ask for another")


async def test_somebody_who_was_never_here(browser: Browser, site: LiveServer) -> None:
    """T1, T8: from the first page, by the mailbox, to the room he was invited to."""
    room_id = site.room(site.guest("Host"), title="Invited")
    context = await browser.new_context(locale="en-US", service_workers="block")
    page = await context.new_page()
    await page.goto(f"{site.url}/r/{room_id}")
    await page.get_by_role("textbox", name="E-mail").fill("new.person@example.org")
    await page.keyboard.press("Enter")
    await page.get_by_test_id("to-mailbox").click()
    mail = page.get_by_test_id("mail").filter(has_text="To new.person@example.org").first
    await mail.get_by_role("link").click()
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(f"{site.url}/r/{room_id}")
    session = await page.evaluate(STORED)
    assert session["user"]["name"] == "New Person"
    await context.close()
