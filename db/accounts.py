"""Queries on accounts: who signs in by e-mail, with which links, and who is an operator.

Owns: `sign_in_links`, and of `users` the e-mail address, the operator's mark and the aliases. Does not own:
names and when somebody was seen (users.py), what a guest brings along (adoption.py), tokens.

A link is taken by one statement, so that of two who come with it one gets in. Addresses are folded by who
calls (server/mail/addresses.py). Keeps rules T1, T2, T3.
"""

# ruff: noqa: A002 - a user's id is `id` everywhere

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from db.tables import invitations, sign_in_links, users
from db.upsert import insert_into
from db.users import User, find_user


@dataclass(frozen=True, slots=True)
class SignInLink:
    """What a link stands for: whose mailbox it was sent to, the guest who asked, where to go on."""

    email: str
    guest_id: str | None
    next_path: str


def put_link(
    connection: Connection,
    *,
    token_hash: bytes,
    email: str,
    guest_id: str | None,
    next_path: str,
    now: datetime,
    expires_at: datetime,
) -> None:
    """Remember a link that is about to be mailed."""
    connection.execute(
        sign_in_links.insert().values(
            token_hash=token_hash,
            email=email,
            guest_id=guest_id,
            next_path=next_path,
            created_at=now,
            expires_at=expires_at,
        )
    )


def take_link(connection: Connection, token_hash: bytes, now: datetime) -> SignInLink | None:
    """The link, used up by this; None when there is none, it is used already or too old."""
    row = connection.execute(
        update(sign_in_links)
        .where(
            sign_in_links.c.token_hash == token_hash,
            sign_in_links.c.used_at.is_(None),
            sign_in_links.c.expires_at > now,
        )
        .values(used_at=now)
        .returning(sign_in_links.c.email, sign_in_links.c.guest_id, sign_in_links.c.next_path)
    ).one_or_none()
    return None if row is None else SignInLink(row.email, row.guest_id, row.next_path)


def purge_links(connection: Connection, now: datetime) -> int:
    """Forget the links that open nothing any more; how many."""
    return connection.execute(delete(sign_in_links).where(sign_in_links.c.expires_at <= now)).rowcount


def find_by_email(connection: Connection, email: str) -> User | None:
    """Whose address it is."""
    user_id = connection.execute(select(users.c.id).where(users.c.email == email)).scalar_one_or_none()
    return None if user_id is None else find_user(connection, user_id)


def put_account(connection: Connection, *, id: str, email: str, name: str, now: datetime) -> User:
    """Who has this address; a new account with this id and name where nobody has. Marks it seen at `now`.

    Two at once get the same one.
    """
    statement = insert_into(connection, users).values(
        id=id, name=name, email=email, created_at=now, seen_at=now
    )
    connection.execute(statement.on_conflict_do_update(index_elements=[users.c.email], set_={"seen_at": now}))
    found = find_by_email(connection, email)
    assert found is not None  # noqa: S101 - it was put there a moment ago
    return found


def is_known_email(connection: Connection, email: str, now: datetime) -> bool:
    """Whether somebody signs in with this address, or is invited by it."""
    invited = select(invitations.c.id).where(
        invitations.c.email == email, invitations.c.closed_as.is_(None), invitations.c.expires_at > now
    )
    if connection.execute(select(users.c.id).where(users.c.email == email)).first() is not None:
        return True
    return connection.execute(invited.limit(1)).first() is not None


def list_aliases(connection: Connection, user_id: str) -> frozenset[str]:
    """The guests that became this account: what is theirs is the account's."""
    return frozenset(connection.execute(select(users.c.id).where(users.c.alias_of == user_id)).scalars())


# -- operators ------------------------------------------------------------------------------------------


def set_admin(connection: Connection, user_id: str, *, is_admin: bool) -> bool:
    """Make somebody an operator, or not any more; False when nothing changed."""
    changed = update(users).where(users.c.id == user_id, users.c.is_admin.is_not(is_admin))
    return connection.execute(changed.values(is_admin=is_admin)).rowcount > 0


def list_admins(connection: Connection) -> list[User]:
    """The operators that were made so here, in the order of their ids."""
    found = connection.execute(select(users.c.id).where(users.c.is_admin.is_(True)).order_by(users.c.id))
    return [user for one in found.scalars() if (user := find_user(connection, one)) is not None]


def list_admin_ids(connection: Connection) -> frozenset[str]:
    """Their ids. One look into an index of its own."""
    return frozenset(connection.execute(select(users.c.id).where(users.c.is_admin.is_(True))).scalars())


def find_named(connection: Connection, email_or_id: str) -> User | None:
    """Somebody by their id, or by their folded address."""
    return find_user(connection, email_or_id) or find_by_email(connection, email_or_id)
