"""Share links over HTTP: made, shown once, entered by, counted, locked, revoked."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from db.tables import share_links
from server import links as routes
from server.rates.base import RateLimited
from server.sealed import hash_token
from server.services import WAYS_IN_KEPT, clean_up
from tests.server.edge import ROOMS, Edge, field_names, open_edge
from tests.server.sharing import (
    audited,
    code,
    invite,
    mails,
    make_link,
    members,
    private_room,
    redeem,
    role_of,
    token_of,
)

LOOK = "/api/v1/links/look"


async def stored(edge: Edge) -> list[Any]:
    return list(await edge.database.read(lambda conn: conn.execute(select(share_links)).all()))


async def test_a_link_lets_people_in(tmp_path: Path, empty_database: Path) -> None:
    """E4: its token is shown once, and only a hash of it and of its password is kept."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id, role="commenter", label="For the class", password="sesame ＡB")
        assert link["url"] == f"http://kanvas.test/l/{link['token']}"
        assert len(link["token"]) > 43
        (row,) = await stored(edge)
        assert row.token_hash == hash_token(link["token"])
        assert link["token"] not in str(row)
        assert "sesame" not in str(row)
        listed = await ada.ask("GET", f"{ROOMS}/{room_id}/links")
        (shown,) = listed.json()["items"]
        assert shown == {name: value for name, value in link.items() if name not in ("token", "url")}
        assert (shown["has_password"], shown["is_open"], shown["uses"]) == (True, True, 0)
        assert code(await redeem(ben, link)) == (403, "wrong_password")
        entered = await redeem(ben, link, password="sesame AB")
        assert (entered.status_code, entered.json()) == (200, {"room_id": room_id, "role": "commenter"})
        assert await role_of(edge, room_id, ben) == "commenter"
        assert await audited(edge, room_id) == ["link.create", "link.redeem"]


async def test_what_opens_nothing_says_the_same(tmp_path: Path, empty_database: Path) -> None:
    """E4: unknown, expired, revoked, used up, of a room in the trash; to look and to enter, with a password
    or without."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        room_id, trashed = await private_room(edge, ada), await private_room(edge, ada)
        soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        revoked, used, expired, binned = [
            await make_link(ada, where, **fields)
            for where, fields in (
                (room_id, {"password": "sesame"}),
                (room_id, {"max_uses": 1}),
                (room_id, {"expires_at": soon}),
                (trashed, {}),
            )
        ]
        await ada.ask("DELETE", f"{ROOMS}/{room_id}/links/{revoked['id']}")
        assert (await redeem(ben, used)).status_code == 200
        past = datetime.now(UTC) - timedelta(seconds=1)
        change = update(share_links).where(share_links.c.id == expired["id"]).values(expires_at=past)
        await edge.database.write(lambda conn: conn.execute(change).close())
        await ada.ask("DELETE", f"{ROOMS}/{trashed}")
        tokens = [
            "",
            "kvl_nothing",
            "\N{SNOWMAN}",
            *(one["token"] for one in (revoked, used, expired, binned)),
        ]
        told = set()
        for token in tokens:
            for answer in (
                await edge.http.post(LOOK, json={"token": token}),
                await redeem(eve, {"token": token}),
                await redeem(eve, {"token": token}, password="sesame"),
            ):
                told.add((*code(answer), answer.json()["detail"]))
        assert len(told) == 1
        assert next(iter(told))[:2] == (404, "link_not_found")
        assert await role_of(edge, room_id, eve) is None
        # who is in comes back by it
        assert (await ben.ask("POST", LOOK, json={"token": used["token"]})).status_code == 200
        assert (await redeem(ben, used)).json() == {"room_id": room_id, "role": "viewer"}


async def test_a_locked_link_tells_nothing_before_its_password(tmp_path: Path, empty_database: Path) -> None:
    """E7: the id of a room may be all that is needed to enter it."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        link, locked = await make_link(ada, room_id), await make_link(ada, room_id, password="sesame")
        open_one = await edge.http.post(LOOK, json={"token": link["token"]})
        assert open_one.json() == {
            "room": {"id": room_id, "title": "Plan"},
            "role": "viewer",
            "needs_password": False,
        }
        shut = await edge.http.post(LOOK, json={"token": locked["token"]})
        assert shut.json() == {"room": None, "role": "viewer", "needs_password": True}


