"""Comments over HTTP: what comes in, and what goes out.

Owns: the models. Does not own: queries (db/comments.py), routes (routes.py). Pure.
Rule: a thread is what everybody is told over the socket, and what somebody has read of it for them alone.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from db.comments import Author, Thread
from db.mentions import Mention
from server.comments.errors import CommentNotFound, ThreadNotFound
from server.comments.plain import comment_fields, thread_fields
from server.cursors import MAX_PAGE
from server.registry import Body, Out, Path, Query
from server.rooms import RoomId
from server.sign_in import UserOut
from server.text import Remark, Search, whole_number

MAX_MENTIONS: Final = 20
MAX_PLACE: Final = 1e9
"""Of a coordinate of the canvas, in its own units."""

MAX_THREADS_PAGE: Final = 200
"""Whoever opens a room asks for all of its threads."""

ID_PATTERN: Final = r"^[0-9a-z]{26}$"
Id = Annotated[str, Field(pattern=ID_PATTERN, examples=["01k9yfz9yqg8t2m7x1n5w3c4vb"])]
Place = Annotated[float, Field(ge=-MAX_PLACE, le=MAX_PLACE, allow_inf_nan=False)]
ElementId = Annotated[str, Field(pattern=r"^[!-~]{1,128}$", examples=["r5b8Tq0xPnV3"])]
UserId = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[!-~]+$")]
Mentions = Annotated[
    list[UserId],
    Field(max_length=MAX_MENTIONS, description="Ids of people who are told; each may see the room"),
]


class ThreadPath(Path):
    """Which thread of which room."""

    missing = ThreadNotFound
    room_id: RoomId
    thread_id: Id


class CommentPath(Path):
    """Which comment of which thread."""

    missing = CommentNotFound
    room_id: RoomId
    thread_id: Id
    comment_id: Id


class NewThread(Body):
    """A thread to begin, pinned to a point, an element, or an element and the point it falls back to."""

    x: Place | None = Field(default=None, description="Of the canvas; together with y")
    y: Place | None = None
    element_id: ElementId | None = Field(default=None, description="What it is pinned to")
    body: Remark
    mentions: Mentions = Field(default=[])


class NewReply(Body):
    """What to write."""

    body: Remark
    mentions: Mentions = Field(default=[])


class ThreadChange(Body):
    """What to change; what is left out stays. `element_id` may be null: then it is pinned to its point."""

    resolved: bool | None = None
    x: Place | None = None
    y: Place | None = None
    element_id: ElementId | None = None


class ThreadRead(Body):
    """How far you have read."""

    comment_id: Id = Field(description="The last comment you have seen")


class ThreadsQuery(Query):
    """Which threads."""

    since: Annotated[int, BeforeValidator(whole_number)] = Field(
        default=0, ge=0, le=999_999_999, description="Only what changed after this revision, removed ones too"
    )
    state: Literal["open", "resolved", "all"] = "all"
    cursor: str | None = Field(
        default=None, pattern=r"^[0-9]{1,9}$", description="next_cursor of the page before"
    )
    limit: Annotated[int, BeforeValidator(whole_number)] = Field(
        default=MAX_PAGE, ge=1, le=MAX_THREADS_PAGE, description="Fewer come where they hold many comments"
    )


class PeopleQuery(Query):
    """Whose names to look for."""

    q: Search = Field(default="", description="Part of the name, in any case")


class CommentOut(Out):
    """What somebody wrote: plain text."""

    id: str
    author: UserOut
    body: str
    created_at: datetime
    edited_at: datetime | None
    mentions: list[str]


class ThreadOut(Out):
    """A thread as you see it; without the last two fields it is what everybody in the room is told."""

    id: str
    x: float | None
    y: float | None
    element_id: str | None = Field(description="When there is no such element, the pin is at x and y")
    created_by: UserOut
    created_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    resolved_by: UserOut | None
    is_deleted: bool = Field(description="It was removed, and nothing of it is left")
    revision: int = Field(ge=1, description="Of the room's comments, when it was last changed")
    comments: list[CommentOut]
    read_at: datetime | None = Field(description="Up to when you have read it")
    is_unread: bool = Field(description="Others wrote something after that")


class ThreadList(Out):
    """A page of threads in the order they last changed."""

    revision: int = Field(ge=0, description="Ask with it in `since` for what changed after this page")
    items: list[ThreadOut]
    next_cursor: str | None


class PeopleOut(Out):
    """People who may be mentioned."""

    items: list[UserOut]


class RoomName(Out):
    """A room, as far as a mention tells of it."""

    id: str
    title: str


class MentionOut(Out):
    """A comment that mentions you."""

    room: RoomName
    thread_id: str
    comment: CommentOut
    is_unread: bool


class MentionList(Out):
    """A page of comments that mention you, newest first."""

    items: list[MentionOut]
    next_cursor: str | None


def thread_out(thread: Thread, user_id: str, reads: Mapping[str, datetime]) -> ThreadOut:
    """The thread as this person sees it."""
    read_at = reads.get(thread.id)
    return ThreadOut(**thread_fields(thread), read_at=read_at, is_unread=thread.is_unread(user_id, read_at))


def mention_out(mention: Mention) -> MentionOut:
    """A mention and where it is."""
    return MentionOut(
        room=RoomName(id=mention.room_id, title=mention.room_title),
        thread_id=mention.thread_id,
        comment=CommentOut(**comment_fields(mention.comment)),
        is_unread=mention.is_unread,
    )


def user_out(author: Author) -> UserOut:
    """A person."""
    return UserOut(id=author.id, name=author.name)
