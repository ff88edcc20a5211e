"""The second wall: PostgreSQL's own policies, those of the migrations against the registered ones."""

import pytest
from sqlalchemy import Connection, insert, select, update

from db.errors import RowRefused
from db.migrate import run_alone
from db.row_security import statements
from db.rooms import insert_room
from db.scopes import Actor, Scoped, as_user
from db.tables import metadata, room_members, rooms, users
from party.errors import Unavailable
from tests.backends.postgres import Postgres
from tests.db.conftest import NOW, make_room
from tests.db.test_postgres_migrate import told

POLICIES = """
SELECT string_agg(line, chr(10) ORDER BY line) FROM (
    SELECT concat_ws(' ', tablename, policyname, permissive, roles, cmd, qual, 'CHECK', with_check) AS line
    FROM pg_policies WHERE schemaname = 'public'
    UNION ALL
    SELECT concat_ws(' ', proname, provolatile, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        AND proname LIKE 'kanvas%'
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
