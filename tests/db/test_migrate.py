"""The migrations, up and down, against the tables; and several processes at once."""

import asyncio
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from db.errors import NewerDatabase
from db.migrate import current_revision, downgrade, head_revision, run_alone, upgrade
from db.tables import metadata
from party.errors import Unavailable

ROOT = Path(__file__).parents[2]


def shape(path: Path) -> dict[str, str]:
    """Every table and index as SQLite knows it, without the differences in spelling."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql NOT NULL AND name NOT LIKE 'alembic%'"
        ).fetchall()
    return {name: normal(sql) for name, sql in rows}


def normal(sql: str) -> str:
    """Whitespace, quotes and the order of a table's clauses don't matter."""
    sql = re.sub(r"\s+", " ", sql.replace('"', "")).replace("rooms.deleted_at", "deleted_at")
    head, _, body = sql.partition("(")
    inner, _, tail = body.rpartition(")")
    clauses = sorted(clause.strip() for clause in re.split(r", (?![^(]*\))", inner))
    return f"{head.strip()} {clauses} {tail.strip()}"


def compare(connection: Connection) -> list[object]:
    """What Alembic sees of differences between the database and db/tables.py."""
    options = {"compare_type": True, "compare_server_default": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def test_up_down_and_up_again(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    url = f"sqlite:///{path}"
    assert current_revision(url) is None
    assert not path.exists()
    upgrade(url)
    assert current_revision(url) == head_revision()
    first = shape(path)
    assert {"users", "rooms", "room_heads", "room_updates", "canvas_states"} <= first.keys()
    downgrade(url, "base")
    assert current_revision(url) is None
    assert shape(path) == {}
    upgrade(url)
    assert shape(path) == first
    assert path.read_bytes()[18:20] == b"\x02\x02", "the file is in WAL mode"


def test_what_is_encrypted_keeps_its_keys(tmp_path: Path) -> None:
    """Z7: going back would forget every data key, and with them each document for good."""
    url = f"sqlite:///{tmp_path / 'k.db'}"
    upgrade(url)
    downgrade(url, "0009")
    with closing(sqlite3.connect(tmp_path / "k.db")) as connection:
        connection.execute("INSERT INTO data_keys VALUES ('a1', 'one', x'00', '2026-01-01', '2026-01-02')")
        connection.commit()
    with pytest.raises(Unavailable, match="kanvas keys rotate --to plain"):
        downgrade(url, "-1")
    assert current_revision(url) == "0009"
    with closing(sqlite3.connect(tmp_path / "k.db")) as connection:
        assert connection.execute("SELECT id FROM data_keys").fetchall() == [("a1",)]
        connection.execute("DELETE FROM data_keys")
        connection.commit()
    downgrade(url, "-1")
    assert current_revision(url) == "0008"


def test_the_migrations_build_the_tables_of_the_metadata(path: Path, url: str, tmp_path: Path) -> None:
    differences: list[object] = []
    run_alone(url, lambda connection: differences.extend(compare(connection)))
    assert differences == []
    # Alembic does not compare checks, WITHOUT ROWID and partial indexes; their text does.
    direct = tmp_path / "direct.db"
    run_alone(f"sqlite:///{direct}", metadata.create_all)
    assert shape(path) == shape(direct)


def test_what_is_at_its_head_is_left_alone_and_without_alembic(url: str) -> None:
    program = (
        f"import sys; from db.migrate import upgrade; upgrade({url!r});"
        " print('alembic.command' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    # Its import alone takes longer than the look at the file.
    assert done.stdout.split() == ["False"]


async def test_processes_that_start_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'k.db'}"
    program = f"from db.migrate import upgrade; upgrade({url!r})"
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT) for _ in range(5)
    ]
    assert await asyncio.gather(*(child.wait() for child in children)) == [0] * 5
    assert current_revision(url) == head_revision()


async def test_a_migration_waits_for_a_writer(path: Path, url: str) -> None:
    downgrade(url, "base")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        migrating = asyncio.ensure_future(asyncio.to_thread(upgrade, url))
        start = time.monotonic()
        while time.monotonic() - start < 0.5:
            await asyncio.sleep(0.05)
            assert not migrating.done()
        other.execute("ROLLBACK")
        await migrating
    assert current_revision(url) == head_revision()


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "k.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE room_updates (somebody_elses TEXT)")
    with pytest.raises(Unavailable) as caught:
        upgrade(f"sqlite:///{path}")
    assert caught.value.__cause__ is not None
    assert list(shape(path)) == ["room_updates"]


def test_a_newer_database_is_refused(path: Path, url: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerDatabase):
        upgrade(url)
    with pytest.raises(NewerDatabase):
        downgrade(url, "-1")
    assert current_revision(url) == "9999"


def test_what_has_no_tables_has_nothing_to_go_back_from(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no tables"):
        downgrade(f"sqlite:///{tmp_path / 'k.db'}", "-1")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_revision_is_said(url: str) -> None:
    with pytest.raises(Unavailable, match="nonsense"):
        downgrade(url, "nonsense")


def test_no_database_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="can't be opened"):
        upgrade(f"sqlite:///{tmp_path / 'nowhere' / 'k.db'}")


def test_the_alembic_command_works_as_its_env_says(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'k.db'}"
    command = [sys.executable, "-m", "alembic", "-x", f"url={url}"]
    subprocess.run([*command, "upgrade", "head"], cwd=ROOT, check=True, capture_output=True)
    assert current_revision(url) == head_revision()
    check = subprocess.run([*command, "check"], cwd=ROOT, check=False, capture_output=True, text=True)
    assert check.returncode == 0, check.stdout + check.stderr
