"""The command line, as a person types it: words and exit codes."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from party.errors import Unavailable
from server import check
from server.auth import Tokens
from server.cli import main
from server.masks import MASK
from server.settings import Settings
from tests.server.edge import copy_database


@dataclass(frozen=True)
class Ended:
    """What a command left: its exit code and its words."""

    returncode: int
    stdout: str
    stderr: str


Kanvas = Callable[..., Ended]


@pytest.fixture
def kanvas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kanvas:
    """Runs a command in this process (test_serve.py runs whole processes)."""

    def run(*arguments: str, data_dir: Path, **env: str) -> Ended:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["kanvas", *arguments])
            for name in [name for name in os.environ if name.startswith("KANVAS_")]:
                patch.delenv(name)
            for name, value in {"KANVAS_DATA_DIR": str(data_dir), "COLUMNS": "200", **env}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main()
        told = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, told.out, told.err)

    return run


@pytest.mark.parametrize("command", ["serve", "migrate", "token", "check"])
def test_wrong_settings_end_with_2_and_all_problems(kanvas: Kanvas, tmp_path: Path, command: str) -> None:
    ended = kanvas(
        command, data_dir=tmp_path, KANVAS_PORT="x", KANVAS_COLOUR="red", KANVAS_SECRET="hunter2hunter2"
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    lines = ended.stderr.splitlines()
    assert lines[0] == "These settings are not valid:"
    assert len(lines) == 4
    assert "hunter2" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_data_folder_that_can_not_be_is_a_setting_too(kanvas: Kanvas, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = kanvas("serve", data_dir=tmp_path / "file" / "data")
    assert ended.returncode == 2
    assert "KANVAS_DATA_DIR" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_token_is_all_that_is_printed(kanvas: Kanvas, tmp_path: Path) -> None:
    printed = kanvas("token", "--name", "Bot", "--sub", "bot", "--ttl", "60", data_dir=tmp_path)
    assert printed.returncode == 0, printed.stderr
    secret = (tmp_path / "secret").read_bytes().strip()
    identity = asyncio.run(Tokens(secret, ttl_s=1).verify(printed.stdout.strip()))
    assert (identity.user_id, identity.name, identity.is_guest) == ("bot", "Bot", False)
    assert (identity.expires_at - identity.issued_at).total_seconds() == 60


@pytest.mark.parametrize("arguments", [["--name", ""], ["--name", "x" * 65], ["--sub", "\n"], ["--ttl", "0"]])
def test_a_token_for_nobody_is_refused(kanvas: Kanvas, tmp_path: Path, arguments: list[str]) -> None:
    ended = kanvas("token", *arguments, data_dir=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr


def test_check_tries_everything(kanvas: Kanvas, tmp_path: Path) -> None:
    before = kanvas("check", data_dir=tmp_path)
    assert before.returncode == 1
    assert "kanvas migrate" in before.stdout
    assert kanvas("migrate", data_dir=tmp_path).returncode == 0
    checked = kanvas("check", data_dir=tmp_path, KANVAS_SECRET="s" * 32)
    assert "a commit reached the disk" in checked.stdout
    assert "KANVAS_MAX_ASSET_BYTES" in checked.stdout
    assert MASK in checked.stdout
    assert "s" * 32 not in checked.stdout
    # a built client is the one part a checkout may lack
    assert checked.returncode == (1 if "not built" in checked.stdout else 0), checked.stdout
    with sqlite3.connect(tmp_path / "kanvas.db") as database:
        assert database.execute("SELECT count(*) FROM idempotency_keys").fetchone() == (0,)


async def test_a_check_gives_the_database_as_long_as_the_server_does(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What serves well with a longer time would else be told to be broken."""
    copy_database(tmp_path, empty_database)
    given: list[float] = []

    def note(_url: str, *, timeout_s: float) -> None:
        given.append(timeout_s)
        raise Unavailable

    monkeypatch.setattr(check, "open_database", note)
    await check.try_all(Settings(data_dir=tmp_path, database_timeout_s=30))
    assert given == [30]


def test_a_damaged_database_is_told(kanvas: Kanvas, tmp_path: Path) -> None:
    (tmp_path / "kanvas.db").write_bytes(b"this is no database" * 100)
    ended = kanvas("migrate", data_dir=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == "The database file is not a SQLite database.\n"
    checked = kanvas("check", data_dir=tmp_path)
    assert checked.returncode == 1
    assert "not a SQLite database" in checked.stdout


def test_migrate_goes_up_and_down(kanvas: Kanvas, tmp_path: Path) -> None:
    up = kanvas("migrate", data_dir=tmp_path)
    assert up.stdout.startswith("The database went from nothing to ")
    assert "already" in kanvas("migrate", data_dir=tmp_path).stdout
    down = kanvas("migrate", "--down", "--to", "base", data_dir=tmp_path)
    assert down.returncode == 0, down.stderr
    assert down.stdout.rstrip().endswith("to nothing.")
    wrong = kanvas("migrate", "--to", "zzz", data_dir=tmp_path)
    assert wrong.returncode == 1
    assert "zzz" in wrong.stderr


def test_a_sweep_needs_the_tables_of_this_version(kanvas: Kanvas, tmp_path: Path) -> None:
    """Not "edits can't be saved now": nobody draws in a command."""
    ended = kanvas("assets", "sweep", "--dry-run", data_dir=tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == "The database is not there, or of another version; type: kanvas migrate\n"


def test_backup_copies_and_never_overwrites(kanvas: Kanvas, tmp_path: Path) -> None:
    kanvas("migrate", data_dir=tmp_path)
    target = tmp_path / "copy.db"
    done = kanvas("backup", str(target), data_dir=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stdout
    assert "blobs" in done.stdout
    with sqlite3.connect(target) as copy:
        assert copy.execute("SELECT count(*) FROM rooms").fetchone() == (0,)
    again = kanvas("backup", str(target), data_dir=tmp_path)
    assert again.returncode == 1
    assert "never overwrites" in again.stderr
