"""A tenant with one of everything, each bearing the canary, and the people who come by.

Owns: the room of Bea, closed to others, and all that belongs to her; members of each role; strangers.
"""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from pycrdt import Doc, Map
from sqlalchemy import Connection, select

from db.queue import enqueue
from db.scopes import as_system
from db.tables import metadata
from db.users import put_user
from party.policy import ROLES
from party.ports import Role
from tests.server.assets.pictures import png
from tests.server.edge import Edge, Person

CANARY: Final = "qzkanari"
"""In every text of the tenant, in lower case and without signs, so that nothing folds or escapes it."""

BINARY: Final = {"Content-Type": "application/octet-stream"}

WATCHED: Final = (
    "rooms",
    "room_members",
    "invitations",
    "share_links",
    "uploads",
    "assets",
    "comment_threads",
    "comments",
    "comment_mentions",
    "personal_tokens",
    "user_sessions",
    "room_updates",
    "room_exclusions",
    "revocations",
    "jobs",
)
"""Where nothing may have changed after everybody tried everything that is not theirs."""


@dataclass
class World:
    """Ids by the name they have in addresses, and people by what they are to the room."""

    edge: Edge
    ids: dict[str, str] = field(default_factory=dict)
    people: dict[str, Person] = field(default_factory=dict)

    async def snapshot(self) -> dict[str, list[Any]]:
        """All rows that are watched, but for those of who tries: their own rooms and sign-ins."""

        def look(conn: Connection) -> dict[str, list[Any]]:
            found = {}
            for name in WATCHED:
                rows = conn.execute(select(metadata.tables[name])).mappings()
                found[name] = sorted(repr(dict(row)) for row in rows)
            return found

        return await as_system(self.edge.services.database).read(look)


async def make_world(edge: Edge) -> World:
    """Bea's room and all that is hers."""
    world = World(edge)
    bea = world.people["owner"] = await _account(edge, "bea", f"Bea {CANARY}")
    room = await bea.room(title=f"Plan {CANARY}", schema="open", default_role="none")
    at = f"/api/v1/rooms/{room['id']}"
    world.ids |= {"room_id": room["id"], "user_id": bea.user_id}
    for role in ROLES[:-1]:
        world.people[role] = await _member(edge, bea, at, role)
    world.people["stranger"] = await _account(edge, "eve", "Eve")
    world.people["guest"] = await edge.guest("Gus")
    world.people["anonymous"] = Person(edge.http, "", "")
    operator = edge.services.tokens.issue("op", "Op", is_admin=True).token
    world.people["operator"] = Person(edge.http, operator, "op")
    await _draw(bea, room["id"])
    await _put_files(world, bea, at)
    await _write(world, bea, at)
    await _open_doors(world, bea, at)
    await _settle_in(world, bea)
    return world


async def _account(edge: Edge, user_id: str, name: str) -> Person:
    put = partial(put_user, id=user_id, name=name, now=datetime.now(UTC))
    await as_system(edge.services.database).write(put)
    return Person(edge.http, edge.services.tokens.issue(user_id, name).token, user_id)


async def _member(edge: Edge, owner: Person, at: str, role: Role) -> Person:
    one = await _account(edge, f"{role}-1", f"The {role}")
    made = await owner.ask("POST", f"{at}/invitations", json={"user_id": one.user_id, "role": role})
    assert made.status_code == 201, made.text
    taken = await one.ask("POST", f"/api/v1/invitations/{made.json()['id']}/accept")
    assert taken.status_code == 200, taken.text
    return one


async def _draw(bea: Person, room_id: str) -> None:
    doc: Doc[Any] = Doc()
    doc.get("map", type=Map)["key"] = CANARY
    drawn = await bea.ask("POST", f"/parties/{room_id}", BINARY, content=doc.get_update())
    assert drawn.status_code == 200, drawn.text


async def _put_files(world: World, bea: Person, at: str) -> None:
    data = png()
    put = await bea.ask(
        "PUT",
        f"{at}/assets/{hashlib.sha256(data).hexdigest()}?filename={CANARY}.png",
        {"Content-Type": "image/png"},
        content=data,
    )
    assert put.status_code in (200, 201), put.text
    world.ids["asset_id"] = put.json()["id"]
    begun = await bea.ask(
        "POST",
        f"{at}/assets",
        json={
            "filename": f"{CANARY}.mp4",
            "content_type": "video/mp4",
            "size": 1000,
            "sha256": secrets.token_hex(32),
        },
    )
    assert begun.status_code in (200, 201), begun.text
    world.ids["upload_id"] = begun.json()["upload"]["id"]


async def _write(world: World, bea: Person, at: str) -> None:
    editor = world.people["editor"]
    made = await bea.ask(
        "POST", f"{at}/comments", json={"x": 1, "y": 2, "body": CANARY, "mentions": [editor.user_id]}
    )
    assert made.status_code == 201, made.text
    thread = made.json()
    world.ids |= {"thread_id": thread["id"], "comment_id": thread["comments"][0]["id"]}


async def _open_doors(world: World, bea: Person, at: str) -> None:
    mailed = {"email": f"{CANARY}@example.org", "role": "viewer", "message": CANARY}
    invited = await bea.ask("POST", f"{at}/invitations", json=mailed)
    assert invited.status_code == 201, invited.text
    world.ids["invitation_id"] = invited.json()["id"]
    made = await bea.ask("POST", f"{at}/links", json={"role": "viewer", "label": CANARY, "password": CANARY})
    assert made.status_code == 201, made.text
    world.ids["link_id"] = made.json()["id"]


async def _settle_in(world: World, bea: Person) -> None:
    made = await bea.ask("POST", "/api/v1/me/tokens", json={"name": CANARY, "scopes": ["rooms:read"]})
    assert made.status_code == 201, made.text
    world.ids["token_id"] = made.json()["id"]
    renewed = await bea.ask("POST", "/api/v1/auth/refresh", {"User-Agent": CANARY})
    bea.token = renewed.json()["token"]
    [seat] = (await bea.ask("GET", "/api/v1/me/sessions")).json()["items"]
    world.ids["session_id"] = seat["id"]
    now = datetime.now(UTC)
    ask = partial(
        enqueue,
        kind="nothing",
        payload={"text": CANARY},
        now=now,
        user_id=bea.user_id,
        room_id=world.ids["room_id"],
    )
    world.ids["job_id"] = await as_system(world.edge.services.database).write(ask)
