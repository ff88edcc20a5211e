"""A guest becomes an account: what the guest made and may do is the account's from then on.

Owns: moving it, in one transaction. Does not own: ending the guest's tokens (revocations.py), who may do this
(server/accounts). Keeps rules T4, T5.

What is history stays as it was written: the journal, the audit log and whose Yjs client ids are whose name
the guest, and `users.alias_of` says who that is. Doing it again moves what came in late, and nothing else.
Where both have a role in a room the higher one stays; the account is then the one the role is of. The guest's
personal tokens end: whoever sat at that browser before may have one, and it would speak for the account.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Select, Table, delete, or_, select, update

from db.members import Seat, raise_seat
from db.personal_tokens import revoke_tokens_of
from db.tables import (
    assets,
    comment_mentions,
    comment_reads,
    comment_threads,
    comments,
    invitations,
    jobs,
    personal_tokens,
    room_exclusions,
    room_members,
    room_participants,
    rooms,
    share_links,
    uploads,
    user_sessions,
    users,
)

PLAIN: Final[tuple[Column[Any], ...]] = (
    rooms.c.creator_id,
    uploads.c.user_id,
    assets.c.user_id,
    personal_tokens.c.user_id,
    invitations.c.user_id,
    invitations.c.invited_by,
    room_members.c.invited_by,
    share_links.c.created_by,
)
"""Columns that name somebody, in tables where one may be named any number of times."""

WRITTEN: Final[tuple[tuple[Column[Any], Column[Any]], ...]] = (
    (comments.c.author_id, comments.c.thread_id),
    (comment_threads.c.created_by, comment_threads.c.id),
    (comment_threads.c.resolved_by, comment_threads.c.id),
)
"""The same of comments, and of which thread each is: whoever writes or resolves has read it (X4), and what
somebody has read is found without a look at all comments there are, while edits wait for the writer."""


def adopt(connection: Connection, guest_id: str, account_id: str, now: datetime) -> bool:
    """Make the guest an alias of the account; True when it is one now, be it from before.

    False for who is no guest, has an address to sign in with, became another account, or is the account
    itself: then nothing is done.
    """
    # in one order for all, so that two at once wait for each other and not in a circle: rooms, then users
    theirs = select(rooms.c.id).where(
        rooms.c.id.in_(_of(room_members.c.room_id, room_members.c.user_id, guest_id))
    )
    connection.execute(theirs.order_by(rooms.c.id).with_for_update(key_share=True))
    pair = select(users).where(users.c.id.in_(sorted({guest_id, account_id}))).order_by(users.c.id)
    found = {row.id: row for row in connection.execute(pair.with_for_update(key_share=True))}
    guest, account = found.get(guest_id), found.get(account_id)
    if guest is None or account is None or guest_id == account_id or account.alias_of is not None:
        return False
    if guest.email is not None or guest.alias_of not in (None, account_id):
        return False
    connection.execute(
        update(users)
        .where(or_(users.c.id == guest_id, users.c.alias_of == guest_id))
        .values(alias_of=account_id)
    )
    _move(connection, guest_id, account_id, now)
    return True


def _move(connection: Connection, guest_id: str, account_id: str, now: datetime) -> None:
    # before they are moved: the account's own go on
    revoke_tokens_of(connection, guest_id, now)
    _move_members(connection, guest_id, account_id, now)
    for column in PLAIN:
        connection.execute(update(column.table).where(column == guest_id).values({column.name: account_id}))
    read = _of(comment_reads.c.thread_id, comment_reads.c.user_id, guest_id)
    for column, thread_id in WRITTEN:
        mine = update(column.table).where(thread_id.in_(read), column == guest_id)
        connection.execute(mine.values({column.name: account_id}))
    connection.execute(
        update(jobs).where(jobs.c.user_id == guest_id, jobs.c.state == "queued").values(user_id=account_id)
    )
    _fold(
        connection,
        room_participants,
        "room_id",
        guest_id,
        account_id,
        least="first_seen_at",
        most="last_seen_at",
    )
    _fold(connection, comment_reads, "thread_id", guest_id, account_id, most="read_at")
    _fold(connection, comment_mentions, "comment_id", guest_id, account_id)
    # who is kept out of a room does not come back by signing in
    _fold(connection, room_exclusions, "room_id", guest_id, account_id, most="until")
    connection.execute(delete(user_sessions).where(user_sessions.c.user_id == guest_id))


def _move_members(connection: Connection, guest_id: str, account_id: str, now: datetime) -> None:
    m = room_members
    own = connection.execute(
        select(m).where(m.c.user_id == guest_id).order_by(m.c.room_id).with_for_update()
    ).all()
    if not own:
        return
    held = {
        row.room_id: row
        for row in connection.execute(
            select(m)
            .where(m.c.user_id == account_id, m.c.room_id.in_(_of(m.c.room_id, m.c.user_id, guest_id)))
            .order_by(m.c.room_id)
            .with_for_update()
        )
    }
    # before they are moved: it is they whose rooms everybody looks at again
    connection.execute(
        update(rooms).where(rooms.c.id.in_(_of(m.c.room_id, m.c.user_id, guest_id))).values(access_at=now)
    )
    for row in own:
        other = held.get(row.room_id)
        if other is None:
            continue
        # first, for a room has one owner
        connection.execute(delete(m).where(m.c.room_id == row.room_id, m.c.user_id == guest_id))
        seat = _join(_seat(row), _seat(other))
        if seat != _seat(other):
            connection.execute(
                update(m)
                .where(m.c.room_id == row.room_id, m.c.user_id == account_id)
                .values(role=seat.role, link_id=seat.link_id, own_role=seat.own_role)
            )
    connection.execute(update(m).where(m.c.user_id == guest_id).values(user_id=account_id))


def _seat(row: Row[*tuple[object, ...]]) -> Seat:
    return Seat(row.role, row.link_id, row.own_role)


def _join(guests: Seat, accounts: Seat) -> Seat:
    """What the account has of both: as if all that the guest was given were given to it now."""
    if guests.link_id is None:
        return raise_seat(accounts, guests.role, None)
    if guests.own_role is not None:
        accounts = raise_seat(accounts, guests.own_role, None)
    return raise_seat(accounts, guests.role, guests.link_id)


def _of(key: Column[Any], user: Column[Any], user_id: str) -> Select[tuple[str]]:
    return select(key).where(user == user_id)


def _fold(
    connection: Connection,
    table: Table,
    name: str,
    guest_id: str,
    account_id: str,
    *,
    least: str | None = None,
    most: str | None = None,
) -> None:
    """Move rows of which each user has at most one for each value of the column `name`.

    Where both have one the account's stays, with the earlier time in the column `least` and the later one in
    `most`.
    """
    own, held = table.alias("own"), table.alias("held")
    times = [one for one in (least, most) if one is not None]
    both = connection.execute(
        select(own.c[name], *(one.c[time] for time in times for one in (own, held)))
        .join(held, held.c[name] == own.c[name])
        .where(own.c.user_id == guest_id, held.c.user_id == account_id)
        .order_by(own.c[name])
    ).all()
    for row in both:
        key, told = row[0], list(row[1:])
        joined = {
            time: (min if time == least else max)(told[2 * at : 2 * at + 2]) for at, time in enumerate(times)
        }
        connection.execute(delete(table).where(table.c[name] == key, table.c.user_id == guest_id))
        if joined:
            connection.execute(
                update(table).where(table.c[name] == key, table.c.user_id == account_id).values(joined)
            )
    connection.execute(update(table).where(table.c.user_id == guest_id).values(user_id=account_id))
