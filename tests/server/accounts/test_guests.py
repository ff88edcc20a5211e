"""A guest who signs in keeps rooms and edits, over HTTP."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from db.accounts import list_aliases
from db.queue import list_jobs
from db.rooms import insert_room
from db.tables import audit_events, jobs, rooms
from server.accounts.guests import SETTLE
from server.auth import COOKIE
from server.people import People
from server.scopes import SCOPES
from tests.server.accounts.links import ask, confirm, newest_link, sign_in
from tests.server.audit.log import items
from tests.server.edge import HOST, Edge, Person, open_edge
from tests.server.identity.test_oidc import begin, consent, site
from tests.server.test_access import sit, told

ROOMS = "/api/v1/rooms"


async def aliases(edge: Edge, person: Person) -> frozenset[str]:
    return await edge.database.read(lambda conn: list_aliases(conn, person.user_id))


async def titles(person: Person) -> set[str]:
    found = (await person.ask("GET", f"{ROOMS}?scope=mine")).json()["items"]
    return {one["title"] for one in found}


async def test_what_the_guest_made_is_the_accounts(tmp_path: Path, empty_database: Path) -> None:
    """T4, T5: rooms, their ownership and the name; the guest's token ends, and nobody comes back by it."""
    async with open_edge(tmp_path, empty_database) as edge:
        fox = await edge.guest("Fox")
        room = await fox.room(title="Drawn as a guest", visibility="public")
        ada = await sign_in(edge, "ada@example.org", fox)
        assert ada.user_id != fox.user_id
        me = (await ada.ask("GET", "/api/v1/me")).json()
        assert (me["name"], me["is_guest"], me["aliases"]) == ("Fox", False, [fox.user_id])
        assert await titles(ada) == {"Drawn as a guest"}
        renamed = await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json={"title": "Hers"})
        assert renamed.status_code == 200, renamed.text
        assert renamed.json()["creator"]["id"] == ada.user_id
        for method, path in (("GET", "/api/v1/me"), ("POST", "/api/v1/auth/refresh")):
            assert (await fox.ask(method, path)).status_code == 401
        assert await edge.database.read(lambda conn: list_aliases(conn, ada.user_id)) == {fox.user_id}
        actions = await edge.database.read(
            lambda conn: list(conn.execute(select(audit_events.c.action, audit_events.c.target)))
        )
        assert ("account.adopt", fox.user_id) in [tuple(one) for one in actions]


async def test_what_a_guest_handed_out_does_not_speak_for_the_account(
    tmp_path: Path, empty_database: Path
) -> None:
    """T5: who sat at this browser before, and made a token as its guest, is not let into the account of who
    signs in there next."""
    async with open_edge(tmp_path, empty_database) as edge:
        fox = await edge.guest("Fox")
        made = await fox.ask("POST", "/api/v1/me/tokens", json={"name": "Kept", "scopes": list(SCOPES)})
        left_behind = Person(edge.http, made.json()["token"], fox.user_id)
        assert (await left_behind.ask("GET", "/api/v1/me")).status_code == 200
        ada = await sign_in(edge, "ada@example.org", fox)
        assert (await left_behind.ask("GET", "/api/v1/me")).status_code == 401
        assert (await ada.ask("GET", "/api/v1/me/tokens")).json()["items"] == []


