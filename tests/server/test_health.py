"""Health: alive is not the same as ready."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from tests.server.edge import open_edge


async def test_alive_and_ready(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.get("/healthz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        answer = await edge.http.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok", "reasons": []})


async def test_a_draining_process_is_alive_but_not_ready(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        edge.services.readiness.drain()
        await edge.services.hub.drain(0.1)
        answer = await edge.http.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert answer.json()["detail"] == "Not ready: the process is draining."
        assert (await edge.http.get("/healthz")).status_code == 200


async def test_a_room_that_waits_is_not_said_to_drain(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        monkeypatch.setattr(type(edge.services.hub), "healthy", lambda _: False)
        answer = await edge.http.get("/readyz")
        assert answer.json()["detail"] == "Not ready: a room waits for its journal."


async def test_starting_is_not_ready(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        edge.services.readiness.phase = "starting"
        assert "starting" in (await edge.http.get("/readyz")).json()["detail"]


async def test_many_who_ask_at_once_are_one_question(tmp_path: Path, empty_database: Path) -> None:
    """Anybody may ask, and nobody is counted: a flood of it must not fill the database."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    async with open_edge(tmp_path, empty_database) as edge:
        event.listen(Engine, "before_cursor_execute", note)
        try:
            answers = await asyncio.gather(*(edge.http.get("/readyz") for _ in range(60)))
        finally:
            event.remove(Engine, "before_cursor_execute", note)
    assert {answer.status_code for answer in answers} == {200}
    assert len([one for one in statements if "FROM rooms" in one]) < 30
