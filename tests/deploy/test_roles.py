"""The role that Kanvas has in PostgreSQL, as compose.yaml and plain-role.sql make it, by the real server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from db.migrate import upgrade
from tests.backends.postgres import BIN, Postgres

DEPLOY = Path(__file__).parents[2] / ".deploy"
SECRET = "it's secret"
OWNED = (
    "SELECT count(*) FILTER (WHERE pg_get_userbyid(relowner) <> 'kanvas') FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace"
)
PLAIN = "SELECT rolsuper, rolbypassrls, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'kanvas'"


class Bare(Postgres):
    """As the image has it: with no role but the superuser."""

    def __init__(self) -> None:
        super().__init__()
        self._has_role = True


@pytest.fixture
def server() -> Iterator[Bare]:
    server = Bare()
    try:
        server.start()
        yield server
    finally:
        server.close()


def psql(server: Postgres, script: Path | str, *, user: str, database: str) -> None:
    at = ["-h", "127.0.0.1", "-p", str(server.port), "-U", user, "-d", database]
    subprocess.run(
        [BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *at],
        input=script if isinstance(script, str) else script.read_text(encoding="utf-8"),
        env={**os.environ, "POSTGRES_PASSWORD": SECRET},
        text=True,
        check=True,
    )


def check(server: Postgres, folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("KANVAS_")}
    env |= {"KANVAS_DATABASE_URL": server.url("kanvas"), "KANVAS_DATA_DIR": str(folder)}
    words = [sys.executable, "-m", "server", "check"]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False).stdout


def test_compose_makes_a_plain_role(server: Bare) -> None:
    """V4: the first start of the container runs this, as its superuser."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    psql(server, compose["configs"]["role"]["content"], user="postgres", database="postgres")
    upgrade(server.url("kanvas"))
    assert server.sql(PLAIN) == "f|f|t"
    assert server.sql("SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'postgres'") == "t"
    assert server.sql("SELECT row_security_active('rooms')", "kanvas", role="kanvas") == "t"


def test_a_superuser_becomes_a_plain_role(server: Bare, tmp_path: Path) -> None:
    """V4: with what is in the database; and the new one can migrate."""
    server.sql("CREATE ROLE setup SUPERUSER LOGIN")
    server.sql("ALTER ROLE postgres RENAME TO kanvas", role="setup")
    server.sql("CREATE DATABASE kanvas", role="kanvas")
    upgrade(server.url("kanvas"))
    assert "BYPASSRLS" in check(server, tmp_path)
    psql(server, DEPLOY / "plain-role.sql", user="kanvas", database="kanvas")
    assert server.sql(PLAIN) == "f|f|t"
    assert server.sql(OWNED, "kanvas") == "0"
    assert server.sql("SELECT row_security_active('rooms')", "kanvas", role="kanvas") == "t"
    assert "BYPASSRLS" not in check(server, tmp_path)
    upgrade(server.url("kanvas"))
