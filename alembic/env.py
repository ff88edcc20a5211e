"""Runs migrations. Kanvas itself calls it through db.migrate; by hand:

alembic -x url=sqlite:////absolute/path/kanvas.db upgrade head
"""

from alembic import context

from db.migrate import migration_engine
from db.tables import metadata


def run() -> None:
    if context.is_offline_mode():
        raise SystemExit("Migrations look at the database, so there is no --sql mode; run them on a copy.")
    arguments = context.get_x_argument(as_dictionary=True)
    url = context.config.attributes.get("url") or arguments.get("url")
    if not url:
        raise SystemExit("Which database? alembic -x url=sqlite:////absolute/path/kanvas.db ...")
    engine = migration_engine(url)
    with engine.connect() as connection, connection.begin():
        # One transaction around everything, the look at the present revision included: whoever comes second
        # waits at its start and finds nothing left to do.
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_as_batch=True,
        )
        context.run_migrations()
        # Off while tables are rebuilt (dropping the old copy would cascade), so looked at once at the end.
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise RuntimeError(f"the migration leaves {broken[0]} pointing to nothing in {broken[2]}")


run()
