"""The operator's page: who gets in, what it shows, and what its orders do to people who draw."""

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import Meet
from tests.browser.people import Person, new_person
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

FORBIDDEN = r"40[13]"
"""What Chromium says of an answer with this status."""


async def oversee(person: Person, token: str) -> None:
    await person.page.goto(f"{person.server.url}/admin")
    await person.page.get_by_label("Operator’s token").fill(token)
    await person.page.keyboard.press("Enter")


def row(person: Person, room_id: str) -> Locator:
    return person.page.locator(f'[data-testid="live-room"][data-room="{room_id}"]')


async def test_only_an_operators_token_gets_in(server: LiveServer, everyone: list[Person]) -> None:
    """M8: nonsense is told apart at once, somebody's own token by the server; nothing is shown meanwhile."""
    ada, *_ = everyone
    await oversee(ada, "nonsense")
    await expect(ada.page.get_by_role("alert")).to_contain_text("not a token")
    with ada.watch.expecting(FORBIDDEN):
        await ada.page.get_by_label("Operator’s token").fill(server.guest("Mallory"))
        await ada.page.get_by_role("button", name="Look").click()
        await expect(ada.page.get_by_role("alert")).to_contain_text("not an operator’s")
    await expect(ada.page.get_by_test_id("nodes")).to_have_count(0)
    await ada.page.evaluate("() => sessionStorage.clear()")


async def test_an_operator_freezes_thaws_and_kicks(
    server: LiveServer, everyone: list[Person], meet: Meet
) -> None:
    """M4, M5, M6, M7: live, by keyboard; what was drawn into a frozen room comes when it is thawed."""
    ada, grace = everyone
    meeting = await meet([ada, grace], title="Engine room")
    operator = await new_person(ada.context.browser, server, "Olga")  # type: ignore[arg-type]
    everyone.append(operator)
    await oversee(operator, server.admin())
    one = row(operator, meeting.room_id)
    await expect(one).to_contain_text("Engine room")
    await expect(one.get_by_role("button", name="2 in Engine room; show who")).to_be_visible()

    # by keyboard alone: the menu, its second entry, and focus is back where it was
    orders = one.get_by_role("button", name="Orders for Engine room")
    await orders.focus()
    await operator.page.keyboard.press("Enter")
    await operator.page.keyboard.press("ArrowDown")
    await operator.page.keyboard.press("Enter")
    await expect(one).to_contain_text("frozen")
    await expect(orders).to_be_focused()
    await expect(grace.page.get_by_text("The operator froze this room")).to_be_visible()
    await grace.draw("r", (300, 200), (420, 280))
    await expect(grace.page.get_by_test_id("saved")).to_have_text("frozen, 1 change waiting")
    version, _ = server.state(meeting.token, meeting.room_id)
    assert version.endswith("-0")

    await orders.click()
    await operator.page.get_by_role("menuitem", name="Thaw").click()
    await expect(one).not_to_contain_text("frozen")
    await expect(grace.page.get_by_text("The operator thawed this room")).to_be_visible()
    await meeting.agree()
    await ada.until("() => window.kanvas.api.getSceneElements().length === 1")
    await grace.saved()

    await one.get_by_role("button", name="2 in Engine room; show who").click()
    await operator.page.get_by_role("button", name="Send out Grace").click()
    await operator.page.get_by_label("For an hour").check()
    await operator.page.get_by_role("button", name="Send out", exact=True).click()
    dialog = grace.page.get_by_role("dialog", name="You are not in this room any more")
    await expect(dialog).to_contain_text("keeps you out of this room until")
    await expect(one).to_contain_text("1 kept out")
    await expect(one.get_by_role("button", name="1 in Engine room; show who")).to_be_visible()
    await orders.click()
    await operator.page.get_by_role("menuitem", name="Let everybody in").click()
    await expect(one).not_to_contain_text("kept out")
    await grace.enter(meeting.room_id)
