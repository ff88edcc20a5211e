"""Our client's busiest minute stays below the limits as they are."""

import re

import pytest

from server.app import all_operations
from server.rates.actions import ACTIONS, MESSAGES, read_table
from server.rates.guard import Rates
from server.rates.memory import MemoryLimiter
from tests.conventions.tree import ROOT

ROOMS, IMAGES, PARTS = 20, 50, 8
"""Rooms opened in a minute, images dropped, and the further calls of those that are sent in parts."""

MINUTE = {
    # lists that refresh every 10 s in three tabs, a search typed letter by letter, files looked through
    "list_rooms": 3 * 6 + 30,
    "list_room_assets": 60,
    # asked when the page opens, and looked at every 30 s
    "read_room": 2 * ROOMS,
    "read_base": ROOMS,
    "list_participants": ROOMS,
    "create_room": 5,
    "change_room": 10,
    "delete_room": 10,
    "restore_room": 10,
    "put_asset": IMAGES,
    "announce_asset": IMAGES,
    "list_parts": IMAGES,
    "sign_parts": IMAGES * PARTS,
    "complete_upload": IMAGES,
    "cancel_upload": IMAGES,
    "import_asset": 20,
    # a room of 2,000 pictures opens, each with its thumbnail and its larger form
    "read_room_asset": 2 * 2000,
    "export_document": 3,
    "read_me": 10,
    "rename_me": 3,
    "sign_in_guest": 2,
    "refresh_token": 5,
    "sign_out": 2,
}


async def test_a_busy_minute_of_one_person_takes_less_than_three_quarters() -> None:
    """L2: all of it in one instant, which no window takes better."""
    operations = {operation.name: operation for operation in all_operations().operations}
    rates = Rates(read_table(), MemoryLimiter(lambda: 100.0))
    left: dict[str, float] = {}
    for name, times in MINUTE.items():
        action = operations[name].action
        assert action is not None
        for _ in range(times):
            counted = await rates.take(action, host="192.0.2.1", user_id="ada")
            assert counted is not None
            left[action] = counted[1].remaining / counted[1].limit
    for _ in range(3 * ROOMS):
        await rates.connect("192.0.2.1")
        await rates.join("192.0.2.1", "ada", "")
    assert {action: share for action, share in left.items() if share < 0.25} == {}


async def test_a_school_signs_in_and_comes_back_from_one_address() -> None:
    """L3: two hundred people behind one address, three times in a minute after a restart."""
    rates = Rates(read_table(), MemoryLimiter(lambda: 100.0))
    for at in range(200):
        await rates.take("auth", host="192.0.2.1")
        for _ in range(3):
            await rates.connect("192.0.2.1")
            await rates.join("192.0.2.1", f"user {at}", "")


@pytest.mark.parametrize(
    ("file", "name"), [("presence.ts", "PRESENCE_MS"), ("gestures.ts", "IDLE_COMMIT_MS")]
)
def test_a_page_that_draws_sends_less_than_a_tenth_of_its_pace(file: str, name: str) -> None:
    """L6: by the client's own numbers."""
    source = (ROOT / "static" / "src" / "binding" / file).read_text(encoding="utf-8")
    found = re.search(rf"export const {name} = ([0-9]+);", source)
    assert found is not None
    rate = ACTIONS[MESSAGES].rate
    assert rate is not None
    assert 1000 / int(found[1]) <= rate.limit / rate.window_s / 10
