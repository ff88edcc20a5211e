"""The second wall: PostgreSQL's own policies, those of the migrations against the registered ones."""

import os
import subprocess

import pytest
from sqlalchemy import Connection, delete, func, select, update

from db.errors import RowRefused
from db.migrate import run_alone
from db.row_security import statements
from db.scopes import Actor, Scoped, as_user
from db.tables import metadata, room_members, room_updates, rooms
from db.walls import SCOPE, SYSTEM
from tests.backends.postgres import BIN, ROLE, Postgres
from tests.db.test_policies import add_member, make_private
from tests.db.test_postgres_migrate import told

POLICIES = """
SELECT string_agg(line, chr(10) ORDER BY line) FROM (
    SELECT concat_ws(' ', tablename, policyname, permissive, roles, cmd, qual, 'CHECK', with_check) AS line
    FROM pg_policies WHERE schemaname = 'public'
    UNION ALL
    SELECT concat_ws(' ', proname, provolatile, prosrc) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname LIKE 'kanvas%'
    UNION ALL
    SELECT concat_ws(' ', relname, relrowsecurity, relforcerowsecurity) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
) AS lines
"""


def test_the_migrations_build_the_registered_policies(server_url: str, postgres: Postgres) -> None:
    """V4: what the migrations spell out is what db/policies.py says."""
    url = postgres.create()

    def build(connection: Connection) -> None:
        metadata.create_all(connection)
        for statement in statements():
            connection.exec_driver_sql(statement)

    try:
        run_alone(url, build)
        assert told(server_url, POLICIES) == told(url, POLICIES)
    finally:
        postgres.drop(url)
    assert " f f" not in told(server_url, POLICIES)


ROOMS = "SELECT string_agg(id, ',' ORDER BY id) FROM rooms"


@pytest.fixture
async def tenants(server_database: Scoped) -> Scoped:
    """Ada's and Bea's room, which let nobody in."""

    def fill(connection: Connection) -> None:
        for owner in ("ada", "bea"):
            make_private(connection, f"of-{owner}", owner)

    await server_database.write(fill)
    return server_database


def ask(postgres: Postgres, database: Scoped, statement: str, **settings: str) -> str:
    """What Kanvas's own role is told by psql, with these of the settings that say whose eyes it has."""
    said = "".join(f"SET kanvas.\"{name}\" = '{value}'; " for name, value in settings.items())
    return postgres.sql(said + statement, database.url.rpartition("/")[2], role=ROLE)


async def test_a_session_that_says_nothing_sees_nothing(tenants: Scoped, postgres: Postgres) -> None:
    """V4: though the role owns the tables; somebody sees what is theirs, the system all of it."""
    for name in metadata.tables:
        assert ask(postgres, tenants, f"SELECT count(*) FROM {name}") == "0", name
    assert ask(postgres, tenants, ROOMS, user="ada") == "of-ada"
    assert ask(postgres, tenants, ROOMS, user="ada", system="off") == "of-ada"
    assert ask(postgres, tenants, ROOMS, user="", admin="on") == ""
    assert ask(postgres, tenants, ROOMS, user="root", admin="on") == "of-ada,of-bea"
    assert ask(postgres, tenants, ROOMS, system="on") == "of-ada,of-bea"
    assert ask(postgres, tenants, "SELECT count(*) FROM room_heads", user="ada") == "1"
    for name in ("room_updates", "canvas_states", "data_keys", "sign_in_links", "revocations"):
        assert ask(postgres, tenants, f"SELECT count(*) FROM {name}", user="root", admin="on") == "0"


async def test_what_the_first_wall_lets_through_the_second_holds(tenants: Scoped) -> None:
    """V4: a transaction of Ada's whose statements nobody touched."""

    def unwalled(connection: Connection) -> None:
        # as if the library had forgotten them
        connection.info[SCOPE] = SYSTEM
        assert connection.execute(select(rooms.c.id)).scalars().all() == ["of-ada"]
        assert connection.execute(update(rooms).values(title="Mine")).rowcount == 1
        assert connection.execute(delete(room_members)).rowcount == 1
        assert connection.execute(select(func.count()).select_from(room_updates)).scalar_one() == 0

    await as_user(tenants, Actor("ada")).write(unwalled)

    def intrude(connection: Connection) -> None:
        connection.info[SCOPE] = SYSTEM
        add_member(connection, "of-bea", "ada", "owner")

    with pytest.raises(RowRefused):
        await as_user(tenants, Actor("ada")).write(intrude)
    # and the connection, which others use next, is the system's again
    assert await tenants.read(lambda c: c.execute(select(func.count()).select_from(rooms)).scalar_one()) == 2


async def test_a_dump_has_everything(tenants: Scoped, postgres: Postgres) -> None:
    """V4: with what README says; without it pg_dump refuses rather than leave something out."""
    command = [str(BIN / "pg_dump"), "--data-only", "--table=rooms", tenants.url]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "row-level security" in told.stderr
    told = subprocess.run(
        [*command, "--enable-row-security"],
        env={**os.environ, "PGOPTIONS": "-c kanvas.system=on"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "of-ada" in told.stdout
    assert "of-bea" in told.stdout