async def test_a_link_lets_in_as_many_as_it_says(tmp_path: Path, empty_database: Path) -> None:
    """E5: whatever comes at once."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        people = [await edge.guest(f"Guest {n}") for n in range(10)]
        for uses in (1, 5):
            room_id = await private_room(edge, ada)
            link = await make_link(ada, room_id, max_uses=uses)
            answers = await asyncio.gather(*(redeem(one, link) for one in people))
            assert sorted(one.status_code for one in answers) == [200] * uses + [404] * (10 - uses)
            assert len(await members(ada, room_id)) == 1 + uses
            (shown,) = (await ada.ask("GET", f"{ROOMS}/{room_id}/links")).json()["items"]
            assert (shown["uses"], shown["is_open"]) == (uses, False)


async def test_entering_again_costs_nothing(tmp_path: Path, empty_database: Path) -> None:
    """E5: nor does it for who has as much already, nor at once by ten clicks; who left costs another."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id, max_uses=2)
        answers = await asyncio.gather(*(redeem(ben, link) for _ in range(10)), redeem(ada, link))
        assert {one.status_code for one in answers} == {200}
        assert answers[-1].json()["role"] == "owner"
        assert [row.uses for row in await stored(edge)] == [1]
        for uses, status in ((2, 200), (2, 404)):
            left = await ben.ask("DELETE", f"{ROOMS}/{room_id}/members/{ben.user_id}")
            assert left.status_code == 204
            assert (await redeem(ben, link)).status_code == status
            assert [row.uses for row in await stored(edge)] == [uses]


async def test_with_a_link_goes_what_it_gave(tmp_path: Path, empty_database: Path) -> None:
    """E6: at once, and down to what somebody has besides: by invitation, or by the owner's hand."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada = await edge.guest()
        ben, cy, di, eve = [await edge.guest(name) for name in ("Ben", "Cy", "Di", "Eve")]
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id, role="editor")
        other = await make_link(ada, room_id, role="viewer")
        # Cy was a viewer before, Di became a commenter after, Eve was made one by hand
        made = (await invite(ada, room_id, user_id=cy.user_id, role="viewer")).json()
        await cy.ask("POST", f"/api/v1/invitations/{made['id']}/accept")
        for one in (ben, cy, di, eve):
            assert (await redeem(one, link)).json()["role"] == "editor"
            assert (await redeem(one, other)).json()["role"] == "editor"
        await invite(ada, room_id, email="di@example.org", role="commenter")
        token = token_of((await mails(edge))[-1])
        accepted = await di.ask("POST", "/api/v1/invitations/accept", json={"token": token})
        assert accepted.json()["role"] == "editor"
        path = f"{ROOMS}/{room_id}/members/{eve.user_id}"
        assert (await ada.ask("PATCH", path, json={"role": "commenter"})).json()["via"] == "invitation"
        assert (await ada.ask("DELETE", f"{ROOMS}/{room_id}/links/{link['id']}")).status_code == 204
        assert [await role_of(edge, room_id, one) for one in (ben, cy, di, eve)] == [
            None,
            "viewer",
            "commenter",
            "commenter",
        ]
        again = await ada.ask("DELETE", f"{ROOMS}/{room_id}/links/{link['id']}")
        assert code(again) == (404, "link_not_found")
        assert [one["id"] for one in (await ada.ask("GET", f"{ROOMS}/{room_id}/links")).json()["items"]] == [
            other["id"]
        ]


async def test_nobody_slips_in_while_it_is_revoked(tmp_path: Path, empty_database: Path) -> None:
    """E2, E6: entering and revoking at once leave nobody with a role."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        people = [await edge.guest(f"Guest {n}") for n in range(8)]
        for _ in range(3):
            link = await make_link(ada, room_id)
            asked = [redeem(one, link) for one in people]
            asked.insert(4, ada.ask("DELETE", f"{ROOMS}/{room_id}/links/{link['id']}"))
            answers = await asyncio.gather(*asked)
            assert {one.status_code for one in answers} <= {200, 204, 404}
            assert await members(ada, room_id) == {ada.user_id: "owner"}


