"""`kanvas audit`: words and exit codes, on a log that is sound and on one that is not."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from tests.server.edge import ROOMS, open_edge
from tests.server.test_cli import Kanvas, kanvas  # noqa: F401 - the fixture


@pytest.fixture
async def data_dir(tmp_path: Path, empty_database: Path) -> Path:
    """A server's folder, with a log of six entries in two chains."""
    folder = tmp_path / "data"
    async with open_edge(folder, empty_database) as edge:
        ada = await edge.guest("Ada")
        room = await ada.room(id="the-plan")
        for n in range(4):
            await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json={"title": f"Title {n}"})
    return folder


def tamper(data_dir: Path, *statements: str) -> None:
    with closing(sqlite3.connect(data_dir / "kanvas.db")) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def test_a_log_as_it_was_written(data_dir: Path, kanvas: Kanvas) -> None:  # noqa: F811
    """Y4."""
    done = kanvas("audit", "verify", data_dir=data_dir)
    assert (done.returncode, done.stdout) == (0, "6 entries of 2 chains are as they were written.\n")
    one = kanvas("audit", "verify", "--room", "the-plan", data_dir=data_dir)
    assert (one.returncode, one.stdout) == (0, "5 entries of 1 chains are as they were written.\n")
    none = kanvas("audit", "verify", "--room", "no-room", data_dir=data_dir)
    assert (none.returncode, none.stderr) == (1, "There is no log of this room.\n")
    missing = kanvas("audit", "verify", data_dir=data_dir.parent / "elsewhere")
    assert (missing.returncode, "kanvas migrate" in missing.stderr) == (1, True)


def test_tampering_is_told_with_exit_code_1(data_dir: Path, kanvas: Kanvas) -> None:  # noqa: F811
    """Y4."""
    tamper(
        data_dir,
        "UPDATE audit_events SET actor_name = 'Eve' WHERE chain = 'the-plan' AND seq = 2",
        "DELETE FROM audit_events WHERE chain = 'the-plan' AND seq = 4",
        "DELETE FROM audit_heads WHERE chain = '@server'",
    )
    done = kanvas("audit", "verify", data_dir=data_dir)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("@server  0  the end of this chain was removed")
    assert lines[1].startswith("the-plan  2  entry ")
    assert lines[1].endswith("room.change) was changed, moved or made up")
    assert lines[2] == "the-plan  4  entry 4 is missing"
    assert lines[3].startswith("3 findings in 4 entries of 1 chains.")


def test_entries_before_the_first_are_told(data_dir: Path, kanvas: Kanvas) -> None:  # noqa: F811
    """Y4: made up, whether their chain has an end or not; and no end is noted of a chain they are in."""
    for chain, seq in (("the-plan", 0), ("@server", -3), ("no-chain", 0)):
        tamper(
            data_dir,
            "PRAGMA ignore_check_constraints = on",
            f"INSERT INTO audit_events SELECT '{chain}', {seq}, '{chain}', at, actor_id, actor_name, action,"
            " target, result, address, request_id, details, hash FROM audit_events"
            " WHERE chain = 'the-plan' AND seq = 1",
        )
    ends = data_dir / "ends.json"
    done = kanvas("audit", "verify", "--ends", str(ends), data_dir=data_dir)
    assert (done.returncode, ends.exists()) == (1, False)
    lines = done.stdout.splitlines()
    for line, chain, seq in zip(lines, ("@server", "no-chain", "the-plan"), (-3, 0, 0), strict=False):
        assert line.startswith(f"{chain}  {seq}  entry {chain} (")
        assert line.endswith("room.create) was made up: entries are numbered from 1")
    assert lines[3].startswith("3 findings in 9 entries of 2 chains.")
    lines = kanvas("audit", "export", data_dir=data_dir).stdout.splitlines()
    assert {orjson.loads(line)["id"] for line in lines}.isdisjoint({"the-plan", "@server", "no-chain"})


def test_the_secret_before(data_dir: Path, kanvas: Kanvas, tmp_path: Path) -> None:  # noqa: F811
    """Y3: with the new one alone it is told what can't be checked; with both all is well."""
    old = tmp_path / "old"
    shutil.copy(data_dir / "secret", old)
    new = {"KANVAS_SECRET": "another secret, which has forty characters"}
    done = kanvas("audit", "verify", data_dir=data_dir, **new)
    assert done.returncode == 1
    assert "is sealed with a secret that was not given" in done.stdout
    both = kanvas("audit", "verify", "--old-secret-file", str(old), data_dir=data_dir, **new)
    assert both.returncode == 0, both.stdout
    unreadable = kanvas("audit", "verify", "--old-secret-file", str(tmp_path / "no"), data_dir=data_dir)
    assert (unreadable.returncode, "can't be read" in unreadable.stderr) == (1, True)


def test_a_log_that_was_put_back(data_dir: Path, kanvas: Kanvas, tmp_path: Path) -> None:  # noqa: F811
    """Y4: an older state of all of it fits in itself; the ends that were noted elsewhere tell."""
    ends, backup = tmp_path / "ends.json", tmp_path / "backup.db"
    shutil.copy(data_dir / "kanvas.db", backup)
    # a later entry, by the command itself
    assert kanvas("audit", "export", "--room", "the-plan", data_dir=data_dir).returncode == 0
    noted = kanvas("audit", "verify", "--ends", str(ends), data_dir=data_dir)
    assert noted.returncode == 0, noted.stderr
    assert orjson.loads(ends.read_bytes())["the-plan"][0] == 6
    assert kanvas("audit", "verify", "--ends", str(ends), data_dir=data_dir).returncode == 0
    shutil.copy(backup, data_dir / "kanvas.db")
    assert kanvas("audit", "verify", data_dir=data_dir).returncode == 0
    put_back = kanvas("audit", "verify", "--ends", str(ends), data_dir=data_dir)
    assert put_back.returncode == 1
    assert put_back.stdout.startswith("the-plan  6  the log does not go through the end")
    ends.write_text("[]")
    assert kanvas("audit", "verify", "--ends", str(ends), data_dir=data_dir).returncode == 1


def test_it_is_written_out(data_dir: Path, kanvas: Kanvas) -> None:  # noqa: F811
    """Y9."""
    lines = kanvas("audit", "export", data_dir=data_dir)
    entries = [orjson.loads(line) for line in lines.stdout.splitlines()]
    assert [one["action"] for one in entries][:3] == ["sign_in.guest", "room.create", "room.change"]
    assert entries[0]["address"] == "127.0.0.1"
    rows = kanvas(
        *("audit", "export", "--format", "csv", "--room", "the-plan", "--action", "room.create"),
        data_dir=data_dir,
    )
    assert len(rows.stdout.splitlines()) == 2
    wrong = kanvas("audit", "export", "--since", "yesterday", data_dir=data_dir)
    assert (wrong.returncode, wrong.stderr.startswith("--since: Give a moment")) == (1, True)
    # who has the command line is told of in the log
    again = kanvas("audit", "export", "--actor", "@operator", data_dir=data_dir)
    assert {orjson.loads(line)["action"] for line in again.stdout.splitlines()} == {"audit.export"}
