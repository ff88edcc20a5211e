"""The server dies under two people who draw: what was shown as saved is on its disk, the rest catches up."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Meet
from tests.browser.people import COUNT, Meeting, Person
from tests.browser.scenes import groups_of, whole
from tests.browser.watch import NO_SERVER
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

# Keeps every state of my own elements, and which of them the indicator showed as saved last.
RECORD = """() => { const { doc, saved } = window.kanvas;
  const mine = () => { const all = {};
    for (const [id, map] of doc.getMap("elements")) if (map._item.id.client === doc.clientID) all[id] = map.toJSON();
    return all; };
  const record = (window.record = { states: [mine()], shown: 0 });
  doc.on("afterTransaction", (transaction) => { if (transaction.local) record.states.push(mine()); });
  const indicator = document.querySelector("[data-testid=saved]");
  const look = () => {
    if (indicator.dataset.status === "saved" && saved.status.kind === "saved") record.shown = record.states.length - 1;
  };
  new MutationObserver(look).observe(indicator, { attributes: true });
  saved.subscribe(() => requestAnimationFrame(look)); }"""


@asynccontextmanager
async def killed(server: LiveServer) -> AsyncIterator[None]:
    """No server inside the block: SIGKILL before it, a new process with the same data after it."""
    await asyncio.to_thread(server.kill)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def draw_on(person: Person, left: float, stop: asyncio.Event) -> None:
    """Draw, move and recolour until told to stop."""
    number = 0
    while not stop.is_set():
        x, y = left + 60 * (number % 4), 100 + 50 * (number // 4 % 8)
        box = await person.draw("r", (x, y), (x + 40, y + 30))
        if number % 3 == 0:
            await person.recolour(box["id"], strokeColor="#e03131")
        number += 1


async def saved_enough(person: Person) -> None:
    await person.until("() => Object.keys(window.record.states[window.record.shown]).length >= 3")


async def test_what_was_shown_as_saved_survives_a_kill_and_both_catch_up(meet: Meet, tmp_path: Path) -> None:
    meeting = await meet()
    ada, grace = meeting.people
    for person in meeting.people:
        await person.ask(RECORD)
    stop = asyncio.Event()
    with ada.watch.expecting(NO_SERVER), grace.watch.expecting(NO_SERVER):
        drawing = [
            asyncio.create_task(draw_on(ada, 260, stop)),
            asyncio.create_task(draw_on(grace, 620, stop)),
        ]
        try:
            await asyncio.gather(*(saved_enough(person) for person in meeting.people))
            # In the middle of it: nobody has put the pen down.
            async with killed(meeting.server):
                stop.set()
                await asyncio.gather(*drawing)
                for person in meeting.people:
                    await expect(person.indicator).to_have_attribute("data-status", "offline")
                records = [await person.ask("() => window.record") for person in meeting.people]
                disk = await on_disk(meeting, tmp_path)
                for record in records:
                    assert lost(record, disk) == []
                await draw_while_down(meeting)
        finally:
            stop.set()
        scene = await meeting.agree()
    drawn = {
        id_
        for person in meeting.people
        for id_ in await person.ask("() => Object.keys(window.record.states.at(-1))")
    }
    assert {one["id"] for one in scene} == drawn
    for person in meeting.people:
        await expect(person.indicator).to_have_text("saved")


async def on_disk(meeting: Meeting, tmp_path: Path) -> dict[str, Any]:
    """The elements a server finds in the data as the kill left it, before any browser comes back."""
    copy = tmp_path / "as-it-was"
    await asyncio.to_thread(shutil.copytree, meeting.server.data_dir, copy)
    found = LiveServer(copy)
    await asyncio.to_thread(found.start)
    try:
        _, state = await asyncio.to_thread(found.state, meeting.token, meeting.room_id)
    finally:
        await asyncio.to_thread(found.kill)
    return groups_of(state)


def lost(record: dict[str, Any], disk: dict[str, Any]) -> list[str]:
    """Elements that aren't on the disk as shown saved, nor as they were drawn later; what is there instead."""
    states, shown = record["states"], record["shown"]
    return [
        f"{id_} is {drawn(disk.get(id_))}, not {drawn(states[shown][id_])} nor anything later"
        for id_ in states[shown]
        if drawn(disk.get(id_)) not in {drawn(state.get(id_)) for state in states[shown:]}
    ]


def drawn(groups: dict[str, Any] | None) -> str:
    """An element as its author drew it: whoever drew at the same moment may give it another place in the order."""
    if groups is None:
        return "nothing"
    assert groups["z"], "an element without a place in the order"
    return json.dumps(whole({name: value for name, value in groups.items() if name != "z"}), sort_keys=True)


async def draw_while_down(meeting: Meeting) -> None:
    """Changes made without a server are counted, and kept."""
    for left, person in zip((260, 620), meeting.people, strict=True):
        before = int(await person.indicator.get_attribute("data-waiting") or 0)
        await person.ask(COUNT)
        await person.draw("o", (left, 520), (left + 60, 560))
        await person.draw("d", (left + 80, 520), (left + 140, 560))
        made = await person.ask("() => window.mine")
        assert made >= 2
        await expect(person.indicator).to_have_text(f"offline, {before + made} changes waiting")
