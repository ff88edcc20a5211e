"""Sign-in at an identity provider, and a token that ends in the middle of drawing, in a real browser."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from server.auth import Tokens
from server.identity.claims import user_id_of
from tests.browser.people import SIZE, Person
from tests.browser.watch import VIOLATIONS
from tests.server.identity.provider import open_provider
from tests.servers import LiveServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOKS = "https://cdn.jsdelivr.net"
STORED = "() => JSON.parse(localStorage.getItem('kanvas.session'))"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with open_provider() as url:
        yield url


@pytest.fixture(scope="module")
def site(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose people come by the provider alone."""
    settings = {
        "KANVAS_GUESTS": "off",
        "KANVAS_OIDC_ISSUER": provider,
        "KANVAS_OIDC_CLIENT_ID": "kanvas",
        "KANVAS_OIDC_CLIENT_SECRET": "s3cret",
        "KANVAS_OIDC_BUTTON": "Sign in with Example",
    }
    with LiveServer(tmp_path_factory.mktemp("site") / "data", settings) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def ada(browser: Browser, site: LiveServer, provider: str) -> AsyncIterator[Person]:
    """Somebody who has not signed in. Looks at what her browser did."""
    context = await browser.new_context(viewport=SIZE, service_workers="block", locale="en-US")
    await context.add_init_script(VIOLATIONS)
    person = Person("Ada", context, await context.new_page(), site)
    person.watch.allow(provider)
    # the provider's page would ask the world for its looks
    person.watch.allow(LOOKS)
    await context.route(f"{LOOKS}/**", lambda route: route.fulfill(body="", content_type="text/css"))
    await context.route(f"{provider}/favicon.ico", lambda route: route.fulfill(body=""))
    yield person
    assert person.watch.verdict() == []
    await context.close()


def host(site: LiveServer) -> Tokens:
    return Tokens((site.data_dir / "secret").read_bytes().strip(), ttl_s=3600)


async def sign_in(person: Person, subject: str = "ada") -> None:
    """Press the button, and be somebody at the provider's page."""
    await person.page.get_by_role("link", name="Sign in with Example").click()
    await person.page.locator("input[name=sub]").first.fill(subject)
    await person.page.get_by_role("button", name="Authorize").click()


async def test_an_invitation_by_way_of_the_provider(ada: Person, site: LiveServer, provider: str) -> None:
    """I5: to the provider and back into the same room, as the same person each time; sign-out ends it."""
    room_id = site.room(host(site).issue("host", "Host").token, title="Invited")
    page = ada.page
    await page.goto(f"{site.url}/r/{room_id}")
    await expect(page.get_by_label("Your name")).to_have_count(0)
    await sign_in(ada)
    await ada.arrive()
    await ada.saved()
    assert page.url == f"{site.url}/r/{room_id}"
    session = await ada.ask(STORED)
    assert session["user"] == {"id": user_id_of(provider, "ada"), "name": "Ada of the provider"}
    rectangle = await ada.draw("r", (400, 300), (500, 360))
    await ada.saved()

    await page.get_by_role("link", name="Back to the lobby").click()
    await page.get_by_test_id("account").click()
    await page.get_by_role("menuitem", name="Sign out").click()
    await page.get_by_label("Sign out on all other devices").check()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("link", name="Sign in with Example")).to_be_visible()
    assert await ada.ask("() => localStorage.getItem('kanvas.session')") is None
    status = "async (token) => (await fetch('/api/v1/me', { headers: { Authorization: `Bearer ${token}` } })).status"
    with ada.watch.expecting("401"):
        assert await ada.ask(status, session["token"]) == 401

    await page.goto(f"{site.url}/r/{room_id}")
    await sign_in(ada)
    await ada.arrive()
    await ada.sees(rectangle["id"])
    assert (await ada.ask(STORED))["user"]["id"] == session["user"]["id"]


