"""The audit log over HTTP: of a room, of everything, of oneself.

Owns: /api/v1/rooms/{id}/audit, /api/v1/admin/audit, /api/v1/me/audit, and their exports. Does not own: what
is written (Call.record, refusals.py), pages (reading.py), shapes. Keeps rules Y5, Y9.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final, Literal

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from db.access import get_access
from db.audit import Wanted, list_entries
from db.chains import Entry
from db.scopes import Transactions, as_system
from db.standing import find_aliases
from party.errors import Forbidden, Invalid
from server.admin import check_admin
from server.audit.moments import Moment
from server.audit.reading import make_cursor, read_cursor, stream
from server.audit.shapes import EntryList, EntryOut, entry_out, to_lines, to_rows
from server.cursors import PageQuery
from server.problems import AdminsOnly
from server.registry import Api, Call, Query, Reply, answer
from server.rooms import RoomId, RoomPath

api = Api()

LINES: Final = "application/jsonl"
CSV: Final = "text/csv"
FILE: Final = {"Content-Disposition": "The name to save it under"}
AT: Final = "/api/v1/rooms/{room_id}/audit"


class WantedQuery(Query):
    """Which entries; all that are given hold."""

    actor: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=r"^[^\u0000]*$",
        description="The id of who did it",
    )
    action: str | None = Field(
        default=None,
        pattern=r"^[a-z_]{1,32}(\.[a-z_]{1,32})?$",
        description="room.change, or room for everything that is done to rooms",
        examples=["room.change"],
    )
    room: RoomId | None = Field(default=None, description="Only of this room")
    since: Moment | None = Field(default=None, description="From this moment on")
    until: Moment | None = Field(default=None, description="Before this moment")


class EntryQuery(WantedQuery, PageQuery):
    """Which page of which entries."""


class ExportQuery(WantedQuery):
    """Which entries, and in which form."""

    format: Literal["jsonl", "csv"] = "jsonl"


def to_wanted(query: WantedQuery) -> Wanted:
    """As the database takes it."""
    return Wanted(
        chain=query.room,
        actor_id=query.actor,
        action=query.action,
        since=query.since,
        until=query.until,
    )


def _of_room(conn: Connection, call: Call, room_id: str, query: WantedQuery) -> Wanted | None:
    """What of a room's log is wanted; None: of another room. Raises RoomNotFound, Forbidden."""
    access = get_access(conn, room_id, call.actor, "audit", deleted=True)
    if query.room not in (None, room_id):
        return None
    # a room that was here before under the same id had other people
    since = max(query.since, access.room.created_at) if query.since else access.room.created_at
    wanted = to_wanted(query)
    return Wanted(room_id, wanted.actor_id, wanted.action, since, wanted.until)


def _of_oneself(conn: Connection, call: Call, query: WantedQuery) -> Wanted | None:
    """What of one's own doing is wanted, also as a guest one was; None: somebody else's."""
    me = call.identity.user_id
    aliases = find_aliases(conn, me)
    if query.actor is not None:
        return to_wanted(query) if query.actor in (me, *aliases) else None
    return replace(to_wanted(query), actor_id=me, aliases=aliases)


def _whole(call: Call) -> Transactions:
    """The log beyond one room, for an operator, and for who asks what he did himself: what he did as a guest
    is a guest's to the database (T5), and where a chain begins is nobody's."""
    return as_system(call.services.database)


def _outs(call: Call, entries: list[Entry], *, is_own: bool = False) -> list[EntryOut]:
    me, is_admin = call.identity.user_id, call.identity.is_admin
    return [entry_out(one, viewer_id=one.actor_id if is_own else me, is_admin=is_admin) for one in entries]


def _page(conn: Connection, wanted: Wanted | None, query: EntryQuery) -> list[Entry]:
    past = read_cursor(query.cursor) if query.cursor is not None else None
    if wanted is None:
        return []
    return list_entries(conn, wanted, past=past, limit=query.limit + 1)


def _list_out(call: Call, found: list[Entry], query: EntryQuery, *, is_own: bool = False) -> Response:
    page = found[: query.limit]
    return answer(
        EntryList(
            items=_outs(call, page, is_own=is_own),
            next_cursor=make_cursor(page[-1]) if len(found) > len(page) else None,
        )
    )


