"""Jobs over HTTP and on the command line: who sees them, the list, the revival, how long they are kept."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from db import queue
from db.database import open_database
from db.scopes import as_system
from server.assets.keeping import SWEEP
from server.cli import main
from server.jobs.base import GiveUp, JobCall
from server.services import clean_up
from tests.server.edge import Edge, field_names, open_edge
from tests.server.jobs.works import eventually

ADMIN = "/api/v1/admin/jobs"
NOBODYS = "01jd0000000000000000000000"


def admin(edge: Edge) -> dict[str, str]:
    token = edge.services.tokens.issue("operator", "Operator", is_admin=True).token
    return {"Authorization": f"Bearer {token}"}


async def put(edge: Edge, kind: str = "draw", ago_s: float = 0.0, **more: Any) -> str:
    now = edge.services.now() - timedelta(seconds=ago_s)
    return await as_system(edge.services.database).write(
        lambda conn: queue.enqueue(conn, kind=kind, payload={"secret": 1}, now=now, **more)
    )


async def listed(edge: Edge, query: str = "") -> dict[str, Any]:
    answer = await edge.http.get(f"{ADMIN}{query}", headers=admin(edge))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    # tomorrow's sweep is always there
    found["items"] = [one for one in found["items"] if one["kind"] != SWEEP]
    return found


async def test_a_job_is_shown_to_who_asked_for_it(tmp_path: Path, empty_database: Path) -> None:
    async def draw(call: JobCall) -> dict[str, Any]:
        call.progress(1.0, "drawn")
        return {"size": 3}

    async with open_edge(tmp_path, empty_database, {"draw": draw}) as edge:
        ada, bob = await edge.guest(), await edge.guest("Bob")
        job_id = await put(edge, user_id=ada.user_id, room_id="r")
        edge.services.jobs.wake()
        address = f"/api/v1/jobs/{job_id}"

        async def is_done() -> bool:
            return (await ada.ask("GET", address)).json()["state"] == "done"

        await eventually(is_done)
        told = (await ada.ask("GET", address)).json()
        for name in ("created_at", "run_at", "finished_at"):
            assert abs(datetime.fromisoformat(told.pop(name)) - datetime.now(UTC)) < timedelta(minutes=5)
        assert told == {
            "id": job_id,
            "kind": "draw",
            "state": "done",
            "progress": 1.0,
            "words": "drawn",
            "attempts": 1,
            "max_attempts": 5,
            "result": {"size": 3},
            "error": None,
            "room_id": "r",
        }
        assert (await edge.http.get(address, headers=admin(edge))).status_code == 200
        assert (await edge.http.get(address)).status_code == 401
        for wrong in (
            await bob.ask("GET", address),
            await ada.ask("GET", f"/api/v1/jobs/{NOBODYS}"),
            await ada.ask("GET", "/api/v1/jobs/nonsense"),
            await ada.ask("GET", f"/api/v1/jobs/{await put(edge)}"),
        ):
            assert (wrong.status_code, wrong.json()["code"]) == (404, "job_not_found")


async def test_the_operator_lists_and_revives(tmp_path: Path, empty_database: Path) -> None:
    """K3."""
    is_mended = False

    async def draw(_call: JobCall) -> None:
        if not is_mended:
            raise GiveUp("It can't be drawn.")

    async with open_edge(tmp_path, empty_database, {"draw": draw}) as edge:
        # the ids of one millisecond are in no order
        kinds = ("draw", "draw", "other", "draw")
        ids = [await put(edge, kind, ago_s=len(kinds) - at) for at, kind in enumerate(kinds)]
        edge.services.jobs.wake()

        async def are_dead() -> bool:
            return len((await listed(edge, "?state=dead"))["items"]) == 3

        await eventually(are_dead)
        dead = [ids[3], ids[1], ids[0]]
        first = await listed(edge, "?state=dead&limit=2")
        assert [one["id"] for one in first["items"]] == dead[:2]
        assert first["items"][0]["error"] == "It can't be drawn."
        rest = await listed(edge, f"?state=dead&limit=2&cursor={first['next_cursor']}")
        assert ([one["id"] for one in rest["items"]], rest["next_cursor"]) == (dead[2:], None)
        assert [one["id"] for one in (await listed(edge, "?kind=other"))["items"]] == [ids[2]]
        assert len((await listed(edge))["items"]) == 4

        is_mended = True
        revived = await edge.http.post(f"{ADMIN}/{ids[0]}/revive", headers=admin(edge))
        assert (revived.status_code, revived.json()["state"], revived.json()["attempts"]) == (
            200,
            "queued",
            0,
        )

        async def is_done() -> bool:
            return [one["id"] for one in (await listed(edge, "?state=done"))["items"]] == [ids[0]]

        await eventually(is_done)
        again = await edge.http.post(f"{ADMIN}/{ids[0]}/revive", headers=admin(edge))
        assert (again.status_code, again.json()["code"]) == (409, "job_not_dead")
        none = await edge.http.post(f"{ADMIN}/{NOBODYS}/revive", headers=admin(edge))
        assert (none.status_code, none.json()["code"]) == (404, "job_not_found")


async def test_the_list_is_for_the_operator(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        for method, address in (("GET", ADMIN), ("POST", f"{ADMIN}/{NOBODYS}/revive")):
            assert (await edge.http.request(method, address)).status_code == 401
            refused: httpx2.Response = await ada.ask(method, address)
            assert (refused.status_code, refused.json()["code"]) == (403, "admins_only")
        wrong = await edge.http.get(f"{ADMIN}?state=lost&kind=A&cursor=x&limit=1.0", headers=admin(edge))
        assert field_names(wrong) == ["state", "kind", "cursor", "limit"]


async def test_a_server_with_jobs_off_does_none(tmp_path: Path, empty_database: Path) -> None:
    async def draw(_call: JobCall) -> None:
        pass

    async with open_edge(tmp_path, empty_database, {"draw": draw}, jobs=False) as edge:
        job_id = await put(edge)
        edge.services.jobs.wake()
        await asyncio.sleep(0.2)
        assert [one["state"] for one in (await listed(edge))["items"]] == ["queued"]
    async with open_edge(tmp_path, empty_database, {"draw": draw}) as edge:

        async def is_done() -> bool:
            return [(one["id"], one["state"]) for one in (await listed(edge))["items"]] == [(job_id, "done")]

        await eventually(is_done)


async def test_what_ended_is_forgotten_after_a_while(tmp_path: Path, empty_database: Path) -> None:
    """K3: done after 7 days, dead after 90; what waits is kept however old."""
    async with open_edge(tmp_path, empty_database) as edge:
        now = edge.services.now()
        kept = set()
        for days in (6, 8, 89, 91):
            for end in ("done", "dead", "queued"):
                job_id = await put(edge, max_attempts=1)
                if end != "queued":
                    await as_system(edge.services.database).write(
                        lambda conn, job_id=job_id, end=end, at=now - timedelta(days=days): _end(
                            conn, job_id, end, at
                        )
                    )
                if end == "queued" or days < {"done": 7, "dead": 90}[end]:
                    kept.add(job_id)
        await clean_up(edge.services)
        assert {one["id"] for one in (await listed(edge))["items"]} == kept


def _end(conn: Any, job_id: str, end: str, at: datetime) -> None:
    ahead = datetime.now(UTC) + timedelta(seconds=1)
    queue.claim(conn, kinds=["draw"], now=ahead, lease_s=60, limit=100, holder="h")
    if end == "done":
        queue.finish(conn, job_id, "h", result=None, now=at)
    else:
        queue.give_up(conn, job_id, "h", error="no", now=at)
    for other in queue.list_jobs(conn, state="running", limit=100):
        queue.put_back(conn, other.id, "h", now=ahead)


# -- the command line -------------------------------------------------------------------------------


def kanvas(monkeypatch: pytest.MonkeyPatch, data_dir: Path, *arguments: str) -> int:
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["kanvas", *arguments])
        for name in [name for name in os.environ if name.startswith("KANVAS_")]:
            patch.delenv(name)
        patch.setenv("KANVAS_DATA_DIR", str(data_dir))
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_jobs_are_listed_and_revived_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """K3: without a server."""
    assert kanvas(monkeypatch, tmp_path, "jobs", "list") == 1
    assert "kanvas migrate" in capsys.readouterr().err
    assert list(tmp_path.glob("kanvas.db")) == []
    assert kanvas(monkeypatch, tmp_path, "migrate") == 0
    capsys.readouterr()
    assert kanvas(monkeypatch, tmp_path, "jobs", "list") == 0
    assert capsys.readouterr().out == "There are no jobs.\n"

    async def prepare() -> list[str]:
        now = datetime.now(UTC) - timedelta(minutes=1)
        async with open_database(f"sqlite:///{tmp_path / 'kanvas.db'}") as database:
            ids = []
            for kind in ("draw", "send"):
                ids.append(
                    await as_system(database).write(
                        lambda conn, kind=kind: queue.enqueue(conn, kind=kind, payload={}, now=now)
                    )
                )
            await as_system(database).write(
                lambda conn: queue.claim(conn, kinds=["draw"], now=now, lease_s=30, limit=1, holder="h")
            )
            await as_system(database).write(
                lambda conn: queue.give_up(conn, ids[0], "h", error="No\x1b[2J use.\nEver.", now=now)
            )
        return ids

    dead, queued = asyncio.run(prepare())
    assert kanvas(monkeypatch, tmp_path, "jobs", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "There are 1 dead, 1 queued."
    assert kanvas(monkeypatch, tmp_path, "jobs", "list", "--state", "dead") == 0
    line = capsys.readouterr().out.splitlines()[0]
    assert line.startswith(f"{dead}  dead     1/5  ")
    assert line.endswith("  draw  No [2J use. Ever.")
    assert kanvas(monkeypatch, tmp_path, "jobs", "list", "--state", "lost") == 2
    assert kanvas(monkeypatch, tmp_path, "jobs", "revive", queued) == 1
    assert kanvas(monkeypatch, tmp_path, "jobs", "revive", NOBODYS) == 1
    capsys.readouterr()
    assert kanvas(monkeypatch, tmp_path, "jobs", "revive", dead) == 0
    assert dead in capsys.readouterr().out
    assert kanvas(monkeypatch, tmp_path, "jobs", "list", "--kind", "draw") == 0
    assert capsys.readouterr().out.startswith(f"{dead}  queued   0/5  ")
