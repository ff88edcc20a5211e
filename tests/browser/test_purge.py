"""Elements that are removed for good, as the people who had something to do with them see it."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser
from pycrdt import Doc, Map

from db.database import open_database
from db.journal import SqlJournal
from party.document import Document
from party.ports import Entry
from tests.browser.conftest import Meet
from tests.browser.people import Meeting, Person, new_person
from tests.browser.test_offline import WORKER
from tests.browser.watch import NO_SERVER
from tests.servers import LiveServer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]


async def purge(data_dir: Path, room_id: str, element_id: str) -> None:
    """What the server does 30 days after the deletion, while it is stopped."""
    async with open_database(f"sqlite:///{data_dir / 'kanvas.db'}") as database:
        journal = SqlJournal(database)
        stored = await journal.load(room_id)
        document = Document.load(stored.checkpoint, stored.updates)
        deleted: Doc[object] = Doc()
        deleted.apply_update(document.encode())
        deleted.get("elements", type=Map)[element_id]["deleted"] = True
        document.replay(flagging := deleted.get_update(document.state_vector()))
        removal = document.purge([element_id])
        assert removal
        await journal.append(room_id, stored.epoch, [Entry(flagging, "grace"), Entry(removal, "server")])


async def test_an_edit_made_offline_in_it_comes_back_as_a_new_element(
    browser: Browser, everyone: list[Person], tmp_path: Path
) -> None:
    """C8: also when the page was loaded without the server after the edit, so that only its copy knows of it."""
    with LiveServer(tmp_path / "data") as server:
        ada = await new_person(browser, server, "Ada", service_workers="allow")
        everyone.append(ada)
        token = server.guest("Witness")
        room_id = server.room(token)
        meeting = Meeting([ada], server, token, room_id)
        await ada.enter(room_id)
        await ada.until(WORKER)
        box = await ada.draw("r", (300, 120), (400, 200))
        disc = await ada.draw("o", (500, 120), (600, 200))
        await meeting.agree(lambda scene: len(scene) == 2)
        with ada.watch.expecting(NO_SERVER, r"ERR_FAILED"):
            assert await asyncio.to_thread(server.stop) == 0
            await ada.drag_element(box["id"], 0, 150)
            await ada.sees(box["id"], y=270)
            await ada.kept()
            await ada.page.reload()
            await ada.arrive()
            await ada.sees(box["id"], y=270)
            await purge(tmp_path / "data", room_id, box["id"])
            # a page that begins anew, to which the sync comes before the editor; the one before must not come
            # back to the server first
            address = ada.page.url
            await ada.page.goto("about:blank")
            await asyncio.to_thread(server.start)
            await ada.page.goto(address)
            await ada.arrive()
            scene = await meeting.agree(lambda scene: len(scene) == 2)
        ids = {one["id"] for one in scene}
        assert disc["id"] in ids
        assert box["id"] not in ids
        assert next(one for one in scene if one["id"] != disc["id"])["y"] == 270


async def test_an_undone_deletion_writes_it_anew(meet: Meet) -> None:
    """C8: the editor's history still has the element, and the document gets all of it again."""
    meeting = await meet()
    ada = meeting.people[0]
    box = await ada.draw("r", (300, 120), (400, 200))
    await meeting.agree(lambda scene: len(scene) == 1)
    await ada.select(box["id"])
    await ada.press("Delete")
    await meeting.agree(lambda scene: all(one["isDeleted"] for one in scene))
    # any client may remove it itself, sooner than the server
    await meeting.people[1].ask("(id) => kanvas.doc.getMap('elements').delete(id)", box["id"])
    await ada.until("(id) => !kanvas.doc.getMap('elements').has(id)", box["id"])
    await ada.press("Control+z")
    scene = await meeting.agree(lambda scene: any(not one["isDeleted"] for one in scene))
    assert [(one["id"], one["x"], one["strokeColor"]) for one in scene] == [
        (box["id"], box["x"], box["strokeColor"])
    ]
