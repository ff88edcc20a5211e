"""Data keys as rows: which there are, which is in use, what is under each.

Owns: `data_keys`. Does not own: what is in them (server/vault), reading them (cipher.py), sealed rows
(rekeying.py). Keeps rules Z3, Z4, Z7.
"""

from datetime import datetime

from sqlalchemy import Connection, delete, update

from db.cipher import DataKey, list_keys
from db.locks import lock_keys
from db.tables import data_keys
from db.upsert import insert_into


def insert_first_key(connection: Connection, key: DataKey) -> list[DataKey]:
    """Make it the key in use if there is no key at all, not even a retired one; returns all there are."""
    lock_keys(connection)
    if not list_keys(connection):
        _insert(connection, key)
    return list_keys(connection)


def change_key(connection: Connection, key: DataKey | None, now: datetime) -> list[DataKey]:
    """Retire what is in use, and use this one from now on; None: new bytes stay plain. Returns all keys."""
    lock_keys(connection)
    connection.execute(update(data_keys).where(data_keys.c.retired_at.is_(None)).values(retired_at=now))
    if key is not None:
        _insert(connection, key)
    return list_keys(connection)


def delete_key(connection: Connection, key_id: str) -> bool:
    """Forget a retired key for good; False when it is in use or not there."""
    gone = connection.execute(
        delete(data_keys).where(data_keys.c.id == key_id, data_keys.c.retired_at.is_not(None))
    )
    return bool(gone.rowcount)


def await_writers(connection: Connection) -> None:
    """Return when no append that saw an earlier state of `data_keys` is under way any more (Z4).

    An append decides by one statement, which holds a lock on the table from before its snapshot to its end:
    who gets this lock has seen them all end. SQLite has one writer at a time. Call it alone in a transaction.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE room_updates IN SHARE MODE")


def _insert(connection: Connection, key: DataKey) -> None:
    connection.execute(insert_into(connection, data_keys).values(key._asdict()))
