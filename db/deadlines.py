"""More time for what is large: a document of 64 MiB on its way to another machine.

Owns: how much longer a transaction may take for its bytes. Does not own: the deadline itself (postgres.py;
SQLite has none). Measured: 64 MiB into PostgreSQL on the same busy machine take 3 s, out of it 0.6 s.
"""

from sqlalchemy import Connection

MORE_TIME = "kanvas_more_time"
"""What connections with a deadline have in their `info`: a function of seconds."""

SLOWEST_BYTES_PER_S = 2 * 1024 * 1024
LARGE_BYTES = 1024 * 1024
"""Less than this is within anybody's deadline."""


def allow_time(connection: Connection, size_bytes: int) -> None:
    """Let this transaction take longer, for so many bytes are about to be sent or fetched."""
    more_time = connection.info.get(MORE_TIME)
    if more_time is None or size_bytes < LARGE_BYTES:
        return
    limit_ms = int(more_time(size_bytes / SLOWEST_BYTES_PER_S) * 1000)
    for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.exec_driver_sql(f"SET LOCAL {name} = {limit_ms}")
