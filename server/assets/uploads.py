"""Asset routes of an upload: announced, sent to storage, completed.

Owns: announcing, signing, parts, completing and canceling. Does not own: the check (`intake.py`), rows
(`keeping.py`), storage (`server/blobs`), the straight way (`straight.py`).
Rules: nothing can be read before it was checked; what is refused is removed; each step may be repeated, and a
server that is killed between any two of them leaves an upload that can be completed or expires.
"""

from functools import partial
from typing import Final

from pydantic import JsonValue
from sqlalchemy import Connection
from starlette.responses import Response

from db.access import get_access
from db.assets import Asset, Upload, set_parts
from db.scopes import as_system
from party.errors import Conflict, Forbidden, Invalid, KanvasError, RoomNotFound, Unavailable
from server.assets.intake import check_announced
from server.assets.keeping import SIGNED_S, UPLOAD_KEPT, announce, cancel, find_unfinished
from server.assets.names import make_key
from server.assets.shapes import (
    AnnouncedOut,
    NewAsset,
    PartsOut,
    RequestOut,
    RoomAssetPath,
    SignedPartOut,
    SignedPartsOut,
    StoredPartOut,
    StoredPartsOut,
    UploadOut,
    WantedParts,
    asset_out,
)
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
from server.audit.notes import Note, note_nothing
from server.blobs.base import Signed
from server.blobs.errors import BlobExists, BlobMismatch, BlobNotFound
from server.problems import (
    AssetHashMismatch,
    AssetSizeMismatch,
    AssetTooLarge,
    Busy,
    QuotaExceeded,
    TooManyUploads,
    UploadIncomplete,
    UploadNotFound,
)
from server.registry import Api, Call, Reply, answer, no_content
from server.rooms import RoomPath, check_edit, get_room
from server.services import Services

api = Api()

ONE_PIECE_MOST_BYTES: Final = 100 * 1024 * 1024
PART_BYTES: Final = 16 * 1024 * 1024
"""R2 and S3 want parts of one length, of at least 5 MiB; 16 keep a lost connection cheap."""
PARTS_MOST: Final = 1000
MIB: Final = 1024 * 1024


