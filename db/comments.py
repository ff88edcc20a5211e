"""Queries on comments: threads pinned to a drawing, what is written in them, and what somebody has read.

Owns: `comment_threads`, `comments`, `comment_reads`, and the mentions as part of a comment. Does not own:
who may write (the edge), who may be mentioned and where somebody was (mentions.py), telling others (the
edge).

Rules kept: every change of a room's threads takes the next revision of the room, and whoever changes holds
the room (`get_access(..., is_to_change=True)`), so that who has read up to a revision misses nothing below
it; the times of one thread's comments only grow, whatever the clocks of several processes say; what is
removed leaves no word behind, only the note that it is gone.
"""

# ruff: noqa: A002 - a thread's id is `id` everywhere

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlalchemy import Connection, Row, Select, and_, delete, func, or_, select, update

from db.tables import comment_mentions, comment_reads, comment_threads, comments, users
from db.upsert import insert_into

State = Literal["open", "resolved", "all"]

PAGE_COMMENTS: Final = 300
"""A page of threads ends before it has more comments than this; one thread is always in it."""

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote or did something, with the present name."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment. Times are aware, in UTC; `mentions` are user ids in order."""

    id: str
    author: Author
    body: str
    created_at: datetime
    edited_at: datetime | None
    mentions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewComment:
    """What somebody writes."""

    id: str
    author_id: str
    body: str
    mentions: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread with its comments, oldest first; a removed one has none. Times are aware, in UTC."""

    id: str
    room_id: str
    x: float | None
    y: float | None
    element_id: str | None
    created_by: Author
    created_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    resolved_by: Author | None
    is_deleted: bool
    revision: int
    comments: tuple[Comment, ...]

    def is_unread(self, user_id: str, read_at: datetime | None) -> bool:
        """Whether others wrote something in it after `read_at` (None: never looked at)."""
        return any(
            one.author.id != user_id and (read_at is None or one.created_at > read_at)
            for one in self.comments
        )


# -- reading ------------------------------------------------------------------------------------


def find_revision(connection: Connection, room_id: str) -> int:
    """Of the last change of the room's threads; 0 before the first."""
    t = comment_threads
    last: int | None = connection.execute(
        select(func.max(t.c.revision)).where(t.c.room_id == room_id)
    ).scalar_one()
    return last or 0


def list_threads(
    connection: Connection, room_id: str, *, after: int, state: State, limit: int
) -> tuple[list[Thread], bool]:
    """The threads that changed after this revision, in that order, and whether there are more.

    At most `limit`, and fewer where they hold many comments. Removed ones are told only to who asks for what
    changed (`after` > 0).
    """
    t = comment_threads
    statement = _select_threads().where(t.c.room_id == room_id, t.c.revision > after)
    if after == 0:
        statement = statement.where(t.c.deleted_at.is_(None))
    if state != "all":
        wanted = t.c.resolved_at.is_(None) if state == "open" else t.c.resolved_at.is_not(None)
        # who follows one state is told what was removed from it
        statement = statement.where(or_(wanted, t.c.deleted_at.is_not(None)))
    rows = connection.execute(statement.order_by(t.c.revision).limit(limit + 1)).all()
    page = _that_fit(connection, rows[:limit])
    return _with_comments(connection, page), len(rows) > len(page)


def find_threads(connection: Connection, room_id: str, ids: Collection[str]) -> list[Thread]:
    """Those of these threads that the room has, removed ones too, in the order of their revisions."""
    t = comment_threads
    rows = connection.execute(
        _select_threads().where(t.c.room_id == room_id, t.c.id.in_(ids)).order_by(t.c.revision)
    ).all()
    return _with_comments(connection, rows)


def find_thread(connection: Connection, room_id: str, id: str) -> Thread | None:
    """The thread, unless it was removed."""
    found = find_threads(connection, room_id, [id])
    return found[0] if found and not found[0].is_deleted else None


def count_threads(connection: Connection, room_id: str) -> int:
    """How many the room has, those removed lately too."""
    t = comment_threads
    return connection.execute(select(func.count()).where(t.c.room_id == room_id)).scalar_one()


