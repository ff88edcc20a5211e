"""Whether a database takes writes at all: after a failover its address may lead to a standby for a while."""

from sqlalchemy import Connection, text

_QUESTION = text(
    "SELECT NOT (pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean)"
)


def takes_writes(connection: Connection) -> bool:
    """False on a PostgreSQL that follows another one, or whose operator made it read-only.

    SQLite, which has neither, says so when it is written.
    """
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(_QUESTION).scalar_one())
