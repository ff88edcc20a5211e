"""Invitations over HTTP: by mail and by id, accepted once, declined, withdrawn, over."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, update

from db.invitations import Invitation
from db.tables import invitations, users
from server import invitations as routes
from server import sharing
from server.letters import invitation_letter
from server.sealed import hash_token
from server.services import clean_up
from tests.server.edge import ROOMS, Edge, field_names, open_edge
from tests.server.sharing import (
    audited,
    code,
    invite,
    mails,
    make_link,
    members,
    private_room,
    prove_mailbox,
    redeem,
    role_of,
    token_of,
)

ACCEPT = "/api/v1/invitations/accept"
POST = {"smtp_url": "smtp://mail.example.org", "mail_from": "kanvas@example.org"}
ANY = {"host": "0.0.0.0"}


async def let_pass(edge: Edge, time: timedelta) -> None:
    """As if all invitations had been made so long ago."""
    found = await edge.database.read(
        lambda conn: conn.execute(
            select(invitations.c.id, invitations.c.created_at, invitations.c.expires_at)
        ).all()
    )
    for row in found:
        moved = {"created_at": row.created_at - time, "expires_at": row.expires_at - time}
        change = update(invitations).where(invitations.c.id == row.id).values(**moved)
        await edge.database.write(lambda conn, change=change: conn.execute(change).close())


async def test_a_mailed_invitation_lets_one_in_once(tmp_path: Path, empty_database: Path) -> None:
    """E8: whoever has the token, guest or not; who lost the answer is told again, anybody else nothing."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        room_id = await private_room(edge, ada, "Plan <b>")
        made = await invite(ada, room_id, email="Ben@Example.ORG", message="Look\n<here>")
        assert made.status_code == 201
        told = made.json()
        assert (told["email"], told["user_id"], told["role"]) == ("ben@example.org", None, "editor")
        assert "token" not in made.text
        (mail,) = await mails(edge)
        assert mail["to"] == "ben@example.org"
        assert mail["subject"] == "Ada invites you to “Plan <b>”"
        assert "> Look\n> <here>" in mail["text"]
        assert "Look<br>&lt;here&gt;" in mail["html"]
        assert "<b>" not in mail["html"]
        token = token_of(mail)
        seen = await edge.http.post("/api/v1/invitations/look", json={"token": token})
        assert seen.json()["room"] == {"id": room_id, "title": "Plan <b>"}
        assert await role_of(edge, room_id, ben) is None
        for _ in range(2):
            accepted = await ben.ask("POST", ACCEPT, json={"token": token})
            assert (accepted.status_code, accepted.json()) == (200, {"room_id": room_id, "role": "editor"})
        assert code(await eve.ask("POST", ACCEPT, json={"token": token})) == (404, "invitation_not_found")
        assert (await ben.ask("POST", "/api/v1/invitations/look", json={"token": token})).status_code == 200
        gone = await edge.http.post("/api/v1/invitations/look", json={"token": token})
        assert code(gone) == (404, "invitation_not_found")
        assert await audited(edge, room_id) == ["invitation.create", "invitation.accept"]


