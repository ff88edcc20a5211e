"""Errors about comments. Owns only their words."""

from party.errors import Conflict, NotFound


class ThreadNotFound(NotFound):
    """There is no such thread in this room; it may have been removed."""

    code = "thread_not_found"


class CommentNotFound(NotFound):
    """There is no such comment in this thread; it may have been removed."""

    code = "comment_not_found"


class CommentsFull(Conflict):
    """There are as many comments here as this server takes; remove some, or write in another place."""

    code = "comments_full"
