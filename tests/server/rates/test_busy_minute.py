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
    "list_active_rooms": 3 * 6,
    # looked at every 30 s in three tabs, and when somebody comes back to one
    "list_my_mentions": 3 * 2 + 10,
    "list_my_invitations": 3 * 2 + 10,
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
    # a drawing is gone through: a remark on each thing, answers, what was agreed is closed
    "list_comments": ROOMS + 60,
    "find_people_to_mention": 60,
    "create_thread": 15,
    "create_reply": 30,
    "change_thread": 20,
    "change_comment": 10,
    "delete_comment": 5,
    "delete_thread": 5,
    "read_thread": 60,
    # a room is prepared for a class: names typed one by one, links made and taken back, then one who leaves
    "list_room_members": 30,
    "list_room_invitations": 30,
    "list_room_links": 30,
    "invite": 30,
    "withdraw_invitation": 10,
    "change_member": 20,
    "remove_room_member": 20,
    "make_link": 10,
    "revoke_room_link": 10,
    "transfer_room": 2,
    "accept_invitation": 5,
    "accept_mailed_invitation": 5,
    "redeem_link": 10,
    "decline_invitation": 5,
    # a device is lost: everything it may have known is ended one by one, then all at once
    "list_my_sessions": 30,
    "end_my_session": 50,
    "list_my_tokens": 30,
    "make_personal_token": 5,
    "revoke_personal_token": 30,
    "sign_out_everywhere": 3,
    "list_room_audit": 30,
    "export_room_audit": 3,
    "read_metadata": 60,
    # the operator's page asks every 2 s, with a room's people open in front of it
    "list_live_rooms": 30,
    "list_nodes": 30,
    "read_live_room": 30,
    "freeze_room": 10,
    "thaw_room": 10,
    "close_room": 10,
    "open_room": 10,
    "kick": 20,
    "drain_node": 2,
}

BY_SCRIPTS = {
    "read_state", "apply_update", "list_own_assets", "read_asset", "read_presence", "get_job",
    "list_my_audit", "export_my_audit", "list_all_audit", "export_all_audit",
    "list_jobs", "revive_job", "sweep_now", "list_quarantine", "lift_quarantine", "revoke_user",
}  # fmt: skip
"""Our client never asks for these; who does is a script, which waits as long as it is told."""


def test_every_operation_of_somebody_is_in_the_minute() -> None:
    """L2: one that is new says how often it is done; else it would share the ten of the rest."""
    counted = {one.name for one in all_operations().operations if one.needs_user and one.action is not None}
    assert counted - set(MINUTE) == BY_SCRIPTS


def test_who_comments_in_haste_can_still_end_sessions() -> None:
    """L2: ending them is not refused for what was written before; it is counted as signing out is."""
    operations = {operation.name: operation for operation in all_operations().operations}
    for name in ("end_my_session", "sign_out_everywhere"):
        assert operations[name].action == operations["sign_out"].action
    remarks = {one.action for one in operations.values() if one.tag == "comments" and one.method != "GET"}
    assert remarks == {"comments", "read"}


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