def find_reads(
    connection: Connection, room_id: str, user_id: str, ids: Collection[str]
) -> dict[str, datetime]:
    """Up to when the user has read those of these threads that they have looked at."""
    r = comment_reads
    rows = connection.execute(
        select(r.c.thread_id, r.c.read_at).where(
            r.c.room_id == room_id, r.c.user_id == user_id, r.c.thread_id.in_(ids)
        )
    )
    return {row.thread_id: row.read_at for row in rows}


# -- writing; the room is held by the caller ------------------------------------------------------


def insert_thread(
    connection: Connection,
    room_id: str,
    *,
    id: str,
    x: float | None,
    y: float | None,
    element_id: str | None,
    first: NewComment,
    now: datetime,
) -> None:
    """Begin a thread with its first comment."""
    connection.execute(
        comment_threads.insert().values(
            id=id,
            room_id=room_id,
            x=x,
            y=y,
            element_id=element_id,
            created_by=first.author_id,
            created_at=now,
            updated_at=now,
            revision=find_revision(connection, room_id) + 1,
        )
    )
    _write(connection, room_id, id, first, now)


def insert_reply(connection: Connection, thread: Thread, reply: NewComment, now: datetime) -> None:
    """Write into a thread, which opens it again."""
    last = thread.comments[-1].created_at
    at = now if last < now else last + _TICK
    _write(connection, thread.room_id, thread.id, reply, at)
    _touch(connection, thread, at, resolved_at=None, resolved_by=None)


def _write(connection: Connection, room_id: str, thread_id: str, new: NewComment, at: datetime) -> None:
    connection.execute(
        comments.insert().values(
            id=new.id,
            thread_id=thread_id,
            room_id=room_id,
            author_id=new.author_id,
            body=new.body,
            created_at=at,
        )
    )
    _put_mentions(connection, room_id, new.id, new.mentions)
    # whoever writes has read what is above
    mark_read(connection, room_id, thread_id, new.author_id, at)


def update_comment(
    connection: Connection, thread: Thread, id: str, *, body: str, mentions: Sequence[str], now: datetime
) -> None:
    """Replace what a comment says and whom it mentions."""
    connection.execute(update(comments).where(comments.c.id == id).values(body=body, edited_at=now))
    connection.execute(delete(comment_mentions).where(comment_mentions.c.comment_id == id))
    _put_mentions(connection, thread.room_id, id, mentions)
    _touch(connection, thread, now)


def delete_comment(connection: Connection, thread: Thread, id: str, now: datetime) -> None:
    """Remove one comment; the thread goes with its last."""
    if len(thread.comments) == 1:
        delete_thread(connection, thread, now)
    else:
        _empty(connection, [id], now)
        _touch(connection, thread, now)


def delete_thread(connection: Connection, thread: Thread, now: datetime) -> None:
    """Remove a thread and all that was written in it."""
    _empty(connection, [one.id for one in thread.comments], now)
    connection.execute(
        update(comment_threads)
        .where(comment_threads.c.id == thread.id)
        .values(
            deleted_at=now,
            updated_at=now,
            revision=find_revision(connection, thread.room_id) + 1,
        )
    )


def resolve_thread(connection: Connection, thread: Thread, by: str, now: datetime) -> None:
    """Say that it is settled; who says so has read it."""
    _touch(connection, thread, now, resolved_at=now, resolved_by=by)
    mark_read(connection, thread.room_id, thread.id, by, thread.comments[-1].created_at)


def reopen_thread(connection: Connection, thread: Thread, now: datetime) -> None:
    """It is not settled after all."""
    _touch(connection, thread, now, resolved_at=None, resolved_by=None)


def move_thread(
    connection: Connection,
    thread: Thread,
    *,
    x: float | None,
    y: float | None,
    element_id: str | None,
    now: datetime,
) -> None:
    """Pin it elsewhere."""
    _touch(connection, thread, now, x=x, y=y, element_id=element_id)


def mark_read(connection: Connection, room_id: str, thread_id: str, user_id: str, at: datetime) -> None:
    """The user has read the thread up to this time; an earlier one changes nothing."""
    r = comment_reads
    statement = insert_into(connection, r).values(
        thread_id=thread_id, user_id=user_id, room_id=room_id, read_at=at
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[r.c.thread_id, r.c.user_id], set_={"read_at": at}, where=r.c.read_at < at
        )
    )


# -- people and time ----------------------------------------------------------------------------


