"""Pictures of who may do what, and who did what: sharing, accounts, activity, and looking without drawing.

Owns: these scenes. Does not own: taking the pictures (`screenshot.py`). The first of the people is looked at; the
room is hers.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from playwright.async_api import expect

from tests.browser.people import Meeting, Person
from tests.browser.sketch import fit, put_sketch

Scene = Callable[[Sequence[Person], Meeting], Awaitable[None]]

ASK = """async ([method, path, body]) => { const answer = await fetch(`/api/v1${path}`, { method,
  headers: { "Content-Type": "application/json" }, body: body === null ? undefined : JSON.stringify(body) });
  const text = await answer.text(); if (!answer.ok) throw new Error(text); return text ? JSON.parse(text) : null; }"""
ME = "() => JSON.parse(localStorage.getItem('kanvas.session')).user.id"
ADDRESS = "ada@example.org"


async def call(person: Person, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the server answers this person, over its cookie."""
    return await person.ask(ASK, [method, path, body])


async def settle(person: Person) -> None:
    await person.ask("() => document.fonts.ready.then(() => true)")
    await person.ask("() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 250)))")


async def let_in(people: Sequence[Person], meeting: Meeting, role: str) -> str:
    """Give the others a role in the room, by a link; its address."""
    ada, *others = people
    made = await call(ada, "POST", f"/rooms/{meeting.room_id}/links", {"role": role, "label": "For the team"})
    for person in others:
        await call(person, "POST", "/links/redeem", {"token": made["token"]})
    return str(made["url"])


async def share(people: Sequence[Person], meeting: Meeting) -> None:
    """The Share dialog of a room with people, an invitation and two links."""
    ada, _, linus = people
    path = f"/rooms/{meeting.room_id}"
    await let_in(people, meeting, "editor")
    await call(ada, "PATCH", f"{path}/members/{await linus.ask(ME)}", {"role": "commenter"})
    await call(ada, "POST", f"{path}/invitations", {"email": "margaret@example.org", "role": "viewer"})
    more = {"role": "viewer", "label": "For the newsletter", "max_uses": 200, "password": "paper boat"}
    await call(ada, "POST", f"{path}/links", more | {"expires_at": "2099-01-01T00:00:00Z"})
    await ada.enter(meeting.room_id)
    await put_sketch(ada)
    await fit(ada)
    await ada.page.get_by_test_id("share-button").click()
    dialog = ada.page.get_by_role("dialog", name="Share")
    await expect(dialog.get_by_test_id("member")).to_have_count(3)
    await expect(dialog.get_by_test_id("link")).to_have_count(2)
    await settle(ada)


async def share_below(people: Sequence[Person], meeting: Meeting) -> None:
    """The dialog's other end, where a link is being made."""
    ada, *_ = people
    await share(people, meeting)
    dialog = ada.page.get_by_role("dialog", name="Share")
    await dialog.get_by_role("button", name="Make a link").click()
    await dialog.evaluate("(it) => it.scrollTo(0, it.scrollHeight)")
    await settle(ada)


async def activity(people: Sequence[Person], meeting: Meeting) -> None:
    """Who did what in the room."""
    ada, grace, linus = people
    path = f"/rooms/{meeting.room_id}"
    await let_in(people, meeting, "editor")
    await call(ada, "PATCH", path, {"title": "How a stroke travels, again"})
    await call(ada, "PATCH", f"{path}/members/{await linus.ask(ME)}", {"role": "viewer"})
    await grace.ask(ASK.replace("throw new Error(text)", "return null"), ["DELETE", path, None])
    await call(grace, "POST", f"{path}/comments", {"x": 300, "y": 300, "body": "Here?"})
    await ada.enter(meeting.room_id)
    await put_sketch(ada)
    await fit(ada)
    more = ada.page.get_by_test_id("room-more")
    if await more.count():
        await more.click()
    await ada.page.get_by_test_id("activity-button").click()
    await expect(ada.page.get_by_test_id("activity").first).to_be_visible()
    await settle(ada)


