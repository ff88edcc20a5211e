"""The operator's list, and the keeper behind it."""

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2

from party.quarantine import Crash
from server.link import CRASHES
from tests.server.edge import Edge, open_edge

ADDRESS = "/api/v1/admin/quarantine"


def admin(edge: Edge) -> dict[str, str]:
    token = edge.services.tokens.issue("operator", "Operator", is_admin=True).token
    return {"Authorization": f"Bearer {token}"}


async def held(edge: Edge) -> list[dict[str, Any]]:
    listed = await edge.http.get(ADDRESS, headers=admin(edge))
    assert listed.status_code == 200, listed.text
    assert listed.json()["next_cursor"] is None
    items: list[dict[str, Any]] = listed.json()["items"]
    return items


def note(data_dir: Path, **changed: Any) -> None:
    """A crash as the supervisor notes it."""
    told = {
        "at": time.time(),
        "reason": "crashed",
        "signal": "SIGSEGV",
        "exit_code": None,
        "stage": "edit",
        "room_id": "r",
        "user_id": "mallory",
        "client_ids": [7],
        "is_exact": True,
    }
    with (data_dir / CRASHES).open("a") as file:
        file.write(json.dumps(told | changed) + "\n")


async def test_it_is_for_the_operator(tmp_path: Path, empty_database: Path) -> None:
    """Q7: 401 for nobody, 403 with a sentence for everybody else."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        for method, address in (("GET", ADDRESS), ("DELETE", f"{ADDRESS}/{'0' * 32}")):
            assert (await edge.http.request(method, address)).status_code == 401
            refused = await ada.ask(method, address)
            assert (refused.status_code, refused.json()["code"]) == (403, "admins_only")
            assert "kanvas token --admin" in refused.json()["detail"]


async def test_a_renewed_token_of_the_operator_is_one(tmp_path: Path, empty_database: Path) -> None:
    """I9: with a new name too, and not for longer; nobody is left with a token that lost its powers."""
    async with open_edge(tmp_path, empty_database) as edge:
        headers = admin(edge)
        ends_at = (await edge.services.tokens.verify(headers["Authorization"][7:])).expires_at
        for method, address, more in (
            ("POST", "/api/v1/auth/refresh", {}),
            ("PATCH", "/api/v1/me", {"json": {"name": "Olga"}}),
        ):
            renewed = await edge.http.request(method, address, headers=headers, **more)
            edge.http.cookies.clear()
            assert datetime.fromisoformat(renewed.json()["expires_at"]) <= ends_at
            headers = {"Authorization": f"Bearer {renewed.json()['token']}"}
            assert (await edge.http.get(ADDRESS, headers=headers)).status_code == 200


async def test_what_the_supervisor_noted_is_listed_and_lifted(tmp_path: Path, empty_database: Path) -> None:
    """Q7, Q3: taken in once, there after a restart, gone after a lift."""
    note(tmp_path)
    note(tmp_path, stage="load", user_id=None, client_ids=[], room_id="s")
    async with open_edge(tmp_path, empty_database) as edge:
        assert not (tmp_path / CRASHES).exists()
        assert {
            (one["kind"], one["room_id"], one["user_id"], one["client_id"]) for one in await held(edge)
        } == {
            ("client", "r", "mallory", 7),
            ("room", "s", None, None),
        }
    async with open_edge(tmp_path, empty_database) as edge:
        first, second = await held(edge)
        assert first["is_held"]
        assert first["strikes"] == 1
        address = f"{ADDRESS}/{first['id']}"
        assert (await edge.http.delete(address, headers=admin(edge))).status_code == 204
        assert await held(edge) == [second]
        gone = await edge.http.delete(address, headers=admin(edge))
        assert (gone.status_code, gone.json()["code"]) == (404, "hold_not_found")
        assert (await edge.http.delete(f"{ADDRESS}/nonsense", headers=admin(edge))).status_code == 404
    async with open_edge(tmp_path, empty_database) as edge:
        assert [one["id"] for one in await held(edge)] == [second["id"]]


async def test_notes_that_make_no_sense_are_passed_over(tmp_path: Path, empty_database: Path) -> None:
    """Q3: a disk that was full, or somebody's editor, does not keep the service from starting."""
    for line in (b"", b"{", b"[]", b'{"at": "x"}', b"\xff\xfe"):
        with (tmp_path / CRASHES).open("ab") as file:
            file.write(line + b"\n")
    note(tmp_path)
    async with open_edge(tmp_path, empty_database) as edge:
        assert [one["client_id"] for one in await held(edge)] == [7]
        assert not (tmp_path / CRASHES).exists()


async def test_a_note_taken_in_twice_counts_once(tmp_path: Path, empty_database: Path) -> None:
    """Q3: stored, and killed before the note was deleted."""
    note(tmp_path, at=time.time() - 5)
    kept = (tmp_path / CRASHES).read_bytes()
    async with open_edge(tmp_path, empty_database):
        pass
    (tmp_path / CRASHES).write_bytes(kept)
    async with open_edge(tmp_path, empty_database) as edge:
        assert [one["strikes"] for one in await held(edge)] == [1]


async def test_a_strike_of_the_rooms_own_is_stored(tmp_path: Path, empty_database: Path) -> None:
    """Q5, Q7: in the background, and at the latest at the end."""
    async with open_edge(tmp_path, empty_database) as edge:
        guard = edge.services.keeper.guard
        guard.take("mallory")
        guard.admit("r", {5: 1})
        guard.poisoned("r")
    async with open_edge(tmp_path, empty_database) as edge:
        assert [(one["client_id"], one["reason"]) for one in await held(edge)] == [(5, "panic")]


async def test_a_held_room_says_when_over_http(tmp_path: Path, empty_database: Path) -> None:
    """Q6: 503 with the seconds that are left."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room(schema="open")
        edge.services.keeper.guard.quarantine.blame(Crash(time.time(), "hung", "load", room["id"]))
        refused: httpx2.Response = await ada.ask("GET", f"/parties/{room['id']}")
        assert (refused.status_code, refused.json()["code"]) == (503, "room_held")
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        await asyncio.sleep(0)
