"""What a room keeps: the rows of assets, decided in one transaction each, and the blobs that go with them.

Owns: quotas, "the same bytes once", an upload taken up again, and letting blobs go. Does not own: the
queries (`db/assets.py`), bytes (`server/blobs`), routes.
Rules: whether there is space is decided where the row is written; a row goes in the transaction that
enqueues the removal of its blobs; the work that follows a new asset is enqueued in the transaction that makes
it. Every function here runs inside a database closure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from db.assets import (
    Asset,
    Upload,
    Usage,
    delete_upload,
    find_asset,
    find_asset_by_hash,
    find_same_upload,
    find_upload,
    insert_asset,
    insert_upload,
    lock_space,
    mark_referenced,
    measure_usage,
    prolong_upload,
    release_rooms,
)
from db.queue import enqueue
from server.audit.notes import Note, note_nothing
from server.media.kinds import RASTER
from server.problems import QuotaExceeded, TooManyUploads, UploadNotFound

REMOVE: Final = "blobs.remove"
RENDER: Final = "assets.render"
SWEEP: Final = "assets.sweep"
"""Kinds of jobs."""

UPLOAD_KEPT: Final = timedelta(hours=24)
"""An unfinished upload; each time it is asked for again it starts anew."""

SIGNED_S: Final = 3600
"""How long an address to send bytes to is good for."""

UPLOADS_MOST: Final = 1000
"""Unfinished uploads of one user."""

KEYS_PER_JOB: Final = 500


@dataclass(frozen=True, slots=True)
class Space:
    """How many bytes a room and a user may have stored."""

    room_bytes: int
    user_bytes: int


def check_space(usage: Usage, size_bytes: int, space: Space) -> None:
    """Raises QuotaExceeded."""
    for name, used, most in (
        ("This room", usage.room_bytes, space.room_bytes),
        ("You", usage.user_bytes, space.user_bytes),
    ):
        if used + size_bytes > most:
            verb = "has" if name == "This room" else "have"
            raise QuotaExceeded(
                f"{name} {verb} {max(0, most - used)} bytes of {most} left, and this file has {size_bytes}; "
                "remove some files from the drawings, or ask the operator for more."
            )


def announce(connection: Connection, wanted: Upload, space: Space) -> Asset | Upload:
    """The asset if the room has these bytes; else the upload to go on with, which may be an older one.

    `wanted` is the upload to make when there is none. Raises RoomNotFound, QuotaExceeded, TooManyUploads.
    """
    lock_space(connection, wanted.room_id, wanted.user_id)
    present = find_present(connection, wanted.room_id, wanted.sha256)
    if present is not None:
        return present
    earlier = find_same_upload(connection, wanted.room_id, wanted.user_id, wanted.sha256)
    if (
        earlier is not None
        and (earlier.size_bytes, earlier.content_type) == (wanted.size_bytes, wanted.content_type)
        and earlier.expires_at > wanted.created_at
    ):
        prolong_upload(connection, earlier.id, wanted.expires_at)
        return replace(earlier, expires_at=wanted.expires_at)
    usage = measure_usage(connection, wanted.room_id, wanted.user_id)
    if usage.user_uploads >= UPLOADS_MOST:
        raise TooManyUploads
    check_space(usage, wanted.size_bytes, space)
    insert_upload(connection, wanted)
    return wanted


def check_space_for(connection: Connection, wanted: Upload, space: Space) -> None:
    """Raises QuotaExceeded."""
    check_space(measure_usage(connection, wanted.room_id, wanted.user_id), wanted.size_bytes, space)


def find_present(connection: Connection, room_id: str, sha256: str) -> Asset | None:
    """The asset with these bytes, whose time starts anew: whoever asks is about to use it."""
    asset = find_asset_by_hash(connection, room_id, sha256)
    if asset is not None and asset.unreferenced_at is not None:
        mark_referenced(connection, [asset.id])
        # the sweep may have been faster
        asset = find_asset_by_hash(connection, room_id, sha256)
    return asset


def find_unfinished(connection: Connection, room_id: str, id: str, user_id: str) -> Upload | Asset:  # noqa: A002
    """The user's upload, or the asset it has become. Raises UploadNotFound."""
    upload = find_upload(connection, room_id, id)
    if upload is not None and upload.user_id == user_id:
        return upload
    asset = find_asset(connection, id)
    if asset is not None and asset.room_id == room_id and asset.user_id == user_id:
        return asset
    raise UploadNotFound


