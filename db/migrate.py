"""Brings a database to the tables this version of Kanvas expects.

Owns: finding the migration scripts, knowing whether there is anything to do, running them one process at a
time. Does not own: the scripts (alembic/versions) or how they run (alembic/env.py).

Rules kept: a database already at its head is left alone, without loading Alembic (0.4 s of a start); of
processes that start at once one migrates and the others wait for it; a migration happens entirely or not at
all. PostgreSQL's side of the last three is in postgres_migrate.py.
"""

import ast
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection

from db.errors import NewerDatabase
from db.postgres_url import is_postgres
from db.sqlite import sqlite_engine, sqlite_path, translate
from party.errors import Unavailable

OTHERS_DEADLINE_S = 120.0
"""How long to wait for another process's migration."""


def upgrade(url: str, revision: str = "head") -> None:
    """Make the database (created if need be) the one of `revision`. Blocks; does nothing if it already is.

    Raises Invalid (not a URL we know), NewerDatabase, Unavailable; then nothing is changed.
    """
    found = _known_revision(url)
    if revision == "head" and found == head_revision():
        return
    _run(url, revision, up=True)


def downgrade(url: str, revision: str) -> None:
    """Go back to `revision` ("base": no tables), losing what the older tables can't hold.

    Raises as upgrade does.
    """
    if _known_revision(url) is None:
        raise Unavailable("The database has no tables, so there is nothing to go back from.")
    _run(url, revision, up=False)


def current_revision(url: str) -> str | None:
    """The revision the database is at; None for no file or one never migrated. Raises Unavailable."""
    if is_postgres(url):
        from db import postgres_migrate  # noqa: PLC0415 - its driver is imported by who uses it only

        return postgres_migrate.current_revision(url)
    path = sqlite_path(url)
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path)) as connection:
            tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'")
            if tables.fetchone() is None:
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])
    except sqlite3.Error as error:
        raise translate(error) from error


def _known_revision(url: str) -> str | None:
    found = current_revision(url)
    if found is not None and found not in _revisions():
        raise NewerDatabase
    return found


def head_revision() -> str:
    """The revision this version of Kanvas expects."""
    revisions = _revisions()
    (head,) = set(revisions) - set(revisions.values())
    return head


def run_alone(url: str, work: Callable[[Connection], None]) -> None:
    """Run `work` in a transaction that is the only one of its kind among all processes, or waits for that.

    Foreign keys of SQLite are off: rebuilding a table drops the old one, which would cascade.
    """
    if is_postgres(url):
        from db import postgres_migrate  # noqa: PLC0415

        postgres_migrate.run_alone(url, work, deadline_s=OTHERS_DEADLINE_S)
        return
    engine = sqlite_engine(
        sqlite_path(url), begin="BEGIN IMMEDIATE", foreign_keys=False, busy_s=OTHERS_DEADLINE_S
    )
    with engine.connect() as connection, connection.begin():
        work(connection)


def script_folder() -> Path:
    """db/migrations in an installed wheel, alembic/ beside db/ in the repository."""
    here = Path(__file__).resolve().parent
    installed = here / "migrations"
    return installed if installed.is_dir() else here.parent / "alembic"


def _revisions() -> dict[str, str | None]:
    """Each revision and the one before it, read from the scripts without running them."""
    found: dict[str, str | None] = {}
    for script in sorted((script_folder() / "versions").glob("*.py")):
        values: dict[str, object] = {}
        for statement in ast.parse(script.read_text("utf-8")).body:
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
                names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
                values |= dict.fromkeys(names, statement.value.value)
        before = values["down_revision"]
        found[str(values["revision"])] = None if before is None else str(before)
    return found


def _run(url: str, revision: str, *, up: bool) -> None:
    from alembic import command  # noqa: PLC0415 - most starts need no migration
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(script_folder()).replace("%", "%%"))
    config.attributes["url"] = url
    try:
        (command.upgrade if up else command.downgrade)(config, revision)
    except CommandError as error:
        raise Unavailable(f"The database can't be migrated: {error}.") from error
    except Exception as error:
        translated = translate(error)
        if translated is error:
            raise
        raise translated from error