def count_parts(size_bytes: int) -> tuple[int, int]:
    """How a file is cut: bytes in each part but the last, and how many parts."""
    part_bytes = max(PART_BYTES, -(-size_bytes // (PARTS_MOST * MIB)) * MIB)
    return part_bytes, -(-size_bytes // part_bytes)


def measure_part(size_bytes: int, part_bytes: int, number: int) -> int:
    """The length of one part, from 1; 0 or less for a part that there is not."""
    return min(part_bytes, size_bytes - (number - 1) * part_bytes)


@api.route(
    "POST",
    AT,
    summary="Announce a file",
    tag="assets",
    replies=[
        Reply(200, "The room has these bytes: nothing is to be sent", AnnouncedOut),
        Reply(201, "Send them to the address in the answer, then complete the upload", AnnouncedOut),
    ],
    errors=[Forbidden, RoomNotFound, AssetTooLarge, QuotaExceeded, TooManyUploads],
    audit="asset.add",
)
async def announce_asset(call: Call, path: RoomPath, body: NewAsset) -> Response:
    """Say what will come, and be told where it goes.

    The address is bound to exactly this length and type, and is good for an hour. Announced again by the same
    user, an unfinished upload goes on where it was; without `request` and `parts` all of it has arrived, and
    it is to be completed. Over 100 MB the file goes in parts.
    """
    services = call.services
    check_size(services, body.content_type, body.size)
    wanted = _plan(call, path.room_id, body)

    def plan(conn: Connection) -> Asset | Upload:
        check_edit(conn, call, path.room_id)
        return announce(conn, wanted=wanted, space=space_of(services))

    found = await call.database.write(plan)
    if isinstance(found, Asset):
        return answer(AnnouncedOut(asset=asset_out(found), upload=None))
    if found.part_bytes is not None and found.parts_id is None:
        found = await _start_parts(services, found)
    has_arrived = (
        found.id != wanted.id
        and found.part_bytes is None
        and await services.blobs.find(found.key) is not None
    )
    told = await _upload_out(services, found, has_arrived=has_arrived)
    return answer(AnnouncedOut(asset=None, upload=told), status=201)


def _plan(call: Call, room_id: str, body: NewAsset) -> Upload:
    now = call.services.now()
    upload_id, user_id = new_id(), call.identity.user_id
    return Upload(
        id=upload_id,
        room_id=room_id,
        user_id=user_id,
        sha256=body.sha256,
        size_bytes=body.size,
        content_type=body.content_type,
        filename=body.filename,
        key=make_key(user_id, upload_id, body.filename, body.content_type),
        parts_id=None,
        part_bytes=count_parts(body.size)[0] if body.size > ONE_PIECE_MOST_BYTES else None,
        created_at=now,
        expires_at=now + UPLOAD_KEPT,
    )


async def _start_parts(services: Services, upload: Upload) -> Upload:
    """Killed between the two steps it is started again, and what nobody names is swept."""
    parts_id = await services.blobs.start_parts(upload.key, content_type=upload.content_type)
    started = await as_system(services.database).write(partial(set_parts, id=upload.id, parts_id=parts_id))
    if started is None:
        raise UploadNotFound
    return started


async def _upload_out(services: Services, upload: Upload, *, has_arrived: bool) -> UploadOut:
    if has_arrived:
        return UploadOut(id=upload.id, expires_at=upload.expires_at, request=None, parts=None)
    if upload.part_bytes is not None:
        parts = PartsOut(part_bytes=upload.part_bytes, count=-(-upload.size_bytes // upload.part_bytes))
        return UploadOut(id=upload.id, expires_at=upload.expires_at, request=None, parts=parts)
    signed = await services.blobs.sign_put(
        upload.key, size_bytes=upload.size_bytes, content_type=upload.content_type, expires_s=SIGNED_S
    )
    return UploadOut(id=upload.id, expires_at=signed.expires_at, request=_request_out(signed), parts=None)


def _request_out(signed: Signed) -> RequestOut:
    return RequestOut(method=signed.method, url=signed.url, headers=dict(signed.headers))


async def _find(call: Call, path: RoomAssetPath) -> Upload | Asset:
    return await call.database.read(
        partial(find_unfinished, room_id=path.room_id, id=path.asset_id, user_id=call.identity.user_id)
    )


async def _get_cut(call: Call, path: RoomAssetPath) -> tuple[Upload, str, int]:
    """An upload in parts, where they go, and how long they are. Raises UploadNotFound, Conflict."""
    found = await _find(call, path)
    if not isinstance(found, Upload):
        raise Conflict("The upload is complete; there are no parts any more.")
    if found.parts_id is None or found.part_bytes is None:
        raise Conflict("This upload goes in one piece; send it to the address it was given.")
    return found, found.parts_id, found.part_bytes


@api.route(
    "GET",
    AT + "/{asset_id}/parts",
    summary="See which parts have arrived",
    tag="assets",
    replies=[Reply(200, "What is there, to go on from", StoredPartsOut)],
    errors=[Conflict, Forbidden, RoomNotFound],
)
async def list_parts(call: Call, path: RoomAssetPath) -> Response:
    """For an upload that was interrupted."""
    await get_room(call, path.room_id)
    upload, parts_id, part_bytes = await _get_cut(call, path)
    count = -(-upload.size_bytes // part_bytes)
    try:
        found = await call.services.blobs.list_parts(upload.key, parts_id)
        stored = [StoredPartOut(number=one.number, size_bytes=one.size_bytes) for one in found]
    except BlobNotFound:
        if await call.services.blobs.find(upload.key) is None:
            # the storage gave it up: kept any longer, it would be handed out again and again
            await _cancel(call.services, upload)
            raise UploadNotFound from None
        # joined already, by a completion that came no further
        stored = [
            StoredPartOut(number=number, size_bytes=measure_part(upload.size_bytes, part_bytes, number))
            for number in range(1, count + 1)
        ]
    return answer(StoredPartsOut(part_bytes=part_bytes, count=count, stored=stored))


@api.route(
    "POST",
    AT + "/{asset_id}/parts",
    summary="Get addresses for parts",
    tag="assets",
    replies=[Reply(200, "Where they go", SignedPartsOut)],
    errors=[Conflict, Forbidden, RoomNotFound],
    audit="asset.add",
)
async def sign_parts(call: Call, path: RoomAssetPath, body: WantedParts) -> Response:
    """Each is good for an hour and for exactly that part's length. A part may be sent again."""
    await call.database.read(partial(check_edit, call=call, room_id=path.room_id))
    upload, parts_id, part_bytes = await _get_cut(call, path)
    signed = []
    for number in dict.fromkeys(body.numbers):
        size_bytes = measure_part(upload.size_bytes, part_bytes, number)
        if size_bytes <= 0:
            raise Invalid(f"The file has {-(-upload.size_bytes // part_bytes)} parts; there is no {number}.")
        one = await call.services.blobs.sign_part(
            upload.key, parts_id, number, size_bytes=size_bytes, expires_s=SIGNED_S
        )
        signed.append(SignedPartOut(number=number, size_bytes=size_bytes, request=_request_out(one)))
    return answer(SignedPartsOut(parts=signed))


@api.route(
    "POST",
    AT + "/{asset_id}/complete",
    summary="Complete an upload",
    tag="assets",
    replies=STORED,
    errors=[*REFUSALS, Forbidden, RoomNotFound, UploadIncomplete, AssetSizeMismatch, AssetHashMismatch],
    audit="asset.add",
)
async def complete_upload(call: Call, path: RoomAssetPath) -> Response:
    """What arrived is checked: its length, SHA-256, type, and whether it can be drawn. From then on it can be
    read. What does not pass is removed, and the upload is over. Completing twice is harmless."""
    services = call.services
    await call.database.read(partial(check_edit, call=call, room_id=path.room_id))
    async with services.intake.alone(path.asset_id):
        found = await _find(call, path)
        if isinstance(found, Asset):
            return answer_stored(found, is_new=False)
        try:
            async with services.intake.completing.take(found.user_id):
                return await _complete(call, found)
        except (BlobNotFound, Unavailable) as error:
            # another process may have completed it, and removed what had arrived
            now = await _find(call, path)
            if isinstance(now, Asset):
                return answer_stored(now, is_new=False)
            if isinstance(error, BlobNotFound):
                raise UploadIncomplete from error
            raise
        except (UploadIncomplete, Busy, QuotaExceeded, Forbidden, RoomNotFound, UploadNotFound):
            raise
        except KanvasError:
            await _cancel(services, found)
            raise


async def _complete(call: Call, upload: Upload) -> Response:
    services = call.services
    if upload.parts_id is not None:
        await _join_parts(services, upload, upload.parts_id)
    info = await services.blobs.find(upload.key)
    if info is None:
        raise UploadIncomplete
    async with services.intake.open_desk() as desk:
        # not fetched when it can't be right: somebody else's storage would be read at our cost
        if info.size_bytes != upload.size_bytes:
            raise AssetSizeMismatch(
                f"{info.size_bytes} bytes came, and {upload.size_bytes} were announced; nothing was stored."
            )
        received = await desk.fetch(services.blobs, upload.key)
        check_announced(received, upload.size_bytes, upload.sha256)
        checked = await desk.check(received, upload.content_type)
        key = upload.key
        if checked.verdict.is_rewritten:
            # another key: what is stored never changes, and the address that was given out still writes there
            key = make_key(upload.user_id, new_id(), upload.filename, checked.verdict.content_type)
            await store(services, key, checked)
    return await keep_checked(call, make_asset(services, upload, key, checked), upload)


async def _join_parts(services: Services, upload: Upload, parts_id: str) -> None:
    blobs = services.blobs
    if await blobs.find(upload.key) is not None:
        return
    part_bytes = upload.part_bytes or PART_BYTES
    count = -(-upload.size_bytes // part_bytes)
    stored = {one.number: one for one in await blobs.list_parts(upload.key, parts_id)}
    missing = [
        number
        for number in range(1, count + 1)
        if number not in stored
        or stored[number].size_bytes != measure_part(upload.size_bytes, part_bytes, number)
    ]
    if missing:
        some = ", ".join(map(str, missing[:20]))
        raise UploadIncomplete(f"{len(missing)} of {count} parts have not arrived: {some}; send them first.")
    try:
        await blobs.finish_parts(upload.key, parts_id, [stored[number] for number in range(1, count + 1)])
    except BlobExists:
        # a twin of this request was faster
        return
    except BlobMismatch as error:
        # a part came once more just now: the upload is as good as it was
        raise UploadIncomplete(error.message) from error


@api.route(
    "DELETE",
    AT + "/{asset_id}",
    summary="Cancel an upload",
    tag="assets",
    replies=[Reply(204, "It is over, and what had arrived is removed")],
    errors=[Conflict, Forbidden, RoomNotFound],
    audit="asset.cancel",
)
async def cancel_upload(call: Call, path: RoomAssetPath) -> Response:
    """For an upload of yours that is not complete. An asset stays as long as somebody refers to it."""
    services = call.services
    edit = partial(get_access, room_id=path.room_id, actor=call.actor, action="edit")
    await call.database.read(edit)
    found = await _find(call, path)
    if isinstance(found, Asset):
        raise Conflict("The upload is complete; the file goes by itself when nothing refers to it any more.")

    def note(conn: Connection) -> None:
        told: dict[str, JsonValue] = {"filename": found.filename}
        call.record(conn, "asset.cancel", room_id=found.room_id, target=found.id, details=told)

    if not await _cancel(services, found, note):
        raise UploadNotFound
    return no_content()


async def _cancel(services: Services, upload: Upload, and_note: Note = note_nothing) -> bool:
    def over(conn: Connection) -> bool:
        is_canceled = cancel(conn, upload, services.now())
        if is_canceled:
            and_note(conn)
        return is_canceled

    is_canceled = await as_system(services.database).write(over)
    services.jobs.wake()
    return is_canceled
