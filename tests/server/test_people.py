"""Which changes of a room's people, links and settings are told to who looks at it."""

from pathlib import Path

import pytest

from server.people import People
from tests.server.edge import ROOMS, open_edge
from tests.server.sharing import invite, make_link, redeem


async def test_whatever_the_share_dialog_shows_is_told_when_it_changes(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E11: and what was refused is not."""
    told: list[str] = []
    monkeypatch.setattr(People, "tell", lambda _self, room_id: told.append(room_id))
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        ada, ben, cy = await edge.guest(), await edge.guest("Ben"), await edge.guest("Cy")
        room_id = (await ada.room())["id"]
        path = f"{ROOMS}/{room_id}"

        def count() -> int:
            found = told.count(room_id)
            assert found == len(told)
            told.clear()
            return found

        assert count() == 0
        await ada.ask("PATCH", path, json={"title": "Plan"})
        await ada.ask("PATCH", path, json={"default_role": "viewer"})
        assert count() == 2
        invited = [(await invite(ada, room_id, user_id=one.user_id)).json()["id"] for one in (ben, cy)]
        mailed = (await invite(ada, room_id, email="dan@example.org")).json()["id"]
        assert count() == 3
        await ben.ask("POST", f"/api/v1/invitations/{invited[0]}/accept")
        await cy.ask("POST", f"/api/v1/invitations/{invited[1]}/decline")
        await ada.ask("DELETE", f"{path}/invitations/{mailed}")
        assert count() == 3
        link = await make_link(ada, room_id, role="editor")
        assert (await redeem(cy, link)).status_code == 200
        await ada.ask("DELETE", f"{path}/links/{link['id']}")
        assert count() == 3
        await ada.ask("PATCH", f"{path}/members/{ben.user_id}", json={"role": "commenter"})
        await ada.ask("POST", f"{path}/transfer", json={"user_id": ben.user_id})
        await ada.ask("DELETE", f"{path}/members/{ada.user_id}")
        assert count() == 3
        for refused in (
            await ada.ask("PATCH", path, json={"title": "Mine"}),
            await cy.ask("POST", f"{path}/links", json={"role": "viewer"}),
            await redeem(cy, link),
        ):
            assert refused.status_code in (403, 404)
        assert count() == 0