def keep(
    connection: Connection,
    asset: Asset,
    now: datetime,
    *,
    upload: Upload | None = None,
    space: Space,
    and_note: Note = note_nothing,
) -> tuple[Asset, bool]:
    """Make what was checked an asset of its room; with False: the room has these bytes, and ours are let go.

    With `upload` it must still be there, and its space is the asset's. `and_note` writes in the transaction
    of what is new. Raises RoomNotFound, UploadNotFound, QuotaExceeded.
    """
    lock_space(connection, asset.room_id, asset.user_id)
    if upload is not None and not delete_upload(connection, upload.id):
        # completed by a twin of this request, or canceled
        found = find_asset(connection, asset.id)
        if found is None:
            raise UploadNotFound
        if asset.key != upload.key:
            let_go(connection, [asset.key], now)
        return found, False
    present = find_present(connection, asset.room_id, asset.sha256)
    if present is not None:
        let_go(connection, [asset.key], now)
        if upload is not None:
            let_go_upload(connection, upload, now)
        return present, False
    check_space(measure_usage(connection, asset.room_id, asset.user_id), asset.size_bytes, space)
    insert_asset(connection, asset)
    if upload is not None and upload.key != asset.key:
        let_go_upload(connection, upload, now)
    if asset.content_type in RASTER:
        enqueue_render(connection, asset, now)
    and_note(connection)
    return asset, True


def enqueue_render(connection: Connection, asset: Asset, now: datetime) -> None:
    """Have the smaller forms of an image made."""
    enqueue(
        connection,
        kind=RENDER,
        payload={"asset_id": asset.id},
        now=now,
        room_id=asset.room_id,
        user_id=asset.user_id,
    )


def cancel(connection: Connection, upload: Upload, now: datetime) -> bool:
    """Forget an upload and what has arrived of it; False when it is gone already."""
    if not delete_upload(connection, upload.id):
        return False
    let_go_upload(connection, upload, now)
    return True


def let_go_upload(connection: Connection, upload: Upload, now: datetime) -> None:
    """Remove what has arrived, now and once more when its address has ended: until then more may come."""
    parts = [] if upload.parts_id is None else [[upload.key, upload.parts_id]]
    for at in (now, now + timedelta(seconds=SIGNED_S + 60)):
        payload = {"keys": [upload.key], "parts": parts}
        enqueue(connection, kind=REMOVE, payload=payload, now=now, run_at=at)


def let_go(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    """Remove blobs that nothing names any more."""
    for at in range(0, len(keys), KEYS_PER_JOB):
        payload = {"keys": list(keys[at : at + KEYS_PER_JOB]), "parts": []}
        enqueue(connection, kind=REMOVE, payload=payload, now=now)


def let_rooms_go(connection: Connection, room_ids: Sequence[str], now: datetime) -> None:
    """Everything these rooms have stored, before they are deleted for good."""
    assets, uploads = release_rooms(connection, room_ids)
    let_go(connection, [key for asset in assets for key in asset.blob_keys()], now)
    for room_id in room_ids:
        # images from before there were rows of them
        payload = {"keys": [], "parts": [], "room_id": room_id}
        enqueue(connection, kind=REMOVE, payload=payload, now=now)
    for upload in uploads:
        let_go_upload(connection, upload, now)
