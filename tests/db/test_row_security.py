"""The second wall: PostgreSQL's own policies, those of the migrations against the registered ones."""

import os
import subprocess
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Connection, delete, func, select, update

from db.access import find_role
from db.errors import RowRefused
from db.listings import list_rooms
from db.migrate import run_alone
from db.postgres import PostgresDatabase
from db.row_security import statements
from db.scopes import Actor, Scoped, as_system, as_user
from db.tables import metadata, room_members, room_updates, rooms
from db.walls import SCOPE, SYSTEM
from tests.backends.postgres import BIN, ROLE, Postgres
from tests.db.conftest import NOW
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


# As db/postgres_journal.py of the version before 0009 had it.
APPEND_OF_0008 = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int4[], $3::int8[], $4::int8[])
        AS one (room_id, epoch, row_count, basis)
), locked AS MATERIALIZED (
    SELECT head.room_id, wanted.epoch, wanted.row_count
    FROM wanted
    JOIN rooms ON rooms.id = wanted.room_id AND rooms.epoch = wanted.epoch AND rooms.deleted_at IS NULL
    JOIN room_heads AS head ON head.room_id = wanted.room_id AND head.seq <= wanted.basis
    ORDER BY head.room_id
    FOR NO KEY UPDATE OF head SKIP LOCKED
), bumped AS (
    UPDATE room_heads SET seq = room_heads.seq + locked.row_count
    FROM locked WHERE room_heads.room_id = locked.room_id
    RETURNING room_heads.room_id, locked.epoch, room_heads.seq, room_heads.seq - locked.row_count AS before
), stored AS (
    INSERT INTO room_updates (room_id, seq, epoch, user_id, update_bytes, created_at)
    SELECT one.room_id, bumped.before + one.nth, one.epoch, one.user_id, one.update_bytes, $10
    FROM unnest($5::text[], $6::int4[], $7::int8[], $8::text[], $9::bytea[])
        AS one (room_id, epoch, nth, user_id, update_bytes)
    JOIN bumped ON bumped.room_id = one.room_id AND bumped.epoch = one.epoch
)
SELECT wanted.room_id, bumped.seq FROM wanted LEFT JOIN bumped ON bumped.room_id = wanted.room_id
"""
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


async def test_a_process_of_the_version_before_goes_on(tenants: Scoped) -> None:
    """V4: machines are upgraded one after the other (.deploy/README.md), and what is drawn at those that are
    not yet is saved. Their connections say their name, and nothing else of whose they are."""
    driver = await asyncpg.connect(
        tenants.url, server_settings={"application_name": "kanvas", "timezone": "UTC", "jit": "off"}
    )
    try:
        assert await driver.fetchval("SELECT count(*) FROM rooms") == 2
        row = [["of-ada"], [1], [1], [2**62], ["of-ada"], [1], [1], ["ada"], [b"drawn"], NOW]
        (answer,) = await driver.fetch(APPEND_OF_0008, *row)
        assert (answer["room_id"], answer["seq"]) == ("of-ada", 1)
        async with driver.transaction():
            await driver.execute(
                "INSERT INTO users (id, name, created_at, seen_at) VALUES ('cy', 'Cy', $1, $1)", NOW
            )
            await driver.execute(
                "INSERT INTO rooms (id, title, title_folded, visibility, schema, creator_id, epoch,"
                " created_at, updated_at) VALUES ('of-cy', 'Cy', 'cy', 'unlisted', 'open', 'cy', 1, $1, $1)",
                NOW,
            )
            await driver.execute(
                "INSERT INTO room_heads (room_id, seq, checkpoint_seq) VALUES ('of-cy', 0, 0)"
            )
            await driver.execute(
                "INSERT INTO room_participants (room_id, user_id, role, first_seen_at, last_seen_at)"
                " VALUES ('of-cy', 'cy', 'owner', $1, $1), ('of-cy', 'ada', 'editor', $1, $1)",
                NOW,
            )
        assert await driver.execute("DELETE FROM room_updates WHERE room_id = 'of-ada'") == "DELETE 1"
    finally:
        await driver.close()

    def mine(connection: Connection) -> list[str]:
        found = list_rooms(connection, scope="mine", user_id="ada", q=None, before=None, limit=9)
        return [room.id for room in found]

    assert set(await as_user(tenants, Actor("ada")).read(mine)) == {"of-ada", "of-cy"}
    assert await tenants.read(lambda conn: find_role(conn, "of-cy", "cy")) == "owner"
    assert await tenants.read(lambda conn: find_role(conn, "of-cy", "ada")) == "editor"


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


async def test_a_backup_comes_back(tenants: Scoped, postgres: Postgres, tmp_path: Path) -> None:
    """V4: both lines of README, by the role that Kanvas has: all rows, and the walls around them."""
    dump = tmp_path / "kanvas.dump"
    subprocess.run(
        [BIN / "pg_dump", "--enable-row-security", "--format=custom", f"--file={dump}", tenants.url],
        env={**os.environ, "PGOPTIONS": "-c kanvas.system=on"},
        check=True,
    )
    url = postgres.create()
    try:
        subprocess.run([BIN / "pg_restore", "--no-owner", f"--dbname={url}", dump], check=True)
        assert told(url, POLICIES) == told(tenants.url, POLICIES)
        async with PostgresDatabase(url) as database:
            here = as_user(database, Actor("ada"))
            found = await here.read(lambda conn: conn.execute(select(rooms.c.id)).scalars().all())
            assert found == ["of-ada"]
            counted = select(func.count()).select_from(room_members)
            assert await as_system(database).read(lambda conn: conn.execute(counted).scalar_one()) == 2
    finally:
        postgres.drop(url)
