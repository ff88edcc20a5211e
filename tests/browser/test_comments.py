"""Comments in the browser: begun with C and a click, answered, mentioned, resolved, pins that follow."""

import pytest
from playwright.async_api import Browser, Locator, expect

from tests.browser.conftest import Meet
from tests.browser.people import Person, new_person
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def begin(person: Person, x: float, y: float, body: str) -> None:
    """Begin a thread with the key C and a click at this point of the canvas."""
    await person.nothing_selected()
    await person.page.keyboard.press("c")
    await expect(person.page.get_by_test_id("placing")).to_be_visible()
    await person.page.mouse.click(*await person.at(x, y))
    await person.page.get_by_test_id("composer").fill(body)
    await person.page.get_by_test_id("composer").press("Control+Enter")
    await expect(person.page.get_by_test_id("remark")).to_contain_text(body)


ESCAPE_AT_ONCE = """() => { new MutationObserver((_, self) => {
  if (!document.querySelector("[data-testid=remark]")) return;
  self.disconnect();
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
}).observe(document.body, { childList: true, subtree: true }); }"""


GIVE = """([room, role]) => fetch(`/api/v1/rooms/${room}`, { method: "PATCH",
  headers: { "Content-Type": "application/json" }, body: JSON.stringify({ default_role: role }) })"""


async def centre(pin: Locator) -> tuple[float, float]:
    box = await pin.bounding_box()
    assert box is not None
    return box["x"], box["y"] + box["height"]


async def test_a_comment_is_pinned_answered_and_resolved_by_two(meet: Meet) -> None:
    """X1 X4 X5 X8: live on the other screen, unread until it is looked at, back at its point without its
    element."""
    meeting = await meet()
    ada, grace = meeting.people
    box = await ada.draw("r", (300, 200), (420, 300))
    await meeting.agree()
    await begin(ada, 350, 250, "Bigger, please")
    pin, theirs = ada.page.get_by_test_id("pin"), grace.page.get_by_test_id("pin")
    button = grace.page.get_by_test_id("comments-button")
    await expect(theirs).to_have_attribute("aria-label", "Comment by Ada: Bigger, please. unread")
    await expect(button).to_have_attribute("aria-label", "Comments, 1 thread unread")

    # it is at the corner of the element, and goes where that goes
    at = await centre(theirs)
    assert at == pytest.approx(await grace.at(420, 200), abs=3)
    await ada.page.get_by_role("button", name="Close comments").click()
    await ada.select(box["id"])
    await ada.page.keyboard.press("ArrowRight")
    await grace.until(
        "([x]) => document.querySelector('[data-testid=pin]').getBoundingClientRect().x > x", [at[0]]
    )
    await grace.page.mouse.move(*await grace.at(200, 500))
    await grace.page.mouse.wheel(0, 60)
    await grace.until(
        "([y]) => document.querySelector('[data-testid=pin]').getBoundingClientRect().bottom < y - 30",
        [at[1]],
    )

    # looked at, it is read; the answer mentions
    await theirs.click()
    await expect(button).to_have_attribute("aria-label", "Comments")
    field = grace.page.get_by_test_id("composer")
    await field.press_sequentially("@Ad")
    await grace.page.get_by_role("option", name="Ada").click()
    await field.press_sequentially("like this?")
    await grace.page.get_by_role("button", name="Reply").click()
    await expect(grace.page.get_by_test_id("remark").nth(1).locator("mark")).to_have_text("@Ada")
    await expect(ada.page.get_by_test_id("comments-button")).to_have_attribute(
        "aria-label", "Comments, 1 thread unread"
    )
    await ada.page.get_by_test_id("comments-button").click()
    await ada.page.get_by_test_id("thread-row").click()
    await expect(ada.page.get_by_test_id("remark").nth(1)).to_contain_text("mentions you")

    # without its element it is where it was pinned
    await ada.page.get_by_role("button", name="Close comments").click()
    await ada.select(box["id"])
    await ada.page.keyboard.press("Delete")
    await expect(pin).to_have_count(1)
    x, y = await ada.at(420, 200)
    await ada.until(
        "([x, y]) => { const box = document.querySelector('[data-testid=pin]').getBoundingClientRect();"
        " return Math.hypot(box.x - x, box.bottom - y) < 3; }",
        [x, y],
    )
    await pin.click()
    await ada.page.get_by_role("button", name="Resolve").click()
    await expect(ada.page.get_by_text("Resolved by Ada")).to_be_visible()
    await ada.page.get_by_role("button", name="All comments").click()
    await expect(ada.page.get_by_test_id("comments-empty")).to_contain_text("All settled")
    await expect(pin).to_have_count(0)
    await expect(grace.page.get_by_text("Resolved by Ada")).to_be_visible()
    await grace.page.get_by_role("button", name="Open again").click()
    await expect(pin).to_have_count(1)
    await ada.page.get_by_test_id("thread-row").click()
    await ada.page.get_by_role("button", name="Change this comment").click()
    await ada.page.get_by_label("Change the comment").fill("Smaller, please")
    await ada.page.get_by_role("button", name="Save").click()
    await expect(grace.page.get_by_test_id("remark").first).to_contain_text("Smaller, please")

    # what somebody else wrote stays until they take it away
    await expect(ada.page.get_by_role("button", name="Remove this thread")).to_have_count(0)
    await ada.page.get_by_role("button", name="Remove this comment").click()
    await expect(grace.page.get_by_test_id("remark")).to_have_count(1)
    await grace.page.get_by_role("button", name="Remove this thread").click()
    await grace.page.get_by_role("button", name="Remove", exact=True).click()
    await expect(pin).to_have_count(0)
    await grace.page.get_by_role("button", name="Close comments").click()


