"""The other way round: the walls stop nobody who is let, and what is asked wrongly tells nothing."""

from dataclasses import replace

import httpx2

from server.registry import Operation
from tests.server.edge import Person
from tests.server.tenants.calls import request_of
from tests.server.tenants.test_every_route import (
    ENDS_THE_SIGN_IN,
    is_about_the_tenant,
    operations,
)
from tests.server.tenants.world import CANARY, World

# Not in Bea's room, or for nobody in particular.
ANSWERS = {
    "accept_mailed_invitation": 404,
    "accept_invitation": 404,
    "decline_invitation": 404,
    "redeem_link": 404,
    "look_at_invitation": 404,
    "look_at_link": 404,
    "confirm_link": 404,
    "finish_oidc": 404,
    "start_oidc": 404,
    "invite": 409,
    "list_parts": 409,
    "sign_parts": 409,
    "complete_upload": 409,
    "import_asset": 422,
    "apply_update": 200,
    "put_blob": 422,
    "read_blob": 422,
    "read_mailbox": 404,
    "read_worker_metrics": 404,
    "revive_job": 409,
    "lift_quarantine": 404,
    "drain_node": 404,
}
LAST = ("delete", "cancel", "remove", "revoke", "withdraw", "decline")
AT_THE_END = ("delete_room", "restore_room", "transfer_room", "end_my_session", "revoke_user")


def order(operation: Operation) -> tuple[int, str]:
    """What takes something away comes after what asks for it, then the room itself, then the sign-in."""
    name = operation.name
    if name in ENDS_THE_SIGN_IN:
        return len(AT_THE_END) + 2, name
    if name in AT_THE_END:
        return AT_THE_END.index(name) + 2, name
    return int(name.startswith(LAST)), name


async def ask(world: World, operation: Operation, person: Person, **ids: str) -> httpx2.Response:
    other = replace(world, ids={**world.ids, **ids})
    wanted = request_of(operation, other)
    world.edge.http.cookies.clear()
    return await person.ask(wanted.method, wanted.path, dict(wanted.headers), **wanted.more)


async def test_whoever_is_let_passes_the_walls(world: World) -> None:
    """V2: on both databases, with all that the routes write; the owner does everything there is to do."""
    owner, operator = world.people["owner"], world.people["operator"]
    wrong = []
    for operation in sorted(operations(), key=order):
        asker = operator if operation.tag == "admin" else owner
        ids = {"user_id": "viewer-1"} if operation.name in ("change_member", "remove_room_member") else {}
        answer = await ask(world, operation, asker, **ids)
        is_gone = operation.name in ENDS_THE_SIGN_IN and answer.status_code == 401
        if answer.status_code >= 400 and not is_gone and answer.status_code != ANSWERS.get(operation.name):
            wrong.append(f"{operation.name}: {answer.status_code} {answer.text[:200]}")
        if operation.tag == "admin" and operation.name in ("kick", "close_room", "freeze_room"):
            # and undone at once, for it is in the way of the rest
            for back in operations():
                if back.name in ("open_room", "thaw_room"):
                    await ask(world, back, operator)
    assert not wrong, "\n".join(wrong)


async def test_her_things_are_not_had_by_ones_own_address(world: World) -> None:
    """V5: an id of hers below one's own room is an id of nothing; and hers say what those of nothing say."""
    eve = world.people["stranger"]
    own = (await eve.room(title="Eve's"))["id"]
    nothing = dict.fromkeys(("room_id", *world.ids), "01h00000000000000000000000")
    for operation in operations():
        if not is_about_the_tenant(operation):
            continue
        hers, none = await ask(world, operation, eve), await ask(world, operation, eve, **nothing)
        assert (hers.status_code, words(hers)) == (none.status_code, words(none)), operation.name
        inner = operation.path.count("{") > 1 and "{room_id}" in operation.path
        if inner and operation.name != "put_asset":
            crossed = await ask(world, operation, eve, room_id=own)
            assert crossed.status_code == 404, (operation.name, crossed.text)
            assert CANARY not in crossed.text, operation.name


def words(answer: httpx2.Response) -> object:
    """A problem without what is of this one request."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return answer.text
    told = answer.json()
    return {name: value for name, value in told.items() if name not in ("request_id", "instance")}