async def more(people: Sequence[Person], meeting: Meeting) -> None:
    """The room's menu on a small screen; on a large one its buttons."""
    ada, *others = people
    await let_in(people, meeting, "editor")
    for person in (*others, ada):
        await person.enter(meeting.room_id)
    await put_sketch(ada)
    await fit(ada)
    await call(others[0], "POST", f"/rooms/{meeting.room_id}/comments", {"x": 300, "y": 300, "body": "Here?"})
    await expect(ada.page.get_by_test_id("comments-button")).to_contain_text("1")
    menu = ada.page.get_by_test_id("room-more")
    if await menu.count():
        await menu.click()
    await settle(ada)


async def _look(people: Sequence[Person], meeting: Meeting, role: str) -> Person:
    """Ada is a guest of Grace's room, in which something is drawn."""
    ada, grace, _ = people
    room = (await call(grace, "POST", "/rooms", {"title": "How a stroke travels", "default_role": role}))[
        "id"
    ]
    await grace.enter(room)
    await put_sketch(grace)
    await grace.saved()
    words = {"body": "Could this be bigger? It is what everything hangs on."}
    await call(grace, "POST", f"/rooms/{room}/comments", words | {"x": 0, "y": 0, "element_id": "journal"})
    await ada.enter(room)
    await expect(ada.page.get_by_test_id("looking")).to_be_visible()
    await fit(ada)
    await expect(ada.page.get_by_test_id("pin")).to_have_count(1)
    return ada


async def viewer(people: Sequence[Person], meeting: Meeting) -> None:
    """A room in which one may only look."""
    await settle(await _look(people, meeting, "viewer"))


async def commenter(people: Sequence[Person], meeting: Meeting) -> None:
    """A room in which one may look and comment."""
    ada = await _look(people, meeting, "commenter")
    await ada.page.get_by_test_id("pin").click()
    await expect(ada.page.get_by_test_id("remark")).to_have_count(1)
    await settle(ada)


async def quiet_comments(people: Sequence[Person], meeting: Meeting) -> None:
    """Nobody has commented."""
    ada, *_ = people
    await ada.enter(meeting.room_id)
    await put_sketch(ada)
    await fit(ada)
    await ada.page.get_by_test_id("comments-button").click()
    await expect(ada.page.get_by_test_id("comments-empty")).to_be_visible()
    await settle(ada)


async def account(people: Sequence[Person], meeting: Meeting) -> None:
    """A guest's account: the ways to sign in, sessions, tokens."""
    ada, *_ = people
    scopes = ["rooms:read", "files:write"]
    made = {"name": "Nightly export", "scopes": scopes, "expires_in_days": 30}
    await call(ada, "POST", "/me/tokens", made)
    await ada.page.goto(f"{meeting.server.url}/account")
    await expect(ada.page.get_by_test_id("token")).to_have_count(1)
    await expect(ada.page.get_by_role("textbox", name="E-mail")).to_be_visible()
    await settle(ada)


async def account_below(people: Sequence[Person], meeting: Meeting) -> None:
    """Its other end, where a token was made and another is being made."""
    ada, *_ = people
    await account(people, meeting)
    await ada.page.get_by_role("button", name="Make a token").click()
    await ada.page.get_by_label("What for").fill("Screens in the hall")
    await ada.page.get_by_role("button", name="Make the token").click()
    await expect(ada.page.get_by_test_id("new-token")).to_be_visible()
    await ada.page.get_by_role("button", name="Make a token").click()
    await ada.page.get_by_test_id("new-token").evaluate("(it) => it.scrollIntoView({ block: 'center' })")
    await settle(ada)


async def keep(people: Sequence[Person], meeting: Meeting) -> None:
    """A guest is about to sign in."""
    ada, *_ = people
    await ada.page.goto(meeting.server.url)
    await ada.page.get_by_test_id("account").click()
    await ada.page.get_by_role("menuitem", name="Sign in to keep").click()
    await expect(ada.page.get_by_role("textbox", name="E-mail")).to_be_visible()
    await settle(ada)


