"""Every error a person or a program can be given, in one tree.

Owns: the stable `code`, the HTTP status, the WebSocket close code and whether a retry can help.
Does not own: how an error is rendered (problem+json is the edge's, close frames are the transport's).

The first paragraph of a class's docstring is its default message; it says what happened and what to do.
Close codes 4400-4499 mean stop (y-websocket 3 does not reconnect); every other means retry with back-off.
Source: RFC 9457 for `code` and `status`, RFC 6455 section 7.4 for close codes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar


class KanvasError(Exception):
    """Something went wrong inside Kanvas; the log has the request id."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    close_code: ClassVar[int] = 1011

    def __init__(self, message: str | None = None) -> None:
        doc = (type(self).__doc__ or "").split("\n\n")[0]
        super().__init__(message or " ".join(doc.split()))

    @property
    def message(self) -> str:
        return str(self)

    @property
    def retry(self) -> bool:
        """True when the same request may succeed later without being changed."""
        return not 4400 <= self.close_code <= 4499


class BadFrame(KanvasError):
    """The message is not a complete y-protocols message; send exactly one per WebSocket message."""

    code = "bad_frame"
    status = 400
    close_code = 4400


class BadUpdate(KanvasError):
    """The update is not a sound Yjs update (encoding version 1); nothing of it was applied."""

    code = "bad_update"
    status = 422
    close_code = 4400


class IncompleteUpdate(KanvasError):
    """The update builds on edits the room does not have; send everything beyond `state_vector`."""

    code = "incomplete_update"
    status = 409
    close_code = 4409

    def __init__(self, message: str | None = None, *, state_vector: bytes = b"\x00") -> None:
        super().__init__(message)
        self.state_vector = state_vector


class Invalid(KanvasError):
    """The request is not valid; `errors` names every field and what it takes."""

    code = "invalid"
    status = 422
    close_code = 4400


class RootNotFound(Invalid):
    """The document has no root of this name."""

    code = "root_not_found"

    def __init__(self, names: Sequence[str] = ()) -> None:
        known = ", ".join(name[:64] for name in names[:20]) or "none, nothing was written yet"
        super().__init__(f"The document has no root of this name; it has: {known}.")
        self.names = list(names)

    def __reduce__(self) -> tuple[type["RootNotFound"], tuple[list[str]]]:
        # it comes from a child process
        return type(self), (self.names,)


class Unauthenticated(KanvasError):
    """Sign in first: send a token from POST /api/v1/auth/guest, or renew it at /api/v1/auth/refresh."""

    code = "unauthenticated"
    status = 401
    close_code = 4401


class Forbidden(KanvasError):
    """Your role does not allow this; ask the owner of the room."""

    code = "forbidden"
    status = 403
    close_code = 4403


class OriginRefused(Forbidden):
    """This page's origin may not connect; the operator can add it to KANVAS_ORIGINS."""

    code = "origin_refused"


class RoomFrozen(Forbidden):
    """The operator froze this room: it can be looked at, and edited again when it is thawed."""

    code = "room_frozen"


class KeptOut(Forbidden):
    """The operator keeps you out of this room for a while."""

    code = "kept_out"

    @staticmethod
    def words(until: float) -> str:
        """With the end of it, in seconds since 1970."""
        return f"The operator keeps you out of this room until {moment(until)}."


class RoomClosed(Forbidden):
    """The operator closed this room."""

    code = "room_closed"

    @staticmethod
    def words(until: float) -> str:
        """With the end of it, in seconds since 1970."""
        return f"The operator closed this room until {moment(until)}; nothing of it is lost."


class NotFound(KanvasError):
    """There is no such thing here; check the address."""

    code = "not_found"
    status = 404
    close_code = 4404


class RoomNotFound(NotFound):
    """There is no room with this id; create it with POST /api/v1/rooms, or look into the trash."""

    code = "room_not_found"


class Conflict(KanvasError):
    """This contradicts what is already there."""

    code = "conflict"
    status = 409
    close_code = 4409


class ClientIdTaken(KanvasError):
    """This Yjs client id belongs to somebody else in this room; keep your edits, take a fresh id, rejoin."""

    code = "client_id_taken"
    status = 409
    close_code = 4509


class PreconditionFailed(KanvasError):
    """It changed since you read it; read it again and repeat with its new ETag in If-Match."""

    code = "precondition_failed"
    status = 412
    close_code = 4409


class TooLarge(KanvasError):
    """The message is larger than the limit; split it."""

    code = "too_large"
    status = 413
    close_code = 4413


class RepeatedRepair(KanvasError):
    """This client keeps writing values that are not valid canvas elements; update or fix it."""

    code = "repeated_repair"
    status = 422
    close_code = 4422


class Poison(KanvasError):
    """This edit breaks the document library and was not applied; reload to take a fresh client id."""

    code = "poison"
    status = 422
    close_code = 4422


class Quarantined(KanvasError):
    """Edits of yours made this room fail, so none are taken for a while; reload to take a fresh client id."""

    code = "quarantined"
    status = 422
    close_code = 4422


class RoomHeld(KanvasError):
    """This room made the server fail when it was opened, so it stays closed for a while; try again later."""

    code = "room_held"
    status = 503
    close_code = 1013

    def __init__(self, message: str | None = None, *, retry_after_s: float = 30.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooSlow(KanvasError):
    """The connection did not keep up with the room; reconnect to catch up."""

    code = "too_slow"
    status = 503
    close_code = 1013


class TooManyPings(KanvasError):
    """More pings and pongs came than a client needs; send one every few seconds at most."""

    code = "too_many_pings"
    status = 429
    close_code = 4429


class TooManyConnections(KanvasError):
    """There are as many connections as the operator allows; close some or try again later."""

    code = "too_many_connections"
    status = 503
    close_code = 1013


class Unavailable(KanvasError):
    """The database does not answer, so edits can't be saved now; they are kept, try again soon."""

    code = "unavailable"
    status = 503
    close_code = 1013

    service: str = ""
    """Which backend it was: database, blobs, redis; empty when it was none."""

    service_status: str = ""
    """What the backend itself called it, such as SQLITE_FULL or 503."""


class ShuttingDown(KanvasError):
    """The server is restarting; reconnect in a moment."""

    code = "shutting_down"
    status = 503
    close_code = 1012

    def __init__(self, *, retry_after_s: float | None = None) -> None:
        """With `retry_after_s` the words say when, for a program to read: "reconnect in 730 ms" (N8)."""
        when = None if retry_after_s is None else round(retry_after_s * 1000)
        super().__init__(None if when is None else f"The server is restarting; reconnect in {when} ms.")
        self.retry_after_s = 2.0 if retry_after_s is None else retry_after_s


class RoomMoved(KanvasError):
    """The room was changed by another process and is loaded anew; reconnect to catch up."""

    code = "room_moved"
    status = 503
    close_code = 1013


class DocumentBroken(KanvasError):
    """The document library failed on this document; the room is rebuilt from its journal."""

    code = "document_broken"
    status = 503
    close_code = 1013


def moment(at: float) -> str:
    """Seconds since 1970 as everybody reads them the same: "21 November, 14:05 UTC"."""
    return datetime.fromtimestamp(at, UTC).strftime("%-d %B, %H:%M UTC")
