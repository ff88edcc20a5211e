"""Runs migrations. Kanvas itself calls it through db.migrate; by hand:

alembic -x url=sqlite:////absolute/path/kanvas.db upgrade head
"""

import sqlalchemy as sa
from alembic import context

from db.migrate import run_alone
from db.tables import metadata

OTHER_COLLATIONS = """
SELECT relname, attname FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
  AND attnum > 0 AND NOT attisdropped AND attcollation NOT IN (0, '"C"'::regcollation)
ORDER BY relname, attnum
"""


def run() -> None:
    if context.is_offline_mode():
        raise SystemExit("Migrations look at the database, so there is no --sql mode; run them on a copy.")
    arguments = context.get_x_argument(as_dictionary=True)
    url = context.config.attributes.get("url") or arguments.get("url")
    if not url:
        raise SystemExit("Which database? alembic -x url=sqlite:////absolute/path/kanvas.db ...")
    run_alone(url, migrate)


def migrate(connection: sa.Connection) -> None:
    # One transaction around everything, the look at the present revision included: whoever comes second
    # waits at its start and finds nothing left to do.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    context.run_migrations()
    if connection.dialect.name == "sqlite":
        # Off while tables are rebuilt (dropping the old copy would cascade), so looked at once at the end.
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise RuntimeError(f"the migration leaves {broken[0]} pointing to nothing in {broken[2]}")
    else:
        sort_by_bytes(connection)


def sort_by_bytes(connection: sa.Connection) -> None:
    """Text compares by its bytes whatever the language of the database, as SQLite's does: ids are in cursors,
    and an index outlives the next release of the system's own collations."""
    for table, column in connection.exec_driver_sql(OTHER_COLLATIONS).all():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE text COLLATE "C"')


run()
