"""Where somebody is signed in: listed, ended one by one."""

from pathlib import Path

from tests.server.edge import Person, open_edge

SESSIONS = "/api/v1/me/sessions"


async def test_each_sign_in_is_listed_once_and_ended_alone(tmp_path: Path, empty_database: Path) -> None:
    """T6, I7: a renewal is the same session; who ends one stays signed in elsewhere."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        renewed = (await ada.ask("POST", "/api/v1/auth/refresh", {"User-Agent": "Firefox"})).json()["token"]
        [only] = (await ada.ask("GET", SESSIONS)).json()["items"]
        assert (only["kind"], only["is_this"], only["user_agent"]) == ("guest", True, "Firefox")
        other = Person(edge.http, edge.services.tokens.issue(ada.user_id, "Ada").token, ada.user_id)
        await other.ask("POST", "/api/v1/auth/refresh")
        listed = (await other.ask("GET", SESSIONS)).json()["items"]
        assert [one["is_this"] for one in listed] == [True, False]
        assert (await other.ask("DELETE", f"{SESSIONS}/{only['id']}")).status_code == 204
        assert (await other.ask("DELETE", f"{SESSIONS}/{only['id']}")).status_code == 404
        for token in (ada.token, renewed):
            gone = Person(edge.http, token, ada.user_id)
            assert (await gone.ask("GET", SESSIONS)).status_code == 401
            assert (await gone.ask("POST", "/api/v1/auth/refresh")).status_code == 401
        assert len((await other.ask("GET", SESSIONS)).json()["items"]) == 1


async def test_nobody_ends_or_sees_a_session_of_somebody_else(tmp_path: Path, empty_database: Path) -> None:
    """T6: 404, as for one that is not there."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, eve = await edge.guest(), await edge.guest("Eve")
        [hers] = (await ada.ask("GET", SESSIONS)).json()["items"]
        assert hers["id"] not in (await eve.ask("GET", SESSIONS)).text
        assert (await eve.ask("DELETE", f"{SESSIONS}/{hers['id']}")).status_code == 404
        assert (await ada.ask("GET", SESSIONS)).status_code == 200
