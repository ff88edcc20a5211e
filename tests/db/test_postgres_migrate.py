"""The migrations on PostgreSQL: up and down, against the tables, and several processes at once."""

import asyncio
import contextlib
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection

from db import postgres_migrate
from db.errors import DatabaseDown, NewerDatabase
from db.migrate import current_revision, downgrade, head_revision, run_alone, upgrade
from db.tables import metadata
from party.errors import Unavailable
from tests.backends.postgres import Postgres
from tests.db.conftest import PATIENCE_S
from tests.db.test_migrate import ROOT, compare
from tests.deploy.balancers import make_certificate

SHAPE = """
SELECT string_agg(line, chr(10) ORDER BY line) FROM (
    SELECT indexdef AS line FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL
    SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid <> 'alembic_version'::regclass
) AS lines
"""


def told(url: str, sql: str) -> str:
    found: list[str] = []

    def look(connection: Connection) -> None:
        found.append(str(connection.exec_driver_sql(sql).scalar()))

    run_alone(url, look)
    return found[0]


@pytest.fixture
def empty_url(postgres: Postgres) -> Iterator[str]:
    url = postgres.create()
    yield url
    postgres.drop(url)


def test_up_down_and_up_again(empty_url: str) -> None:
    assert current_revision(empty_url) is None
    upgrade(empty_url)
    assert current_revision(empty_url) == head_revision()
    first = told(empty_url, SHAPE)
    assert "uq_jobs_queued_key" in first
    # one step back, as in an upgrade that is taken back
    downgrade(empty_url, "-1")
    assert current_revision(empty_url) not in (None, head_revision())
    downgrade(empty_url, "base")
    assert current_revision(empty_url) is None
    upgrade(empty_url)
    assert told(empty_url, SHAPE) == first


def test_the_migrations_build_the_tables_of_the_metadata(server_url: str, empty_url: str) -> None:
    differences: list[object] = []
    run_alone(server_url, lambda connection: differences.extend(compare(connection)))
    assert differences == []
    # Alembic does not compare checks and partial indexes; their text does.
    run_alone(empty_url, metadata.create_all)
    ours = told(server_url, SHAPE)
    theirs = told(empty_url, SHAPE.replace(" AND conrelid <> 'alembic_version'::regclass", ""))
    assert ours == theirs


def test_all_text_compares_by_its_bytes(server_url: str) -> None:
    """J11: whatever the language of the database."""
    others = (
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C' AND table_name <> 'alembic_version'"
    )
    assert told(server_url, others) == "0"


async def test_processes_that_start_at_once(empty_url: str) -> None:
    patience = f"import db.postgres; db.postgres.CONNECT_S = {PATIENCE_S}"
    program = f"{patience}; from db.migrate import upgrade; upgrade({empty_url!r})"
    children = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=ROOT) for _ in range(3)
    ]
    assert await asyncio.gather(*(child.wait() for child in children)) == [0] * 3
    assert current_revision(empty_url) == head_revision()


def test_a_table_in_use_is_waited_for_in_short_turns(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes after a waiting migration waits behind it: so it gives way and tries again."""
    monkeypatch.setattr(postgres_migrate, "TABLE_WAIT_S", 0.05)
    turns = 0

    def work(connection: Connection) -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            # as if somebody else had it
            connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '55P03'; END $$")

    run_alone(server_url, work)
    assert turns == 2


def test_a_failed_migration_changes_nothing(empty_url: str) -> None:
    run_alone(empty_url, lambda c: c.exec_driver_sql("CREATE TABLE room_updates (x text)").close())
    with pytest.raises(Unavailable) as caught:
        upgrade(empty_url)
    assert caught.value.__cause__ is not None
    assert told(empty_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "1"


def test_a_newer_database_is_refused(empty_url: str) -> None:
    upgrade(empty_url)
    run_alone(
        empty_url, lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'").close()
    )
    with pytest.raises(NewerDatabase):
        upgrade(empty_url)


def test_a_server_without_tls_is_said(empty_url: str) -> None:
    """The one of the tests is built without."""
    with pytest.raises(DatabaseDown, match=r"\(it has no TLS, and sslmode asks for it\)"):
        upgrade(f"{empty_url}?sslmode=require")


def test_a_certificate_of_nobody_we_trust_is_said(tmp_path: Path) -> None:
    """Not "operation not permitted", which has the same number."""
    (tmp_path / "server").mkdir()
    (tmp_path / "other").mkdir()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path / "server"))
    other, _ = make_certificate(tmp_path / "other")

    def agree(server: socket.socket) -> None:
        # to TLS, as PostgreSQL does, and then the handshake fails
        connection, _ = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(8)
            connection.sendall(b"S")
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        port = server.getsockname()[1]
        agreed = thread.submit(agree, server)
        with pytest.raises(DatabaseDown, match=r"\(self-signed certificate\)"):
            upgrade(f"postgresql://ada@127.0.0.1:{port}/k?sslmode=verify-ca&sslrootcert={other}")
        agreed.result()


def test_no_server_is_said_soon(tmp_path: Path) -> None:
    began = time.monotonic()
    words = r"can't be reached \(connection refused\); see .* KANVAS_DATABASE_URL"
    with pytest.raises(DatabaseDown, match=words):
        upgrade("postgresql://ada@127.0.0.1:1/kanvas")
    assert time.monotonic() - began < PATIENCE_S
    assert list(tmp_path.iterdir()) == []