async def menu(people: Sequence[Person], meeting: Meeting) -> None:
    """The account's menu."""
    ada, *_ = people
    await ada.page.goto(meeting.server.url)
    await ada.page.get_by_test_id("account").click()
    await settle(ada)


async def mailbox(people: Sequence[Person], meeting: Meeting) -> None:
    """The mails of a server without one to send them by."""
    ada, *_ = people
    path = f"/rooms/{meeting.room_id}/invitations"
    await call(ada, "POST", path, {"email": ADDRESS, "role": "editor", "message": "Have a look?"})
    await call(ada, "POST", "/auth/email", {"email": ADDRESS, "next": "/account"})
    await ada.page.goto(f"{meeting.server.url}/mailbox")
    await expect(ada.page.get_by_test_id("mail").nth(1)).to_be_visible()
    await settle(ada)


async def signin(people: Sequence[Person], meeting: Meeting) -> None:
    """The page of a mailed link."""
    ada, *_ = people
    await keep(people, meeting)
    await ada.page.get_by_role("textbox", name="E-mail").fill(ADDRESS)
    await ada.page.get_by_role("button", name="Send me a link").click()
    await expect(ada.page.get_by_test_id("sent")).to_be_visible()
    await ada.page.goto(f"{meeting.server.url}/mailbox")
    await ada.page.get_by_test_id("mail").first.get_by_role("link").click()
    await expect(ada.page.get_by_test_id("link-words")).to_be_visible()
    await settle(ada)


async def welcome(people: Sequence[Person], meeting: Meeting) -> None:
    """The first visit."""
    ada, *_ = people
    await ada.ask("() => localStorage.removeItem('kanvas.session')")
    await ada.page.goto(meeting.server.url)
    await expect(ada.page.get_by_role("textbox", name="E-mail")).to_be_visible()
    await settle(ada)


async def link(people: Sequence[Person], meeting: Meeting) -> None:
    """Where a link with a password leads."""
    ada, grace, _ = people
    room = (await call(grace, "POST", "/rooms", {"title": "Autumn workshop", "default_role": "none"}))["id"]
    made = {"role": "commenter", "password": "paper boat"}
    url = (await call(grace, "POST", f"/rooms/{room}/links", made))["url"]
    await ada.page.goto(url)
    await expect(ada.page.get_by_role("button", name="room")).to_be_visible()
    await settle(ada)


async def invited(people: Sequence[Person], meeting: Meeting) -> None:
    """A lobby with an invitation, a mention, and rooms of several roles."""
    ada, grace, linus = people
    me = await ada.ask(ME)
    await call(ada, "POST", "/rooms", {"title": "Floor plan", "visibility": "public"})
    for title, role in (
        ("Autumn workshop", "editor"),
        ("Release 1.0", "commenter"),
        ("Lighthouse", "viewer"),
    ):
        room = (await call(grace, "POST", "/rooms", {"title": title, "default_role": "none"}))["id"]
        made = await call(grace, "POST", f"/rooms/{room}/links", {"role": role})
        await call(ada, "POST", "/links/redeem", {"token": made["token"]})
        if role == "commenter":
            words = {"x": 0, "y": 0, "body": "@Ada, is this what you meant?", "mentions": [me]}
            await call(grace, "POST", f"/rooms/{room}/comments", words)
    room = (await call(linus, "POST", "/rooms", {"title": "Sunday sketches", "default_role": "none"}))["id"]
    await call(linus, "POST", f"/rooms/{room}/invitations", {"user_id": me, "role": "editor"})
    await ada.page.goto(meeting.server.url)
    await expect(ada.page.get_by_test_id("my-invitation")).to_have_count(1)
    await expect(ada.page.get_by_test_id("mention")).to_have_count(1)
    await settle(ada)


SCENES: dict[str, Scene] = {
    "share": share,
    "share-below": share_below,
    "activity": activity,
    "more": more,
    "viewer": viewer,
    "commenter": commenter,
    "quiet-comments": quiet_comments,
    "account": account,
    "account-below": account_below,
    "keep": keep,
    "menu": menu,
    "mailbox": mailbox,
    "signin": signin,
    "welcome": welcome,
    "link": link,
    "invited": invited,
}
