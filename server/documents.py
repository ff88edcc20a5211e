"""Documents as JSON: a drawing as an Excalidraw file, the roots of an open room.

Owns: /api/v1/rooms/{room_id}/document. Does not own: reading (`readers.py`), the state as a Yjs update
(`parties.py`), the images (`assets/`).
Rules: what is read is committed (R4); reading happens outside the event loop (H10).
"""

import re
import unicodedata
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from party.errors import DocumentBroken, Forbidden, RootNotFound
from party.readings import RootType
from party.view import Committed
from server.conditions import is_known_to_client, make_etag
from server.problems import Busy, FieldError, InvalidFields, TookTooLong, invalid_field
from server.registry import JSON, Api, Call, Query, Reply, RequestHeaders
from server.rooms import RoomPath, get_room

api = Api()

ETAG: Final = {"ETag": "The version of the room's state, weak"}
SOURCE: Final = "Kanvas"


def _true_or_false(value: object) -> object:
    # pydantic would take "1", "on" and "yes", too
    if value not in ("true", "false"):
        raise PydanticCustomError("bool_parsing", "Give true or false.")
    return value == "true"


Flag = Annotated[bool, BeforeValidator(_true_or_false)]


class DocumentQuery(Query):
    """What of the document, and how."""

    deleted: Flag = Field(default=False, description="canvas rooms: with the deleted elements, too")
    download: Flag = Field(default=False, description="As a file to save, named after the room")
    root: str | None = Field(
        default=None, min_length=1, max_length=256, description="open rooms: the name of the root to read"
    )
    type: RootType | None = Field(
        default=None, description="open rooms: the root's type, which Yjs does not store"
    )


class DocumentHeaders(RequestHeaders):
    """Headers of a read."""

    if_none_match: str | None = Field(default=None, alias="If-None-Match", description="ETags you have")


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/document",
    summary="Read a room's document as JSON",
    tag="rooms",
    replies=[
        Reply(
            200,
            "An Excalidraw file, or the root of an open room",
            media=(JSON,),
            headers={**ETAG, "Content-Disposition": "?with download=true"},
        ),
        Reply(304, "You have this version", headers=ETAG),
    ],
    errors=[Forbidden, RootNotFound, DocumentBroken, TookTooLong, Busy],
)
async def export_document(
    call: Call, path: RoomPath, query: DocumentQuery, headers: DocumentHeaders
) -> Response:
    """The document as of the last commit.

    A room of schema `canvas` comes as an `.excalidraw` file: its elements in drawing order, `boundElements`
    filled in. `files` is empty: an image's `fileId` is its id at `/api/v1/rooms/{room_id}/assets/{asset_id}`.

    Of a room of schema `open` one root is read, by `root` and `type`: a map is an object, an array a list,
    a text its plain words, XML its markup. A root read as another type than it has is mostly empty.
    """
    room = await get_room(call, path.room_id)
    _check(query, is_canvas=room.schema == "canvas")
    committed = await call.services.hub.read(room.id)
    # weak: the library gives the members of an object in any order
    etag = "W/" + make_etag(committed.version)
    told = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known_to_client(headers.if_none_match, etag):
        return Response(status_code=304, headers=told)
    if query.download:
        told["Content-Disposition"] = disposition(room.title, query.root)
    return Response(await _read(call, room.id, committed, query), headers=told, media_type=JSON)


async def _read(call: Call, room_id: str, committed: Committed, query: DocumentQuery) -> bytes:
    readers = call.services.readers
    if query.root is not None and query.type is not None:
        return await readers.root(room_id, committed, name=query.root, kind=query.type)
    source = call.services.settings.public_url or SOURCE
    return await readers.drawing(room_id, committed, source=source, deleted=query.deleted)


def _check(query: DocumentQuery, *, is_canvas: bool) -> None:
    """Raises InvalidFields for what makes no sense with the room's schema."""
    wrong: list[FieldError] = []
    for name, given in (("root", query.root), ("type", query.type)):
        if is_canvas and given is not None:
            message = "A drawing is read whole; leave this out."
            wrong.append(FieldError(field=name, code="not_for_canvas", message=message))
        if not is_canvas and given is None:
            message = "This room is open: name one root of its document, and its type."
            wrong.append(FieldError(field=name, code="missing", message=message))
    if wrong:
        raise InvalidFields(wrong)
    if query.deleted and not is_canvas:
        raise invalid_field(
            "deleted", "not_for_open", "Only the elements of a drawing are kept when deleted."
        )


def disposition(title: str, root: str | None = None) -> str:
    """Content-Disposition for a file named after the room (RFC 6266): in ASCII, and as it is."""
    suffix = ".excalidraw" if root is None else ".json"
    kept = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]+', " ", f"{title} {root or ''}")
    name = " ".join(kept.split()).strip(". ")[:80].rstrip(". ") or "Kanvas"
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().strip() or "Kanvas"
    return f"attachment; filename=\"{plain}{suffix}\"; filename*=UTF-8''{quote(name + suffix, safe='')}"