async def test_the_keyboard_and_a_telephone_do_it_too(
    browser: Browser, server: LiveServer, everyone: list[Person], meet: Meet
) -> None:
    """X6: without a mouse, with a finger; what was written while one was away is there on return."""
    looks = {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True}
    linus = await new_person(browser, server, "Linus", **looks)
    everyone.append(linus)
    ada = everyone[0]
    await meet([ada, linus])
    await ada.page.keyboard.press("c")
    await expect(ada.page.get_by_test_id("placing")).to_be_focused()
    await ada.page.keyboard.press("Escape")
    await expect(ada.page.get_by_test_id("placing")).to_have_count(0)
    await ada.page.keyboard.press("c")
    await ada.page.keyboard.press("Enter")
    await ada.page.keyboard.type("In the middle; c is a letter")
    # as soon as the comment is there the keys are the panel's, however fast somebody types
    await ada.ask(ESCAPE_AT_ONCE)
    await ada.page.keyboard.press("Control+Enter")
    await expect(ada.page.get_by_test_id("thread-row")).to_contain_text("c is a letter")
    await ada.page.keyboard.press("Escape")
    await expect(ada.page.get_by_test_id("comments")).to_have_count(0)
    # the focus goes back to what opened it
    button = ada.page.get_by_test_id("comments-button")
    await button.press("Enter")
    await expect(ada.page.get_by_role("button", name="Close comments")).to_be_focused()
    await ada.page.keyboard.press("Escape")
    await expect(button).to_be_focused()

    await expect(linus.page.get_by_test_id("comments-button")).to_have_attribute(
        "aria-label", "Comments, 1 thread unread"
    )
    await linus.page.get_by_test_id("comments-button").tap()
    await linus.page.get_by_role("button", name="Add").tap()
    await linus.page.get_by_test_id("placing").tap(position={"x": 100, "y": 300})
    await linus.page.get_by_test_id("composer").fill("By a finger")
    await linus.page.get_by_role("button", name="Comment", exact=True).tap()
    await expect(ada.page.get_by_test_id("pin")).to_have_count(2)

    await linus.context.set_offline(True)
    await begin(ada, 200, 200, "While you were away")
    await linus.context.set_offline(False)
    await linus.page.get_by_role("button", name="All comments").tap()
    await expect(linus.page.get_by_test_id("thread-row")).to_have_count(3, timeout=60_000)