async def test_what_the_database_finds_is_compared_again(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E4: in constant time, so an invitation that a query found by something else opens nothing."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room_id = await private_room(edge, ada)
        await invite(ada, room_id, email="ben@example.org")
        token = token_of((await mails(edge))[0])
        queries = routes.queries
        find, find_entered = queries.find_by_token, queries.find_entered_by_token

        def find_any(conn: Connection, _hash: bytes, now: datetime) -> Invitation | None:
            return find(conn, hash_token(token), now)

        def find_any_entered(conn: Connection, _hash: bytes, user_id: str) -> Invitation | None:
            return find_entered(conn, hash_token(token), user_id)

        monkeypatch.setattr(queries, "find_by_token", find_any)
        monkeypatch.setattr(queries, "find_entered_by_token", find_any_entered)
        look = "/api/v1/invitations/look"
        for path in (look, ACCEPT):
            answer = await ben.ask("POST", path, json={"token": token[:-1] + "."})
            assert code(answer) == (404, "invitation_not_found")
        assert (await ben.ask("POST", ACCEPT, json={"token": token})).status_code == 200
        for path in (look, ACCEPT):
            answer = await ben.ask("POST", path, json={"token": "another"})
            assert code(answer) == (404, "invitation_not_found")
            assert (await ben.ask("POST", path, json={"token": token})).status_code == 200


async def test_of_many_who_accept_at_once_one_is_in(tmp_path: Path, empty_database: Path) -> None:
    """E2, E8"""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        await invite(ada, room_id, email="ben@example.org")
        token = token_of((await mails(edge))[0])
        people = [await edge.guest(f"Guest {n}") for n in range(6)]
        answers = await asyncio.gather(*(one.ask("POST", ACCEPT, json={"token": token}) for one in people))
        assert sorted(one.status_code for one in answers) == [200] + [404] * 5
        assert len(await members(ada, room_id)) == 2


async def test_who_is_invited_finds_it(tmp_path: Path, empty_database: Path) -> None:
    """E8: by the id, by an id they had before, by a mailbox they proved; nobody else does, and an id that
    nobody has is no secret told."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        await prove_mailbox(edge, ben, "ben@example.org")
        change = update(users).where(users.c.id == eve.user_id).values(alias_of=ben.user_id)
        rooms = [await private_room(edge, ada, title) for title in ("By id", "By mail", "Before")]
        made = [
            await invite(ada, rooms[0], user_id=ben.user_id, role="viewer"),
            await invite(ada, rooms[1], email="BEN@example.org", role="commenter"),
            await invite(ada, rooms[2], user_id=eve.user_id),
        ]
        assert [one.status_code for one in made] == [201] * 3
        await edge.database.write(lambda conn: conn.execute(change).close())
        assert (await invite(ada, rooms[0], user_id="nobody at all")).status_code == 201
        items = (await ben.ask("GET", "/api/v1/invitations")).json()["items"]
        assert [one["room"]["title"] for one in items] == ["Before", "By mail", "By id"]
        first = (await ben.ask("GET", "/api/v1/invitations", params={"limit": 2})).json()
        params = {"limit": 2, "cursor": first["next_cursor"]}
        rest = (await ben.ask("GET", "/api/v1/invitations", params=params)).json()
        assert [*first["items"], *rest["items"]] == items
        stranger = await edge.guest("Stranger")
        assert (await stranger.ask("GET", "/api/v1/invitations")).json()["items"] == []
        for one in items:
            for way in ("accept", "decline"):
                refused = await stranger.ask("POST", f"/api/v1/invitations/{one['id']}/{way}")
                assert code(refused) == (404, "invitation_not_found")
            accepted = await ben.ask("POST", f"/api/v1/invitations/{one['id']}/accept")
            assert accepted.status_code == 200
        assert [await role_of(edge, room_id, ben) for room_id in rooms] == ["viewer", "commenter", "editor"]
        assert (await ben.ask("GET", "/api/v1/invitations")).json()["items"] == []


async def test_what_is_over_opens_nothing(tmp_path: Path, empty_database: Path) -> None:
    """E8: withdrawn, declined, replaced by a newer one, too old, or into a room in the trash."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        await prove_mailbox(edge, ben, "ben@example.org")
        room_id = await private_room(edge, ada)

        async def opens_nothing(token: str, invitation_id: str) -> None:
            for answer in (
                await ben.ask("POST", ACCEPT, json={"token": token}),
                await ben.ask("POST", f"/api/v1/invitations/{invitation_id}/accept"),
                await ben.ask("POST", f"/api/v1/invitations/{invitation_id}/decline"),
                await ben.ask("POST", "/api/v1/invitations/look", json={"token": token}),
            ):
                assert code(answer) == (404, "invitation_not_found")
            assert (await ben.ask("GET", "/api/v1/invitations")).json()["items"] == []
            assert await role_of(edge, room_id, ben) is None

        async def ask_in() -> tuple[str, str]:
            made = (await invite(ada, room_id, email="ben@example.org")).json()
            return token_of((await mails(edge))[-1]), made["id"]

        mine = f"{ROOMS}/{room_id}/invitations"
        token, first = await ask_in()
        assert code(await ben.ask("DELETE", f"{mine}/{first}")) == (404, "room_not_found")
        assert (await ada.ask("DELETE", f"{mine}/{first}")).status_code == 204
        assert code(await ada.ask("DELETE", f"{mine}/{first}")) == (404, "invitation_not_found")
        await opens_nothing(token, first)
        token, second = await ask_in()
        assert (await ben.ask("POST", f"/api/v1/invitations/{second}/decline")).status_code == 204
        await opens_nothing(token, second)
        token, third = await ask_in()
        newer, fourth = await ask_in()
        assert [one["id"] for one in (await ada.ask("GET", mine)).json()["items"]] == [fourth]
        await ada.ask("DELETE", f"{mine}/{fourth}")
        await opens_nothing(token, third)
        await opens_nothing(newer, fourth)
        token, fifth = await ask_in()
        await let_pass(edge, routes.OPEN_FOR)
        assert (await ada.ask("GET", mine)).json()["items"] == []
        await opens_nothing(token, fifth)
        token, sixth = await ask_in()
        await ada.ask("DELETE", f"{ROOMS}/{room_id}")
        await opens_nothing(token, sixth)
        await let_pass(edge, timedelta(days=50))
        await clean_up(edge.services)
        counted = select(func.count()).select_from(invitations)
        assert await edge.database.read(lambda conn: conn.execute(counted).scalar_one()) == 0


async def test_an_invitation_never_lowers_a_role(tmp_path: Path, empty_database: Path) -> None:
    """E3"""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room_id = await private_room(edge, ada)
        await invite(ada, room_id, email="a@example.org", role="viewer")
        await invite(ada, room_id, email="b@example.org", role="editor")
        await invite(ada, room_id, email="c@example.org", role="commenter")
        tokens = [token_of(one) for one in await mails(edge)]
        roles = []
        for token in tokens:
            roles.append((await ben.ask("POST", ACCEPT, json={"token": token})).json()["role"])
        assert roles == ["viewer", "editor", "editor"]
        # the owner stays the owner
        await invite(ada, room_id, email="d@example.org", role="viewer")
        token = token_of((await mails(edge))[-1])
        assert (await ada.ask("POST", ACCEPT, json={"token": token})).json()["role"] == "owner"
        assert code(await invite(ada, room_id, user_id=ben.user_id)) == (409, "already_member")


async def test_who_may_invite(tmp_path: Path, empty_database: Path) -> None:
    """E10: who may share the room; addresses of others are for nobody else to see."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        room_id = await private_room(edge, ada)
        await redeem(ben, await make_link(ada, room_id, role="editor"))
        await invite(ada, room_id, email="cy@example.org")
        for person, status in ((ben, 403), (eve, 404)):
            assert (await invite(person, room_id, email="x@example.org")).status_code == status
            listed = await person.ask("GET", f"{ROOMS}/{room_id}/invitations")
            assert listed.status_code == status
            assert "cy@example" not in listed.text
        assert len(await mails(edge)) == 1


NO_INVITATIONS = [
    ({}, [""]),
    ({"email": "a@example.org", "user_id": "b"}, [""]),
    ({"email": "a@example.org\nBcc: b@example.org"}, ["/email"]),
    ({"email": "Ada <a@example.org>"}, ["/email"]),
    ({"email": "a＠b@example.org"}, ["/email"]),
    ({"email": "a@example.org", "message": "\x1b[2J"}, ["/message"]),
    ({"email": "a@example.org", "role": "owner"}, ["/role"]),
    ({"user_id": "b", "room_id": "other"}, ["/room_id"]),
]


async def test_what_is_no_invitation(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        for fields, pointers in NO_INVITATIONS:
            assert field_names(await invite(ada, room_id, **fields)) == pointers


async def test_an_invitation_is_no_way_to_flood_a_mailbox(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E9: ten a day to one address from all rooms; and so many are open at once."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, eve = await edge.guest(), await edge.guest("Eve")
        rooms = [await private_room(edge, ada), await private_room(edge, eve)]
        for n in range(routes.MAILS_A_DAY):
            answer = await invite((ada, eve)[n % 2], rooms[n % 2], email="ben@example.org")
            assert answer.status_code == 201
        refused = await invite(ada, rooms[0], email="BEN@example.org")
        assert code(refused) == (429, "rate_limited")
        assert int(refused.headers["retry-after"]) > 0
        # the one that is open stays
        items = (await ada.ask("GET", f"{ROOMS}/{rooms[0]}/invitations")).json()["items"]
        assert len(items) == 1
        await let_pass(edge, timedelta(days=1))
        assert (await invite(ada, rooms[0], email="ben@example.org")).status_code == 201
        monkeypatch.setattr(routes, "MAX_INVITATIONS", 2)
        assert (await invite(ada, rooms[0], user_id="b")).status_code == 201
        assert code(await invite(ada, rooms[0], user_id="c")) == (409, "too_many_invitations")
        # one that takes the place of another is not one more
        assert (await invite(ada, rooms[0], user_id="b")).status_code == 201


async def test_guests_are_no_way_to_send_more_mails(tmp_path: Path, empty_database: Path) -> None:
    """E9: whoever asks from one network address; inviting by id goes on."""
    async with open_edge(tmp_path, empty_database, jobs=False, rate_limits="sharing.mail=2/60") as edge:
        for n in range(3):
            guest = await edge.guest(f"Guest {n}")
            room_id = await private_room(edge, guest)
            answer = await invite(guest, room_id, email=f"guest{n}@example.org")
            assert answer.status_code == (201 if n < 2 else 429)
        assert (await invite(guest, room_id, user_id="b")).status_code == 201
        assert len(await mails(edge)) == 2


@pytest.mark.parametrize(
    ("settings", "host", "address"),
    [
        ({}, "kanvas.test", "http://127.0.0.1:8000/i/"),
        ({}, "localhost:8123", "http://localhost:8123/i/"),
        ({**POST, "public_url": "https://kanvas.example.org"}, "evil.test", "https://kanvas.example.org/i/"),
        ({**ANY, **POST, "public_url": "https://k.example.org"}, "evil.test", "https://k.example.org/i/"),
        ({**ANY, **POST}, "evil.test", None),
    ],
)
async def test_a_mail_holds_no_address_that_its_author_chose(
    tmp_path: Path, empty_database: Path, settings: dict[str, Any], host: str, address: str | None
) -> None:
    """E9: the Host header is whatever somebody sends."""
    async with open_edge(tmp_path, empty_database, jobs=False, **settings) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        answer = await ada.ask(
            "POST",
            f"{ROOMS}/{room_id}/invitations",
            json={"role": "viewer", "email": "ben@example.org"},
            headers={"Host": host},
        )
        if address is None:
            assert code(answer) == (409, "no_public_url")
            assert await mails(edge) == []
        else:
            assert f"\n{address}" in (await mails(edge))[0]["text"]


async def test_without_a_mailer_people_are_invited_by_id(tmp_path: Path, empty_database: Path) -> None:
    """E8: a mail that nobody sends is told at once, and no invitation waits for it."""
    async with open_edge(tmp_path, empty_database, **ANY) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        assert (await edge.http.get("/api/v1/config")).json()["email"] is False
        refused = await invite(ada, room_id, email="ben@example.org")
        assert code(refused) == (404, "email_off")
        assert "KANVAS_SMTP_URL" in refused.json()["detail"]
        assert (await ada.ask("GET", f"{ROOMS}/{room_id}/invitations")).json()["items"] == []
        assert (await invite(ada, room_id, user_id="b")).status_code == 201


async def test_a_room_takes_so_many_members(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E2: by invitation and by link, whatever comes at once; who is refused keeps the invitation."""
    monkeypatch.setattr(sharing, "MAX_MEMBERS", 3)
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id)
        people = [await edge.guest(f"Guest {n}") for n in range(5)]
        made = [(await invite(ada, room_id, user_id=one.user_id)).json()["id"] for one in people[:3]]
        answers = await asyncio.gather(
            *(
                one.ask("POST", f"/api/v1/invitations/{invitation_id}/accept")
                for one, invitation_id in zip(people[:3], made, strict=True)
            ),
            *(redeem(one, link) for one in people[3:]),
        )
        assert sorted(one.status_code for one in answers) == [200, 200, 409, 409, 409]
        assert {code(one)[1] for one in answers if one.status_code == 409} == {"room_full"}
        assert len(await members(ada, room_id)) == 3
        shown = (await ada.ask("GET", f"{ROOMS}/{room_id}/links")).json()["items"][0]
        assert shown["uses"] == sum(one.status_code == 200 for one in answers[3:])
        left = (await ada.ask("GET", f"{ROOMS}/{room_id}/invitations")).json()["items"]
        assert len(left) == 3 - sum(one.status_code == 200 for one in answers[:3])


def test_a_letter_without_a_message() -> None:
    letter = invitation_letter(
        "b@example.org",
        inviter="A&B",
        title="T",
        role="viewer",
        message=None,
        address="https://k/i/x",
        until=datetime(2026, 12, 5, tzinfo=UTC),
    )
    assert letter.payload()["until"] == "2026-12-05T00:00:00+00:00"
    assert "writes" not in letter.text
    assert "until 5 December 2026" in letter.text
    assert "A&amp;B invites you to look on" in letter.html
