"""Fixtures of the browser tests: one Chromium, one server and two people for the whole session.

Rule: whatever a test does, no browser asks another origin for anything or complains (`watch.py`); that is looked at
after every test. After a failure everybody's screen is in `test-results/`.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.browser.chromium import open_chromium
from tests.browser.people import Meeting, Person, new_person
from tests.servers import LiveServer

Meet = Callable[..., Awaitable[Meeting]]
RESULTS = Path(__file__).parents[2] / "test-results"
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    # with the limits as they are: what the client does must never meet them
    env = {"KANVAS_RATE_LIMITS": ""}
    with LiveServer(tmp_path_factory.mktemp("browser") / "data", env) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with open_chromium() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def couple(browser: Browser, server: LiveServer) -> AsyncIterator[list[Person]]:
    """Ada and Grace, signed in."""
    people = [await new_person(browser, server, name) for name in ("Ada", "Grace")]
    for person in people:
        await leave(person)
    yield people
    for person in people:
        await person.context.close()


async def leave(person: Person) -> None:
    """Where every test finds the couple, whichever test is the first of a process: on a page of nobody's.

    A room nobody looks at draws 60 frames a second of nothing: 7 % of a processor for each page.
    """
    await person.page.goto("about:blank")


@pytest_asyncio.fixture(loop_scope="session")
async def everyone(couple: list[Person], request: pytest.FixtureRequest) -> AsyncIterator[list[Person]]:
    """All who take part in a test; further people are appended by it. Looks at what their browsers did."""
    people = list(couple)
    yield people
    if request.node.stash.get(FAILED, False):
        RESULTS.mkdir(exist_ok=True)
        name = re.sub(r"\W+", "-", request.node.name)
        for person in people:
            await person.page.screenshot(path=RESULTS / f"{name}-{person.name}.png")
    # those first whose server may be gone: their pages would go on asking for it
    for person in people[len(couple) :]:
        await person.context.close()
    for person in couple:
        await person.page.mouse.up()
        await leave(person)
        person.watch.forget()
    assert {person.name: person.watch.verdict() for person in people if person.watch.verdict()} == {}
    assert all(person.watch.asked > 0 for person in people)


@pytest_asyncio.fixture(loop_scope="session")
async def meet(server: LiveServer, everyone: list[Person]) -> Meet:
    """Puts the people into a new room."""

    async def put(people: list[Person] | None = None, **fields: object) -> Meeting:
        token = server.guest("Witness")
        room_id = server.room(token, **fields)
        guests = everyone if people is None else people
        for person in guests:
            await person.enter(room_id)
        return Meeting(guests, server, token, room_id)

    return put