async def test_who_looks_at_the_guests_rooms_learns_whose_they_are(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T5, E11: at once, in those that are open; the account's own sockets there are the owner's."""
    hinted: list[str] = []
    monkeypatch.setattr(People, "tell", lambda _self, room_id: hinted.append(room_id))
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await sign_in(edge, "ada@example.org")
        fox = await edge.guest("Fox")
        opened, _ = await fox.room(default_role="viewer"), await fox.room()
        peer = await sit(edge, opened["id"], ada)
        assert told(peer) == ["viewer"]
        hinted.clear()
        await sign_in(edge, "ada@example.org", fox, count=2)
        assert hinted == [opened["id"]]
        assert told(peer) == ["viewer", "owner"]


async def test_what_the_guest_did_is_in_the_accounts_own_log(tmp_path: Path, empty_database: Path) -> None:
    """T5, Y5: and in nobody else's who asks for the guest by name."""
    async with open_edge(tmp_path, empty_database) as edge:
        fox, eve = await edge.guest("Fox"), await edge.guest("Eve")
        room = await fox.room()
        ada = await sign_in(edge, "ada@example.org", fox)
        at = "/api/v1/me/audit"
        made = [one for one in await items(ada, at) if one["action"] == "room.create"]
        assert [(one["actor"]["id"], one["room_id"]) for one in made] == [(fox.user_id, room["id"])]
        assert made[0]["address"]
        assert made == await items(ada, at, actor=fox.user_id, action="room.create")
        assert await items(ada, at, actor=eve.user_id) == []
        exported = await ada.ask("GET", f"{at}/export", params={"action": "room.create"})
        assert [json.loads(line)["actor"]["id"] for line in exported.text.splitlines()] == [fox.user_id]
        for somebody in (fox.user_id, ada.user_id):
            assert await items(eve, at, actor=somebody) == []


async def test_two_guests_become_one_account(tmp_path: Path, empty_database: Path) -> None:
    """T5"""
    async with open_edge(tmp_path, empty_database) as edge:
        for count, name in enumerate(("Fox", "Owl"), 1):
            guest = await edge.guest(name)
            await guest.room(title=f"Of {name}")
            ada = await sign_in(edge, "ada@example.org", guest, count)
        assert await titles(ada) == {"Of Fox", "Of Owl"}
        # the name of the first
        assert (await ada.ask("GET", "/api/v1/me")).json()["name"] == "Fox"


async def test_only_the_guest_who_asked_comes_along(tmp_path: Path, empty_database: Path) -> None:
    """T4: a link that somebody else sent takes nobody's rooms, and who asks gives nobody his."""
    async with open_edge(tmp_path, empty_database) as edge:
        victim, eve = await edge.guest("Victim"), await edge.guest("Eve")
        await victim.room(title="Mine")
        await eve.room(title="Junk")
        # Eve asks for a link to her own mailbox and has the victim press its button
        await ask(edge, "eve@example.org", eve)
        answer = await confirm(edge, await newest_link(edge), victim)
        account = Person(edge.http, answer.json()["token"], answer.json()["user"]["id"])
        assert await titles(account) == set()
        assert await titles(victim) == {"Mine"}
        # and the link goes to the victim's mailbox, whose browser is no guest's
        await ask(edge, "victim@example.org", eve)
        answer = await confirm(edge, await newest_link(edge, 2))
        account = Person(edge.http, answer.json()["token"], answer.json()["user"]["id"])
        assert await titles(account) == set()
        assert await titles(eve) == {"Junk"}


async def test_an_account_is_nobodys_alias(tmp_path: Path, empty_database: Path) -> None:
    """T4: who is signed in already and opens another's link is the other from then on, no more."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await sign_in(edge, "ada@example.org")
        await ada.room(title="Of Ada")
        await ask(edge, "eve@example.org", ada)
        answer = await confirm(edge, await newest_link(edge, 2), ada)
        eve = Person(edge.http, answer.json()["token"], answer.json()["user"]["id"])
        assert await titles(eve) == set()
        assert await titles(ada) == {"Of Ada"}


async def test_a_wrong_token_is_no_hindrance(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        nobody = Person(edge.http, "x.y.z", "")
        assert await sign_in(edge, "ada@example.org", nobody)
        # an expired guest is one still, as for a renewal
        old = edge.services.tokens.issue("old-guest", "Old", is_guest=True, ttl_s=-60)
        guest = Person(edge.http, old.token, "old-guest")
        await guest.ask("POST", "/api/v1/auth/refresh")
        edge.http.cookies.clear()
        ada = await sign_in(edge, "ada@example.org", guest, 2)
        assert await edge.database.read(lambda conn: list_aliases(conn, ada.user_id)) == {"old-guest"}


async def test_a_request_that_was_under_way_is_not_lost(tmp_path: Path, empty_database: Path) -> None:
    """T5: what it wrote under the guest's id is the account's a minute later."""
    async with open_edge(tmp_path, empty_database) as edge:
        fox = await edge.guest("Fox")
        before = edge.services.now()
        ada = await sign_in(edge, "ada@example.org", fox)
        now = edge.services.now()
        await edge.database.write(
            lambda conn: insert_room(
                conn, id="late", title="Late", visibility="unlisted", schema="canvas",
                creator_id=fox.user_id, now=now,
            )
        )  # fmt: skip
        [job] = await edge.database.read(lambda conn: list_jobs(conn, kind=SETTLE, limit=9))
        assert before < job.run_at - timedelta(minutes=1) < now
        await hurry(edge, job.id)
        async with asyncio.timeout(120):
            while await creator(edge, "late") != ada.user_id:
                await asyncio.sleep(0.02)


async def hurry(edge: Edge, job_id: str) -> None:
    due = jobs.update().where(jobs.c.id == job_id).values(run_at=edge.services.now())
    await edge.database.write(lambda conn: conn.execute(due))
    edge.services.jobs.wake()


async def creator(edge: Edge, room_id: str) -> str:
    asked = select(rooms.c.creator_id).where(rooms.c.id == room_id)
    found: str = await edge.database.read(lambda conn: conn.execute(asked).scalar_one())
    return found


async def test_by_the_provider_too(tmp_path: Path, empty_database: Path, provider: str) -> None:
    """T4: the guest whose browser comes back from the provider."""
    async with site(tmp_path, empty_database, provider) as edge:
        fox = await edge.guest("Fox")
        await fox.room(title="Drawn as a guest")
        edge.http.cookies.set(COOKIE, fox.token)
        asked = await begin(edge)
        assert parse_qs(urlsplit(f"?{asked['query']}").query)["state"]
        answer = await edge.http.get(await consent(asked, sub="ada"))
        assert answer.headers["location"] == "/#signed-in"
        told = (await edge.http.post("/api/v1/auth/refresh", headers={"Origin": HOST})).json()
        edge.http.cookies.clear()
        ada = Person(edge.http, told["token"], told["user"]["id"])
        assert ada.user_id != fox.user_id
        assert await titles(ada) == {"Drawn as a guest"}
        assert (await fox.ask("GET", "/api/v1/me")).status_code == 401
        me = (await ada.ask("GET", "/api/v1/me")).json()
        assert (me["email"], me["is_guest"]) == (None, False)
