"""Several workers: what they need is told before anything is opened."""

import subprocess
import sys
from pathlib import Path

from server.check import try_all
from server.settings import read_settings
from server.workers import find_problems

REDIS = {"KANVAS_REDIS_URL": "redis://127.0.0.1"}


def run(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", "serve", *arguments],
        env={
            "PATH": "",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "KANVAS_DATA_DIR": str(cwd / "data"),
            **env,
        },
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_refuses_what_can_not_work_and_says_what_to_do(tmp_path: Path) -> None:
    """N5: every reason in one go, exit code 2, and no folder is made."""
    for told in (run("--workers", "2", cwd=tmp_path), run(cwd=tmp_path, KANVAS_WORKERS="2")):
        assert told.returncode == 2
        assert told.stdout == ""
        for word in ("KANVAS_WORKERS=2", "PostgreSQL", "SQLite", "KANVAS_REDIS_URL", "KANVAS_DATABASE_URL"):
            assert word in told.stderr
        assert "Traceback" not in told.stderr
        assert not (tmp_path / "data").exists()
    off = run("--workers=3", cwd=tmp_path, KANVAS_SUPERVISOR="off", **REDIS)
    assert off.returncode == 2
    assert "KANVAS_SUPERVISOR=off" in off.stderr
    assert "Redis" not in off.stderr
    wrong = run("--workers=0", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "from 1 to 64" in wrong.stderr


async def test_the_check_finds_it_too(tmp_path: Path) -> None:
    """N5: before a start does."""
    settings = read_settings({"KANVAS_WORKERS": "2", "KANVAS_DATA_DIR": str(tmp_path), **REDIS})
    workers = next(one for one in await try_all(settings) if one.part == "workers")
    assert not workers.passed
    assert "KANVAS_DATABASE_URL" in workers.told


def test_one_worker_needs_nothing() -> None:
    """N5: the embedded default stays as it is."""
    assert find_problems(read_settings({}), is_supervised=False) == []
    several = read_settings({"KANVAS_WORKERS": "2", **REDIS})
    (sqlite, platform) = find_problems(several, is_supervised=False)
    assert "SQLite" in sqlite
    assert "this platform has none" in platform
