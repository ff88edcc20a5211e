"""What tests of members, invitations and links share.

Owns: setting up what other routes would: the role of everybody, a mailbox that was proved. And reading what
is in the database.
"""

import re
from typing import Any

import httpx2
from sqlalchemy import select, update

from db.access import find_role
from db.queue import list_jobs
from db.tables import audit_events, rooms, users
from party.ports import Role
from tests.server.edge import ROOMS, Edge, Person


async def private_room(edge: Edge, owner: Person, title: str = "Plan") -> str:
    """A room into which the address alone lets nobody."""
    room_id: str = (await owner.room(title=title))["id"]
    change = update(rooms).where(rooms.c.id == room_id).values(default_role="none")
    await edge.database.write(lambda conn: conn.execute(change).close())
    return room_id


async def prove_mailbox(edge: Edge, person: Person, email: str) -> None:
    """As if they had signed in by a mail to it."""
    change = update(users).where(users.c.id == person.user_id).values(email=email)
    await edge.database.write(lambda conn: conn.execute(change).close())


async def role_of(edge: Edge, room_id: str, person: Person) -> Role | None:
    return await edge.database.read(lambda conn: find_role(conn, room_id, person.user_id))


async def members(person: Person, room_id: str) -> dict[str, str]:
    """User id to role, of the first page."""
    answer = await person.ask("GET", f"{ROOMS}/{room_id}/members")
    assert answer.status_code == 200, answer.text
    return {one["user"]["id"]: one["role"] for one in answer.json()["items"]}


async def make_link(owner: Person, room_id: str, /, **fields: Any) -> dict[str, Any]:
    answer = await owner.ask("POST", f"{ROOMS}/{room_id}/links", json={"role": "viewer", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def redeem(person: Person, link: dict[str, Any], **more: Any) -> httpx2.Response:
    return await person.ask("POST", "/api/v1/links/redeem", json={"token": link["token"], **more})


async def invite(owner: Person, room_id: str, /, **fields: Any) -> httpx2.Response:
    return await owner.ask("POST", f"{ROOMS}/{room_id}/invitations", json={"role": "editor", **fields})


async def mails(edge: Edge) -> list[dict[str, str]]:
    """What is to be mailed, oldest first."""
    found = await edge.database.read(lambda conn: list_jobs(conn, kind="mail", limit=1000))
    return [job.payload for job in reversed(found)]


def token_of(mail: dict[str, str]) -> str:
    found = re.search(r"/i/(\S+)", mail["text"])
    assert found is not None
    return found[1]


async def audited(edge: Edge, room_id: str) -> list[str]:
    """What was done in a room since it was made, in order; not what was refused."""
    statement = select(audit_events.c.action).where(
        audit_events.c.chain == room_id,
        audit_events.c.action != "room.create",
        # refusals are written in their own time
        audit_events.c.result == "done",
    )
    return await edge.database.read(
        lambda conn: list(conn.execute(statement.order_by(audit_events.c.seq)).scalars())
    )


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "") if answer.content else ""
