"""The account page in a real browser: name, sessions, personal tokens, and small screens."""

from typing import Any

import httpx2
import pytest
from playwright.async_api import Browser, expect

from tests.browser.people import Person, new_person
from tests.browser.test_screens import PHONE, fits, unnamed
from tests.servers import LiveServer, bearer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

SESSION = "() => JSON.parse(localStorage.getItem('kanvas.session'))"


def status(server: LiveServer, token: str, method: str = "GET", path: str = "/rooms", **more: Any) -> int:
    url = f"{server.url}/api/v1{path}"
    return httpx2.request(method, url, headers=bearer(token), timeout=60, **more).status_code


async def open_account(person: Person) -> None:
    await person.page.goto(person.server.url)
    await person.page.get_by_test_id("account").click()
    await person.page.get_by_role("menuitem", name="Account").click()
    await expect(person.page.get_by_role("heading", name="Your account")).to_be_visible()


async def test_a_token_is_made_shown_once_and_revoked(server: LiveServer, everyone: list[Person]) -> None:
    ada = everyone[0]
    page = ada.page
    await open_account(ada)
    await expect(page.get_by_test_id("user-id")).to_have_text((await ada.ask(SESSION))["user"]["id"])
    await expect(page.get_by_test_id("session").filter(has_text="this browser")).to_contain_text(
        "Chrome on Linux"
    )

    await page.get_by_role("button", name="Make a token").click()
    form = page.get_by_role("form", name="A new token")
    await form.get_by_role("button", name="Make the token").click()
    await expect(form.get_by_role("alert")).to_contain_text("name")
    await form.get_by_label("What for").fill("Nightly export")
    await form.get_by_role("button", name="Make the token").click()
    token = await page.get_by_test_id("new-token").input_value()
    assert status(server, token) == 200
    assert status(server, token, "POST", json={"title": "No"}) == 403
    entry = page.get_by_test_id("token")

    # one that is revoked at once is not offered any more
    await page.get_by_role("button", name="Make a token").click()
    await form.get_by_label("What for").fill("A mistake")
    await form.get_by_role("button", name="Make the token").click()
    await entry.get_by_role("button", name="Revoke A mistake").click()
    await page.get_by_role("button", name="Revoke", exact=True).click()
    await expect(entry).to_have_count(1)
    await expect(page.get_by_test_id("new-token")).to_have_count(0)

    await page.reload()
    await expect(entry).to_contain_text("Nightly export")
    await expect(page.get_by_test_id("new-token")).to_have_count(0)
    assert token not in await page.content()
    await entry.get_by_role("button", name="Revoke").click()
    await page.get_by_role("button", name="Revoke", exact=True).click()
    await expect(entry).to_have_count(0)
    assert status(server, token) == 401


async def test_signing_out_everywhere_ends_every_session(browser: Browser, server: LiveServer) -> None:
    linus = await new_person(browser, server, "Linus")
    token = (await linus.ask(SESSION))["token"]
    await open_account(linus)
    await linus.page.get_by_role("button", name="Change name").click()
    await linus.page.get_by_role("dialog").get_by_label("Others see this").fill("Linus the Elder")
    await linus.press("Enter")
    await expect(linus.page.locator(".profile")).to_contain_text("Linus the Elder")
    await linus.page.get_by_role("button", name="Sign out everywhere").click()
    await linus.page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    await expect(linus.page.get_by_label("Your name")).to_be_visible()
    assert status(server, token, path="/me") == 401
    assert linus.watch.verdict() == []
    await linus.context.close()


async def test_sharing_and_the_account_fit_a_phone(browser: Browser, server: LiveServer) -> None:
    phone = await new_person(browser, server, "Phone", **PHONE)
    token = (await phone.ask(SESSION))["token"]
    await phone.enter(server.room(token, title="A room with quite a long name for a small screen"))
    await phone.page.get_by_test_id("share-button").tap()
    dialog = phone.page.get_by_role("dialog", name="Share")
    await expect(dialog.get_by_test_id("member")).to_have_count(1)
    await dialog.get_by_role("button", name="Make a link").tap()
    assert await dialog.evaluate("(it) => it.scrollWidth <= it.clientWidth")
    assert await unnamed(phone) == []
    await phone.press("Escape")
    await expect(dialog).to_have_count(0)

    await phone.page.goto(f"{server.url}/account")
    await phone.page.get_by_role("button", name="Make a token").tap()
    await fits(phone.page)
    assert await unnamed(phone) == []
    assert phone.watch.verdict() == []
    await phone.context.close()
