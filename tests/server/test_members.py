"""Members of a room over HTTP: who sees them, roles, leaving, removing, handing over."""

import asyncio
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, select, update

from db.tables import room_members, rooms
from tests.server.edge import ROOMS, Edge, Person, open_edge
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


async def enter(edge: Edge, owner: Person, room_id: str, person: Person, role: str) -> None:
    """By an invitation to a user id."""
    made = await invite(owner, room_id, user_id=person.user_id, role=role)
    accepted = await person.ask("POST", f"/api/v1/invitations/{made.json()['id']}/accept")
    assert accepted.json() == {"room_id": room_id, "role": role}


async def test_members_are_seen_by_who_may_see_the_room(tmp_path: Path, empty_database: Path) -> None:
    """E10: in the order they came, page by page; a stranger is told what he would be told of no room."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        room_id = await private_room(edge, ada)
        await enter(edge, ada, room_id, ben, "commenter")
        items = (await ben.ask("GET", f"{ROOMS}/{room_id}/members")).json()["items"]
        assert [(one["user"], one["role"], one["via"], one["link_id"]) for one in items] == [
            ({"id": ada.user_id, "name": "Ada"}, "owner", "owner", None),
            ({"id": ben.user_id, "name": "Ben"}, "commenter", "invitation", None),
        ]
        first = (await ben.ask("GET", f"{ROOMS}/{room_id}/members", params={"limit": 1})).json()
        params = {"limit": 1, "cursor": first["next_cursor"]}
        second = (await ben.ask("GET", f"{ROOMS}/{room_id}/members", params=params)).json()
        assert [*first["items"], *second["items"]] == items
        assert second["next_cursor"] is None
        refused = await eve.ask("GET", f"{ROOMS}/{room_id}/members")
        missing = await eve.ask("GET", f"{ROOMS}/no-such-room/members")
        assert code(refused) == code(missing) == (404, "room_not_found")
        assert refused.json()["detail"] == missing.json()["detail"]


async def test_who_only_looks_is_not_shown_where_the_room_does_not(
    tmp_path: Path, empty_database: Path
) -> None:
    """E10"""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, cy = await edge.guest(), await edge.guest("Ben"), await edge.guest("Cy")
        room_id = await private_room(edge, ada)
        await enter(edge, ada, room_id, ben, "viewer")
        link = await make_link(ada, room_id, role="viewer")
        await redeem(cy, link)
        change = update(rooms).where(rooms.c.id == room_id).values(shows_viewers=False)
        await edge.database.write(lambda conn: conn.execute(change).close())
        assert set(await members(ben, room_id)) == {ada.user_id, ben.user_id}
        assert set(await members(ada, room_id)) == {ada.user_id, ben.user_id, cy.user_id}
        # which link somebody came by is for who made it
        items = (await cy.ask("GET", f"{ROOMS}/{room_id}/members")).json()["items"]
        assert [(one["via"], one["link_id"]) for one in items] == [("owner", None), ("link", None)]
        items = (await ada.ask("GET", f"{ROOMS}/{room_id}/members")).json()["items"]
        assert items[2]["link_id"] == link["id"]


async def test_only_who_may_share_changes_roles(tmp_path: Path, empty_database: Path) -> None:
    """E1: nobody makes himself more, and the owner's role changes by a transfer alone."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        room_id = await private_room(edge, ada)
        await enter(edge, ada, room_id, ben, "editor")
        path = f"{ROOMS}/{room_id}/members"
        assert code(await ben.ask("PATCH", f"{path}/{ben.user_id}", json={"role": "editor"})) == (
            403,
            "forbidden",
        )
        assert code(await eve.ask("PATCH", f"{path}/{ben.user_id}", json={"role": "viewer"}))[0] == 404
        changed = await ada.ask("PATCH", f"{path}/{ben.user_id}", json={"role": "viewer"})
        assert (changed.status_code, changed.json()["role"]) == (200, "viewer")
        assert await role_of(edge, room_id, ben) == "viewer"
        stays = await ada.ask("PATCH", f"{path}/{ada.user_id}", json={"role": "viewer"})
        assert code(stays) == (409, "owner_stays")
        nobody = await ada.ask("PATCH", f"{path}/{eve.user_id}", json={"role": "viewer"})
        assert code(nobody) == (404, "member_not_found")
        assert (await ada.ask("PATCH", f"{path}/{ben.user_id}", json={"role": "owner"})).status_code == 422
        assert await audited(edge, room_id) == ["invitation.create", "invitation.accept", "member.change"]


async def test_everybody_may_leave_but_the_owner(tmp_path: Path, empty_database: Path) -> None:
    """E1"""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, cy = await edge.guest(), await edge.guest("Ben"), await edge.guest("Cy")
        room_id = await private_room(edge, ada)
        path = f"{ROOMS}/{room_id}/members"
        for one in (ben, cy):
            await enter(edge, ada, room_id, one, "viewer")
        assert code(await ben.ask("DELETE", f"{path}/{cy.user_id}")) == (403, "forbidden")
        assert (await ben.ask("DELETE", f"{path}/{ben.user_id}")).status_code == 204
        # twice is once
        assert code(await ben.ask("DELETE", f"{path}/{ben.user_id}")) == (404, "room_not_found")
        assert (await ada.ask("DELETE", f"{path}/{cy.user_id}")).status_code == 204
        assert code(await ada.ask("DELETE", f"{path}/{cy.user_id}")) == (404, "member_not_found")
        assert code(await ada.ask("DELETE", f"{path}/{ada.user_id}")) == (409, "owner_stays")
        assert await members(ada, room_id) == {ada.user_id: "owner"}
        assert (await audited(edge, room_id))[-2:] == ["member.leave", "member.remove"]