async def test_a_commenter_writes_what_waits_in_the_lobby(server: LiveServer, everyone: list[Person]) -> None:
    """X1 X3: who may comment does so and draws nothing; who is mentioned finds it, and once seen it waits no more."""
    ada, grace = everyone
    await ada.page.goto(server.url)
    token = (await ada.ask("() => JSON.parse(localStorage.getItem('kanvas.session'))"))["token"]
    room_id = server.room(token, title="Asked for advice", default_role="commenter")
    await ada.enter(room_id)
    await ada.draw("r", (300, 200), (420, 300))
    await ada.page.get_by_role("link", name="Back to the lobby").click()
    await expect(ada.page.get_by_test_id("room-card").filter(has_text="Asked for advice")).to_be_visible()

    await grace.enter(room_id)
    await grace.until("() => window.kanvas.api.getSceneElements().length === 1")
    await expect(grace.page.get_by_test_id("looking")).to_contain_text("comment")
    await expect(grace.page.locator(".App-toolbar .ToolIcon_type_radio")).to_have_count(0)
    await grace.page.keyboard.press("c")
    await grace.page.get_by_test_id("placing").click(position={"x": 360, "y": 250})
    field = grace.page.get_by_test_id("composer")
    await field.press_sequentially("@Ad")
    await grace.page.get_by_role("option", name="Ada").click()
    await field.press_sequentially("rounder corners?")
    await grace.page.get_by_role("button", name="Comment", exact=True).click()
    await expect(grace.page.get_by_test_id("remark")).to_contain_text("rounder corners?")
    await expect(grace.indicator).to_have_attribute("data-status", "saved")

    # Ada is not here and has written nothing: she stays mentioned when the words around her name change
    await grace.page.get_by_role("button", name="Change this comment").click()
    change = grace.page.get_by_label("Change the comment")
    await change.fill((await change.input_value()).replace("rounder", "sharper"))
    await grace.page.get_by_role("button", name="Save").click()
    await expect(change).to_have_count(0)
    await expect(grace.page.get_by_test_id("remark")).to_contain_text("sharper corners?")

    # what is being written outlives its field: a role that goes for a moment, and a key
    await field.fill("Or dashed")
    for role in ("viewer", "commenter"):
        await ada.ask(GIVE, [room_id, role])
        await expect(field).to_have_count(1 if role == "commenter" else 0)
    await expect(field).to_have_value("Or dashed")
    await grace.page.get_by_role("button", name="All comments").click()
    await grace.page.keyboard.press("c")
    await grace.page.get_by_test_id("placing").click(position={"x": 200, "y": 400})
    await field.fill("A second one")
    await field.press("Escape")
    await expect(field).to_have_count(0)
    await grace.page.get_by_role("button", name="Add").click()
    await grace.page.get_by_test_id("placing").click(position={"x": 200, "y": 400})
    await grace.page.keyboard.type(", perhaps")
    await expect(field).to_have_value("A second one, perhaps")
    await grace.page.get_by_role("button", name="Cancel").click()
    await grace.page.get_by_test_id("thread-row").click()
    await expect(field).to_have_value("Or dashed")

    await ada.page.reload()
    mention = ada.page.get_by_test_id("mention").filter(has_text="Asked for advice")
    await expect(mention).to_contain_text("@Ada sharper corners?")
    await mention.click()
    await ada.arrive()
    await expect(ada.page.get_by_test_id("remark")).to_contain_text("mentions you")
    await expect(ada.page.get_by_test_id("comments-button")).to_have_attribute("aria-label", "Comments")
    await ada.page.get_by_role("link", name="Back to the lobby").click()
    await expect(ada.page.get_by_test_id("room-card").filter(has_text="Asked for advice")).to_be_visible()
    await expect(mention).to_have_count(0)
