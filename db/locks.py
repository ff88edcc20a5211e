"""Locks on what has no row of its own. Owns: their names.

On SQLite a writer is alone, so nothing is locked there. On PostgreSQL a lock is held to the end of the
transaction. Rule: who takes several takes rooms first (their rows), then users, each in the order of their
ids. Source: postgresql.org/docs/current/explicit-locking.html section 13.3.5.
"""

from sqlalchemy import BigInteger, Connection, Text, bindparam, func, select

_LOCK = select(
    func.pg_advisory_xact_lock(
        func.hashtextextended(bindparam("name", type_=Text), bindparam("seed", 0, type_=BigInteger))
    )
)


def lock_user(connection: Connection, user_id: str) -> None:
    """Nobody else counts what this user has stored; waits. Two users may share a lock, which does no harm."""
    _lock(connection, f"user:{user_id}")


def lock_mailbox(connection: Connection, email: str) -> None:
    """Nobody else counts what is mailed to this address; waits."""
    _lock(connection, f"mailbox:{email}")


def lock_answer(connection: Connection, user_id: str, key: str) -> None:
    """Nobody else is at the request of this Idempotency-Key; waits."""
    _lock(connection, f"answer:{user_id}:{key}")


def lock_keys(connection: Connection) -> None:
    """Nobody else changes which data key is in use; waits."""
    _lock(connection, "data keys")


def _lock(connection: Connection, name: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK, {"name": name})
