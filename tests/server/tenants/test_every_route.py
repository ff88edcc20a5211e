"""Every operation of the API, asked by everybody for what is Bea's: no leak, and nothing of hers changes."""

from collections.abc import AsyncIterator, Iterator

import httpx2

from party.policy import can
from party.ports import Role
from server.app import all_operations
from server.registry import Operation
from tests.server.tenants.calls import OF_ONE_PERSON, OF_THE_UPLOADER, action_of, request_of
from tests.server.tenants.world import CANARY, World

ENDS_THE_SIGN_IN = frozenset({"sign_out", "sign_out_everywhere"})
"""Asked last, for afterwards nobody is anybody."""


def operations() -> list[Operation]:
    found = all_operations().operations
    return sorted(found, key=lambda one: one.name in ENDS_THE_SIGN_IN)


async def ask(world: World, operation: Operation, who: str) -> httpx2.Response:
    wanted = request_of(operation, world)
    person = world.people[who]
    world.edge.http.cookies.clear()
    if not person.token:
        return await world.edge.http.request(
            wanted.method, wanted.path, headers=dict(wanted.headers), **wanted.more
        )
    return await person.ask(wanted.method, wanted.path, dict(wanted.headers), **wanted.more)


def is_about_the_tenant(operation: Operation) -> bool:
    return action_of(operation) is not None or operation.name in OF_ONE_PERSON | OF_THE_UPLOADER


def problems(operation: Operation, who: str, answer: httpx2.Response) -> Iterator[str]:
    told = f"{operation.name} by {who}: {answer.status_code}"
    if CANARY in answer.text.lower() or CANARY in str(answer.headers).lower():
        yield f"{told}, and it leaks"
    if answer.status_code >= 500:
        yield f"{told} {answer.text[:200]}"
    if who == "anonymous":
        if operation.needs_user and answer.status_code != 401:
            yield f"{told}, not 401"
    elif operation.tag == "admin":
        if answer.status_code != 403:
            yield f"{told}, not 403"
    elif is_about_the_tenant(operation) and answer.status_code != 404:
        yield f"{told}, not 404: {answer.text[:200]}"


async def test_nobody_learns_or_changes_what_is_not_theirs_by_any_route(world: World) -> None:
    """V5, G1, G3: a member what the role allows, the operator what is for operators, a stranger nothing."""
    before = await world.snapshot()
    found = []
    for role in ("viewer", "commenter", "editor"):
        found += [one async for one in what_a_member_gets(world, role)]
    found += [one async for one in what_a_member_gets(world, "operator")]
    assert not found, "\n".join(found)
    assert {name: rows for name, rows in (await world.snapshot()).items() if rows != before[name]} == {}

    for who in ("anonymous", "guest", "stranger"):
        for operation in operations():
            found += problems(operation, who, await ask(world, operation, who))
    assert not found, "\n".join(found)
    # what they did to themselves is theirs: rooms of their own, sign-ins that began and ended
    members = (world.people[who].user_id for who in ("owner", "editor", "commenter", "viewer"))
    theirs = [CANARY, world.ids["room_id"], *(f"'{one}'" for one in members)]
    after = await world.snapshot()
    for name, rows in before.items():
        changed = {*rows} ^ {*after[name]}
        assert not [row for row in changed if any(one in row for one in theirs)], name


async def what_a_member_gets(world: World, who: str) -> AsyncIterator[str]:
    """What is wrong with what the room's operations answer. Changes that are allowed are left out here:
    they are proved where they are built."""
    role: Role | None = None if who == "operator" else who  # type: ignore[assignment]
    for operation in operations():
        if operation.name in OF_THE_UPLOADER and (await ask(world, operation, who)).status_code != 404:
            yield f"{operation.name} by {who}: not 404"
        action = action_of(operation)
        if action is None:
            continue
        is_allowed = can(role, action, is_admin=role is None)
        if is_allowed and operation.method != "GET":
            continue
        answer = await ask(world, operation, who)
        is_right = answer.status_code < 400 if is_allowed else answer.status_code == 403
        if not is_right:
            yield f"{operation.name} by {who}: {answer.status_code} {answer.text[:160]}"
        if not is_allowed and CANARY in answer.text:
            yield f"{operation.name} by {who}: leaks"


def test_every_operation_is_described() -> None:
    """V5: one that is new is in the walk, or this fails."""
    for operation in operations():
        action_of(operation)