async def test_who_was_removed_has_no_open_invitation_left(tmp_path: Path, empty_database: Path) -> None:
    """E8: not by id, and not by the mail that still lies in the mailbox."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        await prove_mailbox(edge, ben, "ben@example.org")
        room_id = await private_room(edge, ada)
        await enter(edge, ada, room_id, ben, "viewer")
        await invite(ada, room_id, email="Ben@Example.org")
        assert (await ada.ask("DELETE", f"{ROOMS}/{room_id}/members/{ben.user_id}")).status_code == 204
        token = token_of((await mails(edge))[0])
        again = await ben.ask("POST", "/api/v1/invitations/accept", json={"token": token})
        assert code(again) == (404, "invitation_not_found")
        assert await role_of(edge, room_id, ben) is None


async def test_a_room_is_handed_over(tmp_path: Path, empty_database: Path) -> None:
    """E1: to a member; the old owner draws on, and may do no more than that."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben, eve = await edge.guest(), await edge.guest("Ben"), await edge.guest("Eve")
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id)
        await redeem(ben, link)
        transfer = f"{ROOMS}/{room_id}/transfer"
        assert code(await ben.ask("POST", transfer, json={"user_id": ben.user_id}))[0] == 403
        stranger = await ada.ask("POST", transfer, json={"user_id": eve.user_id})
        assert code(stranger) == (404, "member_not_found")
        done = await ada.ask("POST", transfer, json={"user_id": ben.user_id})
        assert (done.status_code, done.json()["role"]) == (200, "owner")
        assert await members(ben, room_id) == {ada.user_id: "editor", ben.user_id: "owner"}
        assert code(await ada.ask("POST", transfer, json={"user_id": ada.user_id}))[0] == 403
        # who owns it does not lose it with the link that once let him in
        gone = await ben.ask("DELETE", f"{ROOMS}/{room_id}/links/{link['id']}")
        assert gone.status_code == 204
        assert await role_of(edge, room_id, ben) == "owner"


async def test_many_hand_over_at_once_and_one_owns_it(tmp_path: Path, empty_database: Path) -> None:
    """E1, E2"""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id)
        others = [await edge.guest(f"Guest {n}") for n in range(6)]
        for one in others:
            await redeem(one, link)
        answers = await asyncio.gather(
            *(ada.ask("POST", f"{ROOMS}/{room_id}/transfer", json={"user_id": one.user_id}) for one in others)
        )
        assert sorted(one.status_code for one in answers) == [200] + [403] * 5
        roles = await members(others[0], room_id)
        assert sorted(roles.values()) == ["editor", "owner", *["viewer"] * 5]


async def test_what_changes_a_role_is_noted_and_nothing_else(tmp_path: Path, empty_database: Path) -> None:
    """So that every process looks at who is in the room."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room_id = await private_room(edge, ada)
        link = await make_link(ada, room_id)
        member = f"{ROOMS}/{room_id}/members/{ben.user_id}"

        async def noted() -> datetime | None:
            statement = select(rooms.c.access_at).where(rooms.c.id == room_id)
            at: datetime | None = await edge.database.read(lambda conn: conn.execute(statement).scalar_one())
            return at

        assert await noted() is None
        for is_noted, ask in (
            (True, lambda: redeem(ben, link)),
            (False, lambda: redeem(ben, link)),
            (True, lambda: ada.ask("PATCH", member, json={"role": "editor"})),
            (False, lambda: ada.ask("PATCH", member, json={"role": "editor"})),
            (False, lambda: ada.ask("DELETE", f"{ROOMS}/{room_id}/links/{link['id']}")),
            (True, lambda: ada.ask("POST", f"{ROOMS}/{room_id}/transfer", json={"user_id": ben.user_id})),
            (True, lambda: ada.ask("DELETE", f"{ROOMS}/{room_id}/members/{ada.user_id}")),
        ):
            before = await noted()
            assert (await ask()).status_code in (200, 204)
            assert (await noted() != before) == is_noted


async def test_a_room_of_an_older_version_has_its_creator_for_owner(
    tmp_path: Path, empty_database: Path
) -> None:
    """E1: who has no row, as such a version leaves it, is listed, can't be lost, and hands over."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, ben = await edge.guest(), await edge.guest("Ben")
        room_id = await private_room(edge, ada)
        await edge.database.write(lambda conn: conn.execute(delete(room_members)).close())
        assert await members(ada, room_id) == {ada.user_id: "owner"}
        await redeem(ben, await make_link(ada, room_id))
        assert await members(ada, room_id) == {ada.user_id: "owner", ben.user_id: "viewer"}
        await ada.ask("POST", f"{ROOMS}/{room_id}/transfer", json={"user_id": ben.user_id})
        assert await members(ada, room_id) == {ada.user_id: "editor", ben.user_id: "owner"}
