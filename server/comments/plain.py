"""A thread as plain values: what HTTP and the socket both tell.

Owns: the fields. Does not own: their types in the documentation (`shapes.py`), who is told. Pure.
"""

from typing import Any

from db.comments import Author, Comment, Thread


def thread_fields(thread: Thread) -> dict[str, Any]:
    """The thread as everybody in the room sees it."""
    return {
        "id": thread.id,
        "x": thread.x,
        "y": thread.y,
        "element_id": thread.element_id,
        "created_by": person_fields(thread.created_by),
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "resolved_at": thread.resolved_at,
        "resolved_by": None if thread.resolved_by is None else person_fields(thread.resolved_by),
        "is_deleted": thread.is_deleted,
        "revision": thread.revision,
        "comments": [comment_fields(one) for one in thread.comments],
    }


def comment_fields(comment: Comment) -> dict[str, Any]:
    """What somebody wrote."""
    return {
        "id": comment.id,
        "author": person_fields(comment.author),
        "body": comment.body,
        "created_at": comment.created_at,
        "edited_at": comment.edited_at,
        "mentions": list(comment.mentions),
    }


def person_fields(author: Author) -> dict[str, str]:
    """A person."""
    return {"id": author.id, "name": author.name}
