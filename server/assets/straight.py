"""Asset routes by which bytes come in one request: sent to us, or fetched by us.

Owns: PUT of a small file, import from an address. Does not own: uploads that are announced (`uploads.py`),
the check (`intake.py`), the fetch (`server/imports`).
Rule: checked first, stored then; what is refused was never stored.
"""

from functools import partial
from typing import Final

from pydantic import Field
from starlette.responses import Response

from db.assets import Upload
from party.errors import Forbidden, RoomNotFound
from server.assets.intake import Desk, Received
from server.assets.keeping import check_space_for, find_present
from server.assets.names import Filename, default_filename, make_key, tame_filename
from server.assets.shapes import HashPath, ImportedAsset
from server.assets.storing import (
    AT,
    REFUSALS,
    STORED,
    answer_stored,
    check_size,
    keep_checked,
    make_asset,
    new_id,
    space_of,
    store,
)
from server.imports.fetch import fetch
from server.problems import (
    AssetHashMismatch,
    AssetTooLarge,
    ImportAddressRefused,
    ImportFailed,
    ImportUrlInvalid,
    UploadStalled,
)
from server.registry import Api, Call, Query, RawBody
from server.rooms import RoomPath, check_edit

api = Api()

STRAIGHT_MOST_BYTES: Final = 32 * 1024 * 1024
IMPORT_MOST_BYTES: Final = 100 * 1024 * 1024
IMPORT_S: Final = 30.0
ACCEPTED: Final = ("application/octet-stream", "image/*", "application/pdf", "video/*")


class StraightQuery(Query):
    """What is told of a file beside its bytes."""

    filename: Filename | None = Field(default=None, description="What people call it")


@api.route(
    "PUT",
    AT + "/{asset_id}",
    summary="Store a small file",
    tag="assets",
    raw=RawBody(dict.fromkeys(ACCEPTED), too_large=AssetTooLarge),
    replies=STORED,
    errors=[*REFUSALS, Forbidden, RoomNotFound, AssetHashMismatch, UploadStalled],
    audit="asset.add",
)
async def put_asset(call: Call, path: HashPath, query: StraightQuery) -> Response:
    """Send the bytes as they are, up to 32 MiB; the last part of the address is their SHA-256. Its type is
    what the bytes say. Twice is harmless. Larger files are announced."""
    services = call.services
    await call.database.read(partial(check_edit, call=call, room_id=path.room_id))
    most_bytes = min(STRAIGHT_MOST_BYTES, services.settings.max_asset_bytes)
    intake = services.intake
    async with intake.receiving.take(call.identity.user_id), intake.open_desk() as desk:
        received = await desk.receive(call.chunks(most_bytes))
        if received.sha256 != path.asset_id:
            raise AssetHashMismatch
        return await _take_in(call, desk, received, path.room_id, query.filename)


@api.route(
    "POST",
    AT + "/import",
    summary="Fetch a file from an address",
    tag="assets",
    replies=STORED,
    errors=[*REFUSALS, Forbidden, RoomNotFound, ImportUrlInvalid, ImportAddressRefused, ImportFailed],
    audit="asset.add",
)
async def import_asset(call: Call, path: RoomPath, body: ImportedAsset) -> Response:
    """The server fetches it within half a minute, up to 100 MiB, from public addresses only, and checks it
    like any other."""
    services = call.services
    await call.database.read(partial(check_edit, call=call, room_id=path.room_id))
    intake = services.intake
    async with intake.importing.take(call.identity.user_id), intake.open_desk() as desk:
        fetched = await fetch(
            body.url,
            desk.folder / "received",
            max_bytes=min(IMPORT_MOST_BYTES, services.settings.max_asset_bytes),
            networks=services.settings.import_networks,
            total_s=IMPORT_S,
        )
        received = Received(desk.folder / "received", fetched.size_bytes, fetched.sha256)
        name = body.filename or tame_filename(fetched.filename, "")
        return await _take_in(call, desk, received, path.room_id, name or None)


async def _take_in(
    call: Call, desk: Desk, received: Received, room_id: str, filename: str | None
) -> Response:
    services, user_id = call.services, call.identity.user_id
    find = partial(find_present, room_id=room_id, sha256=received.sha256)
    present = await call.database.write(find)
    if present is not None:
        return answer_stored(present, is_new=False)
    checked = await desk.check(received)
    kind = checked.verdict.content_type
    check_size(services, kind, received.size_bytes)
    name = filename or default_filename(received.sha256, kind)
    now, asset_id = services.now(), new_id()
    wanted = Upload(
        id=asset_id,
        room_id=room_id,
        user_id=user_id,
        sha256=received.sha256,
        size_bytes=received.size_bytes,
        content_type=kind,
        filename=name,
        key=make_key(user_id, asset_id, name, kind),
        parts_id=None,
        part_bytes=None,
        created_at=now,
        expires_at=now,
    )
    # asked again where the row is written; here it saves storing what can't stay
    await call.database.read(partial(check_space_for, wanted=wanted, space=space_of(services)))
    await store(services, wanted.key, checked)
    return await keep_checked(call, make_asset(services, wanted, wanted.key, checked), None)
