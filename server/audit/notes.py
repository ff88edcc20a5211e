"""What an entry is written by, for services that have transactions of their own. Owns: its type."""

from collections.abc import Callable

from sqlalchemy import Connection

Note = Callable[[Connection], None]
"""Called at the end of the transaction of what it tells of."""


def note_nothing(connection: Connection) -> None:
    """For who acts without a person: tests, and the server itself."""
