"""Comment routes: list, begin, reply, change, remove, read; who may be mentioned, and where you are.

Owns: /api/v1/rooms/{room_id}/comments and below, /api/v1/me/mentions. Does not own: SQL (db/comments.py,
db/mentions.py), telling those in the room (`live.py`), the shapes.
Rules: roles are looked at in the transaction of the change; a change of the room's comments holds the room,
so that revisions are committed in order; what is answered is what is told. Keeps rules X1-X4, X7.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db import comments as stored
from db.access import Access, get_access
from db.comments import Comment, NewComment, Thread
from db.idempotency import Answer, find_answer, store_answer
from db.mentions import find_mentionable, list_mentionable, list_mentions
from db.rooms import Room
from db.users import add_user
from party.errors import Conflict, Forbidden, RoomNotFound
from party.policy import Action, can
from server.comments.errors import CommentNotFound, CommentsFull, ThreadNotFound
from server.comments.shapes import (
    ID_PATTERN,
    CommentPath,
    MentionList,
    NewReply,
    NewThread,
    PeopleOut,
    PeopleQuery,
    ThreadChange,
    ThreadList,
    ThreadOut,
    ThreadPath,
    ThreadRead,
    ThreadsQuery,
    mention_out,
    thread_out,
    user_out,
)
from server.cursors import PageQuery, decode_cursor, encode_cursor
from server.problems import FieldError, IdempotencyConflict, InvalidFields
from server.registry import Api, Body, Call, Reply, answer, no_content
from server.rooms import CreateHeaders, RoomPath, check_kept_out

api = Api()

MAX_THREADS: Final = 2_000
"""In a room, those removed in the last 30 days too."""

MAX_REPLIES: Final = 100
"""Comments in a thread."""

MAX_NAMES: Final = 20
REPLAYED: Final = {"Idempotency-Replayed": "?true when answered before"}


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/comments",
    summary="List a room's comment threads",
    tag="comments",
    replies=[Reply(200, "One page", ThreadList)],
    errors=[Forbidden],
)
async def list_comments(call: Call, path: RoomPath, query: ThreadsQuery) -> Response:
    """In the order they last changed. Keep `revision` and ask with it in `since` for what changed after."""
    user_id = call.identity.user_id
    after = max(query.since, int(query.cursor or 0))

    def read(conn: Connection) -> ThreadList:
        get_access(conn, path.room_id, call.actor, "see")
        # before the threads: one that changes meanwhile comes twice rather than never
        revision = stored.find_revision(conn, path.room_id)
        found, has_more = stored.list_threads(
            conn, path.room_id, after=after, state=query.state, limit=query.limit
        )
        reads = stored.find_reads(conn, path.room_id, user_id, [one.id for one in found])
        reached = found[-1].revision if has_more else max(revision, after)
        return ThreadList(
            revision=reached,
            items=[thread_out(one, user_id, reads) for one in found],
            next_cursor=str(reached) if has_more else None,
        )

    return answer(await call.database.read(read))


@api.route(
    "POST",
    "/api/v1/rooms/{room_id}/comments",
    summary="Begin a comment thread",
    tag="comments",
    replies=[Reply(201, "The thread", ThreadOut, headers=REPLAYED)],
    errors=[Forbidden, CommentsFull, Conflict, IdempotencyConflict],
    audit="comment.create",
)
async def create_thread(call: Call, path: RoomPath, body: NewThread, headers: CreateHeaders) -> Response:
    """Pinned to a point of the canvas or to an element; with both, the point is where it is without the
    element."""
    if (body.x is None) != (body.y is None) or (body.x is None and body.element_id is None):
        wrong = FieldError(pointer="/x", code="place", message="Give x and y, or element_id, or all three.")
        raise InvalidFields([wrong])
    now = call.services.now()

    def create(conn: Connection) -> Thread:
        access = _get_access(conn, call, path.room_id, "comment")
        if stored.count_threads(conn, path.room_id) >= MAX_THREADS:
            raise CommentsFull(f"A room takes {MAX_THREADS:,} comment threads; remove some to begin another.")
        first = _new_comment(conn, call, access.room, body.body, body.mentions)
        thread_id = _make_id()
        stored.insert_thread(
            conn,
            path.room_id,
            id=thread_id,
            x=body.x,
            y=body.y,
            element_id=body.element_id,
            first=first,
            now=now,
        )
        _record(conn, call, "comment.create", path.room_id, thread_id, mentions=list(first.mentions))
        return _get_thread(conn, path.room_id, thread_id)

    return await _create(call, f"POST {path.room_id}/comments", body, headers, create)


@api.route(
    "POST",
    "/api/v1/rooms/{room_id}/comments/{thread_id}/replies",
    summary="Reply in a thread",
    tag="comments",
    replies=[Reply(201, "The thread with the reply", ThreadOut, headers=REPLAYED)],
    errors=[Forbidden, RoomNotFound, CommentsFull, Conflict, IdempotencyConflict],
    audit="comment.reply",
)
async def create_reply(call: Call, path: ThreadPath, body: NewReply, headers: CreateHeaders) -> Response:
    """A resolved thread is open again by that."""
    now = call.services.now()

    def reply(conn: Connection) -> Thread:
        access = _get_access(conn, call, path.room_id, "comment")
        thread = _get_thread(conn, path.room_id, path.thread_id)
        if len(thread.comments) >= MAX_REPLIES:
            raise CommentsFull(f"A thread takes {MAX_REPLIES} comments; begin another.")
        new = _new_comment(conn, call, access.room, body.body, body.mentions)
        stored.insert_reply(conn, thread, new, now)
        _record(
            conn, call, "comment.reply", path.room_id, thread.id, comment=new.id, mentions=list(new.mentions)
        )
        return _get_thread(conn, path.room_id, thread.id)

    return await _create(call, f"POST {path.room_id}/comments/{path.thread_id}", body, headers, reply)


@api.route(
    "PATCH",
    "/api/v1/rooms/{room_id}/comments/{thread_id}",
    summary="Resolve, reopen or move a thread",
    tag="comments",
    replies=[Reply(200, "The thread as it is now", ThreadOut)],
    errors=[Forbidden, RoomNotFound],
    audit="comment.change",
)
async def change_thread(call: Call, path: ThreadPath, body: ThreadChange) -> Response:
    """Whoever may comment resolves and reopens; who began it, and the owner of the room, may move it."""
    now = call.services.now()
    moves = bool(body.model_fields_set - {"resolved"})
    if (body.x is None) != (body.y is None):
        raise InvalidFields([FieldError(pointer="/x", code="place", message="Give x and y together.")])

    def change(conn: Connection) -> Thread:
        access = _get_access(conn, call, path.room_id, "comment")
        thread = _get_thread(conn, path.room_id, path.thread_id)
        if moves:
            if thread.created_by.id != call.identity.user_id and not _may_moderate(call, access):
                raise Forbidden("Only who began the thread, or the owner of the room, may move it.")
            x, y = (thread.x, thread.y) if body.x is None else (body.x, body.y)
            pinned = body.element_id if "element_id" in body.model_fields_set else thread.element_id
            if x is None and pinned is None:
                wrong = FieldError(
                    pointer="/element_id",
                    code="place",
                    message="Give x and y for a thread without an element.",
                )
                raise InvalidFields([wrong])
            stored.move_thread(conn, thread, x=x, y=y, element_id=pinned, now=now)
        told: dict[str, Any] = {"moved": True} if moves else {}
        if body.resolved is not None and body.resolved != (thread.resolved_at is not None):
            told["resolved"] = body.resolved
            if body.resolved:
                _add_me(conn, call)
                stored.resolve_thread(conn, thread, call.identity.user_id, now)
            else:
                stored.reopen_thread(conn, thread, now)
        if told:
            _record(conn, call, "comment.change", path.room_id, thread.id, **told)
        return _get_thread(conn, path.room_id, thread.id)

    return await _change(call, change)


@api.route(
    "DELETE",
    "/api/v1/rooms/{room_id}/comments/{thread_id}",
    summary="Remove a thread",
    tag="comments",
    replies=[Reply(204, "It is gone")],
    errors=[Forbidden, RoomNotFound],
    audit="comment.delete",
)
async def delete_thread(call: Call, path: ThreadPath) -> Response:
    """The owner of the room may, and who began it while nobody else has written in it."""
    now = call.services.now()

    def remove(conn: Connection) -> Thread:
        access = _get_access(conn, call, path.room_id, "see")
        thread = _get_thread(conn, path.room_id, path.thread_id)
        me = call.identity.user_id
        is_mine = can(access.role, "comment") and all(one.author.id == me for one in thread.comments)
        if not is_mine and not _may_moderate(call, access):
            raise Forbidden("Others wrote in this thread, so only the owner of the room may remove it.")
        stored.delete_thread(conn, thread, now)
        _record(conn, call, "comment.delete", path.room_id, thread.id, comments=len(thread.comments))
        return _get_thread(conn, path.room_id, thread.id, removed=True)

    call.services.comments.tell(await call.database.write(remove))
    return no_content()


@api.route(
    "PATCH",
    "/api/v1/rooms/{room_id}/comments/{thread_id}/replies/{comment_id}",
    summary="Change what you wrote",
    tag="comments",
    replies=[Reply(200, "The thread as it is now", ThreadOut)],
    errors=[Forbidden, RoomNotFound, ThreadNotFound],
    audit="comment.edit",
)
async def change_comment(call: Call, path: CommentPath, body: NewReply) -> Response:
    """At any time; `edited_at` says so. The first comment of a thread is one of its replies here."""
    now = call.services.now()

    def change(conn: Connection) -> Thread:
        access = _get_access(conn, call, path.room_id, "comment")
        thread = _get_thread(conn, path.room_id, path.thread_id)
        comment = _get_comment(thread, path.comment_id)
        if comment.author.id != call.identity.user_id:
            raise Forbidden("Only who wrote a comment may change it.")
        known = frozenset(comment.mentions)
        mentions = _check_mentions(conn, access.room, body.mentions, known)
        if (comment.body, comment.mentions) == (body.body, tuple(sorted(mentions))):
            return thread
        stored.update_comment(conn, thread, comment.id, body=body.body, mentions=mentions, now=now)
        added = sorted(set(mentions) - known)
        _record(conn, call, "comment.edit", path.room_id, thread.id, comment=comment.id, mentions=added)
        return _get_thread(conn, path.room_id, thread.id)

    return await _change(call, change)


@api.route(
    "DELETE",
    "/api/v1/rooms/{room_id}/comments/{thread_id}/replies/{comment_id}",
    summary="Remove a comment",
    tag="comments",
    replies=[Reply(204, "It is gone; a thread goes with its last comment")],
    errors=[Forbidden, RoomNotFound, ThreadNotFound],
    audit="comment.delete",
)
async def delete_comment(call: Call, path: CommentPath) -> Response:
    """Your own, or any when the room is yours."""
    now = call.services.now()

    def remove(conn: Connection) -> Thread:
        access = _get_access(conn, call, path.room_id, "see")
        thread = _get_thread(conn, path.room_id, path.thread_id)
        comment = _get_comment(thread, path.comment_id)
        is_mine = can(access.role, "comment") and comment.author.id == call.identity.user_id
        if not is_mine and not _may_moderate(call, access):
            raise Forbidden("Only who wrote a comment, or the owner of the room, may remove it.")
        stored.delete_comment(conn, thread, comment.id, now)
        _record(
            conn,
            call,
            "comment.delete",
            path.room_id,
            thread.id,
            comment=comment.id,
            author=comment.author.id,
        )
        return _get_thread(conn, path.room_id, thread.id, removed=True)

    call.services.comments.tell(await call.database.write(remove))
    return no_content()


@api.route(
    "POST",
    "/api/v1/rooms/{room_id}/comments/{thread_id}/read",
    summary="Say how far you have read",
    tag="comments",
    replies=[Reply(204, "Noted, for you alone")],
    errors=[Forbidden, RoomNotFound, CommentNotFound],
)
async def read_thread(call: Call, path: ThreadPath, body: ThreadRead) -> Response:
    """What others write after that comment is unread. An older comment than the last time changes nothing."""

    def note(conn: Connection) -> None:
        get_access(conn, path.room_id, call.actor, "see")
        thread = _get_thread(conn, path.room_id, path.thread_id)
        comment = _get_comment(thread, body.comment_id)
        stored.mark_read(conn, path.room_id, thread.id, call.identity.user_id, comment.created_at)

    await call.database.write(note)
    return no_content()


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/comments/people",
    summary="Find people to mention",
    tag="comments",
    replies=[Reply(200, "Up to 20 people, by name", PeopleOut)],
    errors=[Forbidden],
)
async def find_people_to_mention(call: Call, path: RoomPath, query: PeopleQuery) -> Response:
    """Those who are members or were in the room, and may see it."""

    def find(conn: Connection) -> PeopleOut:
        get_access(conn, path.room_id, call.actor, "comment")
        found = list_mentionable(conn, path.room_id, query.q, MAX_NAMES)
        return PeopleOut(items=[user_out(one) for one in found])

    return answer(await call.database.read(find))


@api.route(
    "GET",
    "/api/v1/me/mentions",
    summary="Where you are mentioned",
    tag="comments",
    replies=[Reply(200, "One page", MentionList)],
)
async def list_my_mentions(call: Call, query: PageQuery) -> Response:
    """Newest first, in rooms you may see."""
    before = decode_cursor(query.cursor, ID_PATTERN) if query.cursor is not None else None
    user_id = call.identity.user_id
    found = await call.database.read(lambda conn: list_mentions(conn, user_id, before, query.limit + 1))
    page = found[: query.limit]
    return answer(
        MentionList(
            items=[mention_out(one) for one in page],
            next_cursor=encode_cursor(page[-1].comment.created_at, page[-1].comment.id)
            if len(found) > len(page)
            else None,
        )
    )


# -- parts --------------------------------------------------------------------------------------


def _make_id() -> str:
    return str(ULID()).lower()


def _get_access(conn: Connection, call: Call, room_id: str, action: Action) -> Access:
    """The room, held until the end of the transaction. Raises as `get_access`, and RoomClosed, KeptOut."""
    access = get_access(conn, room_id, call.actor, action, is_to_change=True)
    check_kept_out(conn, call, room_id)
    return access


def _may_moderate(call: Call, access: Access) -> bool:
    return can(access.role, "moderate", is_admin=call.actor.is_admin)


def _get_thread(conn: Connection, room_id: str, thread_id: str, *, removed: bool = False) -> Thread:
    found = stored.find_threads(conn, room_id, [thread_id])
    if not found or (found[0].is_deleted and not removed):
        raise ThreadNotFound
    return found[0]


def _get_comment(thread: Thread, comment_id: str) -> Comment:
    for comment in thread.comments:
        if comment.id == comment_id:
            return comment
    raise CommentNotFound


def _add_me(conn: Connection, call: Call) -> None:
    # a token made by the operator has no row yet; a known name is the newer one
    add_user(conn, call.identity.user_id, call.identity.name, call.services.now())


def _new_comment(conn: Connection, call: Call, room: Room, body: str, mentions: Sequence[str]) -> NewComment:
    _add_me(conn, call)
    return NewComment(_make_id(), call.identity.user_id, body, _check_mentions(conn, room, mentions))


def _check_mentions(
    conn: Connection, room: Room, mentions: Sequence[str], known: frozenset[str] = frozenset()
) -> list[str]:
    """Each once. Whom the comment mentioned already may stay, whatever became of them.

    Raises InvalidFields.
    """
    wanted = list(dict.fromkeys(mentions))
    new = [one for one in wanted if one not in known]
    allowed = (find_mentionable(conn, room, new) if new else set()) | known
    wrong = [
        FieldError(
            pointer=f"/mentions/{number}",
            code="mention",
            message="Mention people who were in this room and may see it.",
        )
        for number, one in enumerate(mentions)
        if one not in allowed
    ]
    if wrong:
        raise InvalidFields(wrong)
    return wanted


def _record(conn: Connection, call: Call, action: str, room_id: str, thread_id: str, **details: Any) -> None:
    call.record(conn, action, room_id=room_id, target=thread_id, details=details)


def _out(conn: Connection, thread: Thread, user_id: str) -> ThreadOut:
    return thread_out(thread, user_id, stored.find_reads(conn, thread.room_id, user_id, [thread.id]))


async def _change(call: Call, work: Callable[[Connection], Thread]) -> Response:
    """Do it in a transaction, tell the room, answer with the thread."""

    def change(conn: Connection) -> tuple[Thread, ThreadOut]:
        thread = work(conn)
        return thread, _out(conn, thread, call.identity.user_id)

    thread, out = await call.database.write(change)
    call.services.comments.tell(thread)
    return answer(out)


async def _create(
    call: Call, what: str, body: Body, headers: CreateHeaders, work: Callable[[Connection], Thread]
) -> Response:
    """As `_change`, once for each Idempotency-Key. Raises IdempotencyConflict, Conflict."""
    key, me, now = headers.idempotency_key, call.identity.user_id, call.services.now()
    request_hash = hashlib.sha256(f"{what}\n{body.model_dump_json()}".encode()).hexdigest()

    def create(conn: Connection) -> Answer | tuple[Thread, bytes]:
        known = find_answer(conn, me, key) if key is not None else None
        if known is not None:
            return known
        thread = work(conn)
        raw = _out(conn, thread, me).model_dump_json().encode()
        if key is not None:
            store_answer(conn, me, key, request_hash, 201, "{}", raw, now)
        return thread, raw

    done = await call.database.write(create)
    sent = {"Cache-Control": "no-store"}
    if isinstance(done, Answer):
        if done.request_hash != request_hash:
            raise IdempotencyConflict
        sent["Idempotency-Replayed"] = "true"
        return Response(done.body, status_code=201, headers=sent, media_type="application/json")
    thread, raw = done
    call.services.comments.tell(thread)
    return Response(raw, status_code=201, headers=sent, media_type="application/json")
