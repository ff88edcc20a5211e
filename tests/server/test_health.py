"""Health: alive is not the same as ready."""

from pathlib import Path

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
        assert "draining" in answer.json()["detail"]
        assert "rooms are draining" in answer.json()["detail"]
        assert (await edge.http.get("/healthz")).status_code == 200


async def test_starting_is_not_ready(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        edge.services.readiness.phase = "starting"
        assert "starting" in (await edge.http.get("/readyz")).json()["detail"]