def purge_threads(connection: Connection, before: datetime, limit: int) -> int:
    """Forget threads that were removed before this; how many, at most `limit`.

    A room's last change stays, for the next one counts on from it.
    """
    t, last = comment_threads, comment_threads.alias("last")
    newest = select(func.max(last.c.revision)).where(last.c.room_id == t.c.room_id).scalar_subquery()
    gone = select(t.c.id).where(t.c.deleted_at < before, t.c.revision < newest).limit(limit)
    return connection.execute(delete(t).where(t.c.id.in_(gone))).rowcount


# -- parts --------------------------------------------------------------------------------------

_creator = users.alias("creator")
_resolver = users.alias("resolver")


def _select_threads() -> Select[tuple[object, ...]]:
    t = comment_threads
    return (
        select(t, _creator.c.name.label("creator_name"), _resolver.c.name.label("resolver_name"))
        .outerjoin(_creator, _creator.c.id == t.c.created_by)
        .outerjoin(_resolver, _resolver.c.id == t.c.resolved_by)
    )


def _that_fit(
    connection: Connection, rows: Sequence[Row[tuple[object, ...]]]
) -> Sequence[Row[tuple[object, ...]]]:
    counts: dict[str, int] = {}
    for thread_id, number_of in connection.execute(
        select(comments.c.thread_id, func.count())
        .where(comments.c.thread_id.in_([row.id for row in rows]), comments.c.deleted_at.is_(None))
        .group_by(comments.c.thread_id)
    ):
        counts[thread_id] = number_of
    total = 0
    for number, row in enumerate(rows):
        total += counts.get(row.id, 0)
        if total > PAGE_COMMENTS and number > 0:
            return rows[:number]
    return rows


def _with_comments(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> list[Thread]:
    ids = [row.id for row in rows]
    m = comment_mentions
    mentioned: dict[str, list[str]] = {}
    for row in connection.execute(
        select(m.c.comment_id, m.c.user_id)
        .join(comments, comments.c.id == m.c.comment_id)
        .where(comments.c.thread_id.in_(ids))
        .order_by(m.c.comment_id, m.c.user_id)
    ):
        mentioned.setdefault(row.comment_id, []).append(row.user_id)
    written: dict[str, list[Comment]] = {}
    for row in connection.execute(
        select(comments, users.c.name.label("author_name"))
        .outerjoin(users, users.c.id == comments.c.author_id)
        .where(and_(comments.c.thread_id.in_(ids), comments.c.deleted_at.is_(None)))
        .order_by(comments.c.thread_id, comments.c.created_at, comments.c.id)
    ):
        written.setdefault(row.thread_id, []).append(
            Comment(
                id=row.id,
                author=_author(row.author_id, row.author_name),
                body=row.body,
                created_at=row.created_at,
                edited_at=row.edited_at,
                mentions=tuple(mentioned.get(row.id, ())),
            )
        )
    return [_thread(row, tuple(written.get(row.id, ()))) for row in rows]


def _thread(row: Row[tuple[object, ...]], written: tuple[Comment, ...]) -> Thread:
    return Thread(
        id=row.id,
        room_id=row.room_id,
        x=row.x,
        y=row.y,
        element_id=row.element_id,
        created_by=_author(row.created_by, row.creator_name),
        created_at=row.created_at,
        updated_at=row.updated_at,
        resolved_at=row.resolved_at,
        resolved_by=None if row.resolved_by is None else _author(row.resolved_by, row.resolver_name),
        is_deleted=row.deleted_at is not None,
        revision=row.revision,
        comments=written,
    )


def _author(id: str, name: str | None) -> Author:
    # a token made by the operator may have no row yet
    return Author(id, name or "Somebody")


def _put_mentions(connection: Connection, room_id: str, comment_id: str, mentions: Sequence[str]) -> None:
    if mentions:
        connection.execute(
            comment_mentions.insert(),
            [{"comment_id": comment_id, "user_id": one, "room_id": room_id} for one in mentions],
        )


def _empty(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    connection.execute(update(comments).where(comments.c.id.in_(ids)).values(body="", deleted_at=now))
    connection.execute(delete(comment_mentions).where(comment_mentions.c.comment_id.in_(ids)))


def _touch(connection: Connection, thread: Thread, now: datetime, **values: object) -> None:
    connection.execute(
        update(comment_threads)
        .where(comment_threads.c.id == thread.id)
        .values(updated_at=now, revision=find_revision(connection, thread.room_id) + 1, **values)
    )