def _export(
    call: Call,
    database: Transactions,
    wanted: Wanted | None,
    query: ExportQuery,
    name: str,
    *,
    is_own: bool = False,
) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{query.format}"',
        "Cache-Control": "no-store",
    }
    media = f"{CSV}; charset=utf-8" if query.format == "csv" else LINES
    lines = _bytes(call, database, wanted, query.format, is_own=is_own)
    return StreamingResponse(lines, media_type=media, headers=headers)


async def _bytes(
    call: Call, database: Transactions, wanted: Wanted | None, kind: str, *, is_own: bool
) -> AsyncIterator[bytes]:
    if kind == "csv":
        yield to_rows([], has_head=True)
    if wanted is None:
        return
    async for page in stream(database, wanted, call.services.now()):
        shown = _outs(call, page, is_own=is_own)
        yield to_rows(shown, has_head=False) if kind == "csv" else to_lines(shown)


@api.route(
    "GET",
    AT,
    summary="Read a room's audit log",
    tag="audit",
    replies=[Reply(200, "One page", EntryList)],
    errors=[Forbidden, Invalid],
)
async def list_room_audit(call: Call, path: RoomPath, query: EntryQuery) -> Response:
    """The newest first. For the owner of the room, also while it is in the trash, and for operators. Where
    others came from is told to operators only."""

    def read(conn: Connection) -> list[Entry]:
        return _page(conn, _of_room(conn, call, path.room_id, query), query)

    return _list_out(call, await call.database.read(read), query)


@api.route(
    "GET",
    AT + "/export",
    summary="Export a room's audit log",
    tag="audit",
    replies=[Reply(200, "All of it, the oldest first", media=(LINES, CSV), headers=FILE)],
    errors=[Forbidden],
    audit="audit.export",
)
async def export_room_audit(call: Call, path: RoomPath, query: ExportQuery) -> Response:
    """JSON Lines or CSV. It ends at what was there when it began; an export is an entry itself. When the
    connection ends before the body does, a part of it is missing."""

    def begin(conn: Connection) -> Wanted | None:
        wanted = _of_room(conn, call, path.room_id, query)
        call.record(conn, "audit.export", room_id=path.room_id, details={"format": query.format})
        return wanted

    wanted = await call.database.write(begin)
    return _export(call, call.database, wanted, query, f"kanvas-audit-{path.room_id}")


@api.route(
    "GET",
    "/api/v1/admin/audit",
    summary="Read the whole audit log",
    tag="admin",
    replies=[Reply(200, "One page", EntryList)],
    errors=[AdminsOnly, Invalid],
)
async def list_all_audit(call: Call, query: EntryQuery) -> Response:
    """The newest first; of all rooms, and of what is about no room."""
    check_admin(call)
    found = await _whole(call).read(lambda conn: _page(conn, to_wanted(query), query))
    return _list_out(call, found, query)


@api.route(
    "GET",
    "/api/v1/admin/audit/export",
    summary="Export the whole audit log",
    tag="admin",
    replies=[Reply(200, "All of it, the oldest first", media=(LINES, CSV), headers=FILE)],
    errors=[AdminsOnly],
    audit="audit.export",
)
async def export_all_audit(call: Call, query: ExportQuery) -> Response:
    """As with a room's. `kanvas audit export` gives the same without a server."""
    check_admin(call)

    def begin(conn: Connection) -> None:
        call.record(conn, "audit.export", details={"format": query.format})

    await call.database.write(begin)
    return _export(call, _whole(call), to_wanted(query), query, "kanvas-audit")


@api.route(
    "GET",
    "/api/v1/me/audit",
    summary="Read what you did",
    tag="audit",
    replies=[Reply(200, "One page", EntryList)],
    errors=[Invalid],
)
async def list_my_audit(call: Call, query: EntryQuery) -> Response:
    """The newest first: your sign-ins with where they came from, what you changed, what you were refused;
    also as a guest who you were."""
    found = await _whole(call).read(lambda conn: _page(conn, _of_oneself(conn, call, query), query))
    return _list_out(call, found, query, is_own=True)


@api.route(
    "GET",
    "/api/v1/me/audit/export",
    summary="Export what you did",
    tag="audit",
    replies=[Reply(200, "All of it, the oldest first", media=(LINES, CSV), headers=FILE)],
)
async def export_my_audit(call: Call, query: ExportQuery) -> Response:
    """JSON Lines or CSV."""
    wanted = await _whole(call).read(lambda conn: _of_oneself(conn, call, query))
    return _export(call, _whole(call), wanted, query, "kanvas-audit-mine", is_own=True)