async def test_links_are_for_who_may_share(tmp_path: Path, empty_database: Path) -> None:
    """E10: an editor sees none, a stranger not even that there is a room."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        room_id, elsewhere = await private_room(edge, ada), await private_room(edge, eve)
        link = await make_link(ada, room_id, role="editor")
        await redeem(ben, link)
        for person, status in ((ben, 403), (eve, 404)):
            for answer in (
                await person.ask("GET", f"{ROOMS}/{room_id}/links"),
                await person.ask("POST", f"{ROOMS}/{room_id}/links", json={"role": "viewer"}),
                await person.ask("DELETE", f"{ROOMS}/{room_id}/links/{link['id']}"),
            ):
                assert answer.status_code == status
        # by a room of one's own neither
        gone = await eve.ask("DELETE", f"{ROOMS}/{elsewhere}/links/{link['id']}")
        assert code(gone) == (404, "link_not_found")
        assert (await redeem(ben, link)).status_code == 200


async def test_passwords_are_not_guessed(tmp_path: Path, empty_database: Path) -> None:
    """E7: an address has so many tries, a link has so many from all; a right one counts too."""
    limits = "sharing.password=3/60,sharing.guess=4/60"
    async with open_edge(tmp_path, empty_database, rate_limits=limits) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id, password="sesame")
        tries = await asyncio.gather(*(redeem(ben, link, password=f"guess {n}") for n in range(5)))
        assert sorted(one.status_code for one in tries) == [403, 403, 429, 429, 429]
        assert code(await redeem(ben, link, password="sesame")) == (429, "rate_limited")
        # none was spent on what was refused by address, so two are left from elsewhere
        take = edge.services.rates.take
        for n in range(2):
            await take("sharing.guess", host=f"192.0.2.{n}", user_id=link["id"])
        with pytest.raises(RateLimited, match=r"sharing\.guess"):
            await take("sharing.guess", host="192.0.2.9", user_id=link["id"])
        await take("sharing.guess", host="192.0.2.9", user_id="another link")


NO_LINKS: list[tuple[dict[str, Any], list[str]]] = [
    ({"role": "owner"}, ["/role"]),
    ({"expires_at": "2020-01-01T00:00:00Z"}, ["/expires_at"]),
    ({"expires_at": "2030-01-01T00:00:00"}, ["/expires_at"]),
    ({"expires_at": "9999-12-31T23:59:59-23:59"}, ["/expires_at"]),
    ({"max_uses": 0}, ["/max_uses"]),
    ({"password": "abc"}, ["/password"]),
    ({"label": "\x00", "uses": 3}, ["/label", "/uses"]),
]


async def test_what_is_no_link(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        for fields, names in NO_LINKS:
            answer = await ada.ask("POST", f"{ROOMS}/{room_id}/links", json={"role": "viewer", **fields})
            assert sorted(field_names(answer)) == names


async def test_a_room_has_so_many_links(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E2: made at once too; revoked ones do not count, and are forgotten."""
    monkeypatch.setattr(routes, "MAX_LINKS", 3)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        path = f"{ROOMS}/{room_id}/links"
        answers = await asyncio.gather(*(ada.ask("POST", path, json={"role": "viewer"}) for _ in range(6)))
        assert sorted(one.status_code for one in answers) == [201] * 3 + [409] * 3
        listed = (await ada.ask("GET", path)).json()["items"]
        first = (await ada.ask("GET", path, params={"limit": 2})).json()
        params = {"limit": 2, "cursor": first["next_cursor"]}
        assert [*first["items"], *(await ada.ask("GET", path, params=params)).json()["items"]] == listed
        await ada.ask("DELETE", f"{path}/{listed[0]['id']}")
        await make_link(ada, room_id)
        past = datetime.now(UTC) - WAYS_IN_KEPT
        change = update(share_links).where(share_links.c.revoked_at.is_not(None)).values(revoked_at=past)
        await edge.database.write(lambda conn: conn.execute(change).close())
        await clean_up(edge.services)
        assert len(await stored(edge)) == 3


async def test_the_token_in_a_pages_address_goes_nowhere_else(tmp_path: Path, empty_database: Path) -> None:
    """E4: no page that it leads to is told of it."""
    async with open_edge(tmp_path, empty_database) as edge:
        for path in ("/l/kvl_secret", "/i/kvi_secret"):
            page = await edge.http.get(path)
            assert page.headers["referrer-policy"] == "no-referrer"
            assert "secret" not in page.text
