"""`kanvas admin`: who is an operator, straight in the database; the server need not run.

Owns: the words. Does not own: the commands' options (cli.py), the marks (db/accounts.py). Keeps T10, T11.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from sqlalchemy import Connection
from ulid import ULID

from db.accounts import find_named, list_admins, put_account, set_admin
from db.audit import OPERATOR, Event, append
from db.revocations import put_user_until
from db.scopes import as_system
from db.sessions import remove_sessions
from db.users import User
from party.errors import Conflict
from server.accounts.errors import AccountNotFound
from server.direct import open_direct
from server.mail.addresses import fold_email, name_of_email
from server.settings import Settings

T = TypeVar("T")


def grant(settings: Settings, who: str) -> str:
    """Make somebody an operator. Raises AccountNotFound, Conflict, Unavailable."""
    email = _email(who)

    def work(connection: Connection) -> str:
        now = datetime.now(UTC)
        user = find_named(connection, email or who)
        if user is None:
            if email is None:
                raise AccountNotFound
            new_id = str(ULID()).lower()
            user = put_account(connection, id=new_id, email=email, name=name_of_email(email), now=now)
        if user.is_guest or user.alias_of is not None:
            raise Conflict("This is a guest, whom nobody but a browser knows; let them sign in first.")
        if not set_admin(connection, user.id, is_admin=True):
            return f"{_line(user)} is an operator already."
        _note(connection, "admin.grant", user, now)
        return f"{_line(user)} is an operator now."

    return asyncio.run(_write(settings, work))


def revoke(settings: Settings, who: str) -> str:
    """Take it back, and end all their sessions. Raises AccountNotFound, Unavailable."""

    def work(connection: Connection) -> str:
        now = datetime.now(UTC)
        user = find_named(connection, _email(who) or who)
        if user is None:
            raise AccountNotFound
        if not set_admin(connection, user.id, is_admin=False):
            return f"{_line(user)} was not made an operator here."
        put_user_until(connection, user.id, now)
        remove_sessions(connection, user.id, now)
        _note(connection, "admin.revoke", user, now)
        return f"{_line(user)} is no operator any more; all sessions were ended."

    return asyncio.run(_write(settings, work))


def show(settings: Settings) -> list[str]:
    """A line for each operator. Raises Unavailable."""
    lines = [_line(user) for user in asyncio.run(_write(settings, list_admins))]
    return lines or ["Nobody yet. To make somebody one: kanvas admin grant EMAIL"]


async def _write(settings: Settings, work: Callable[[Connection], T]) -> T:
    async with open_direct(settings) as database:
        return await as_system(database).write(work)


def _email(who: str) -> str | None:
    """The folded address; None for what is none, and then an id."""
    try:
        return fold_email(who)
    except ValueError:
        return None


def _note(connection: Connection, action: str, user: User, now: datetime) -> None:
    append(connection, Event(now, *OPERATOR, action, target=user.id))


def _line(user: User) -> str:
    return f"{user.id}  {user.name}" + (f" <{user.email}>" if user.email else "")