async def test_who_says_no_is_told_so(ada: Person, site: LiveServer) -> None:
    """I5: and whoever writes words into an address does not have them shown."""
    page = ada.page
    await page.goto(f"{site.url}/#sign-in-failed=denied")
    # the address below has an alert of its own
    alert = page.get_by_role("alert").first
    await expect(alert).to_contain_text("You were not signed in")
    assert page.url == f"{site.url}/"
    await page.goto(f"{site.url}/?x#sign-in-failed=Call%20555-0100")
    await expect(alert).to_contain_text("You were not signed in. Try again.")
    await page.get_by_role("button", name="I have a token").click()
    await page.get_by_label("Access token").fill(host(site).issue("op", "Op").token)
    await page.get_by_role("button", name="Start drawing").click()
    await expect(page.get_by_role("heading", name="Hello, Op")).to_be_visible()


async def test_who_signs_out_without_a_network_is_out(ada: Person, site: LiveServer) -> None:
    """I7: the server is told when it can be, and the cookie that is left lets nobody in meanwhile."""
    page = ada.page
    await page.goto(f"{site.url}/")
    await sign_in(ada)
    await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()
    token = (await ada.ask(STORED))["token"]
    # the browser may write its complaint later than the page goes on
    with ada.watch.expecting("ERR_FAILED|ERR_INTERNET_DISCONNECTED", "401"):
        await page.route("**/api/v1/**", lambda route: route.abort())
        await page.get_by_test_id("account").click()
        await page.get_by_role("menuitem", name="Sign out").click()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Draw together")).to_be_visible()
        await page.unroute("**/api/v1/**")
        await page.goto(f"{site.url}/favicon.svg")
        await page.goto(f"{site.url}/#signed-in")
        await expect(page.get_by_role("alert").first).to_contain_text("Somebody signed out here before")
        assert await ada.ask(STORED) is None
        status = "async (token) => (await fetch('/api/v1/me', { headers: token ? { Authorization: `Bearer ${token}` } : {} })).status"
        assert [await ada.ask(status, one) for one in (token, None)] == [401, 401]
        await sign_in(ada)
        await expect(page.get_by_role("heading", name="Hello, Ada")).to_be_visible()


async def test_a_token_that_ends_while_somebody_draws(ada: Person, site: LiveServer) -> None:
    """I6: another goes over the open connection, and nobody notices."""
    tokens = host(site)
    room_id = site.room(tokens.issue("ada", "Ada").token)
    frames: list[tuple[str, Any]] = []
    sockets: list[Any] = []

    def watch(socket: Any) -> None:
        sockets.append(socket)
        socket.on("framesent", lambda data: frames.append(("sent", data)))
        socket.on("framereceived", lambda data: frames.append(("received", data)))

    ada.page.on("websocket", watch)
    # as if this browser had slept through the time to renew
    session = {"token": tokens.issue("ada", "Ada", ttl_s=55).token, "user": {"id": "ada", "name": "Ada"}}
    await ada.page.goto(f"{site.url}/favicon.svg")
    await ada.ask(
        "(one) => localStorage.setItem('kanvas.session', JSON.stringify({ ...one, receivedAt: Date.now(), lifeMs: 9e6 }))",
        session,
    )
    await ada.enter(room_id)
    told: list[tuple[str, bytes]] = []
    while ("received", b"\x40\x01") not in told:
        await ada.pause(50)
        told = [(way, bytes(data[:2])) for way, data in frames if isinstance(data, bytes) and data[0] == 64]
    # the role, which is told to who joins
    assert told.pop(0) == ("received", b"\x40\x03")
    assert told == [("received", b"\x40\x00"), ("sent", b"\x40\x00"), ("received", b"\x40\x01")]
    assert (await ada.ask(STORED))["token"] != session["token"]
    await ada.draw("r", (400, 300), (500, 360))
    await ada.saved()
    assert len(sockets) == 1
