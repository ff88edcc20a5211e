"""Two processes by mistake, or for a moment during a restart, over one journal."""

from typing import Any

import pytest
from pycrdt import Doc, Map

from party.errors import IncompleteUpdate
from party.hub import open_hub
from party.memory import MemoryJournal
from party.ports import Principal
from tests.party.peers import Wire

ADA = Principal(user_id="ada", name="Ada")


def set_key(key: str) -> bytes:
    doc: Doc[Any] = Doc()
    doc.get("map", type=Map)[key] = True
    return doc.get_update()


async def test_a_room_that_finds_rows_of_somebody_else_shows_them_first() -> None:
    """H7, B4: what the other process wrote is not missing from what this one shows; nobody is sent away."""
    journal = MemoryJournal()
    journal.create("room", "open")
    async with open_hub(journal) as one, open_hub(journal) as other:
        wire = Wire()
        await other.join("room", ADA, wire)
        assert await one.submit("room", ADA, set_key("one")) == "1-1"
        assert await other.submit("room", ADA, set_key("other")) == "1-2"
        version, state = await other.state("room")
        assert wire.closed is None
    seen: Doc[Any] = Doc()
    seen.apply_update(state)
    assert version == "1-2"
    assert set(seen.get("map", type=Map).keys()) == {"one", "other"}


async def test_an_update_that_builds_on_what_the_news_has_not_told_yet_is_taken() -> None:
    """B13: the author saw it saved at the other process a moment ago; only what nobody has is incomplete."""
    journal = MemoryJournal()
    journal.create("room", "open")
    doc: Doc[Any] = Doc()
    shared = doc.get("map", type=Map)
    edits = []
    for key in ("one", "other", "lost", "late"):
        before = doc.get_state()
        shared[key] = True
        edits.append(doc.get_update(before))
    async with open_hub(journal) as one, open_hub(journal) as other:
        await other.join("room", ADA, Wire())
        assert await one.submit("room", ADA, edits[0]) == "1-1"
        assert await other.submit("room", ADA, edits[1]) == "1-2"
        with pytest.raises(IncompleteUpdate):
            await other.submit("room", ADA, edits[3])
        assert await other.submit("room", ADA, edits[2]) == "1-3"
