"""Images from before assets had rows: files `{room_id}/{sha256}` in the embedded storage.

Owns: making an asset of one when it is first asked for, where it lies. Does not own: reading it.
Rule: what a document shows since then is still shown, so it is not checked again; its type is what its first
bytes say, and what is no raster image is a file to save like any other.
"""

import re
from functools import partial

import structlog
from sqlalchemy import Connection

from db.assets import Asset, find_asset_by_hash, insert_asset, lock_room
from db.rooms import find_room
from db.scopes import as_system
from server.assets.keeping import enqueue_render
from server.assets.names import default_filename
from server.assets.storing import new_id
from server.blobs.base import Blobs
from server.media.kinds import HEAD_BYTES, RASTER, sniff_kind
from server.services import Services

log = structlog.get_logger("kanvas.assets")


async def list_legacy_keys(blobs: Blobs, room_id: str) -> list[str]:
    """The images of a room from before; nothing else that lies in a folder of that name."""
    name = re.compile(f"{re.escape(room_id)}/[0-9a-f]{{64}}")
    return [info.key async for info in blobs.list(f"{room_id}/") if name.fullmatch(info.key)]


async def adopt(services: Services, room_id: str, sha256: str) -> Asset | None:
    """The image of that name from before, as an asset from now on; None when there is none."""
    key = f"{room_id}/{sha256}"
    info = await services.blobs.find(key)
    if info is None:
        return None
    head = b"".join([chunk async for chunk in services.blobs.read(key, 0, min(HEAD_BYTES, info.size_bytes))])
    kind = sniff_kind(head)
    if kind is None:
        return None
    asset = await as_system(services.database).write(
        partial(
            _record,
            services=services,
            room_id=room_id,
            sha256=sha256,
            key=key,
            kind=kind,
            size_bytes=info.size_bytes,
        )
    )
    services.jobs.wake()
    log.info("image from before is an asset now", room_id=room_id, asset_id=asset.id)
    return asset


def _record(
    connection: Connection,
    *,
    services: Services,
    room_id: str,
    sha256: str,
    key: str,
    kind: str,
    size_bytes: int,
) -> Asset:
    lock_room(connection, room_id)
    present = find_asset_by_hash(connection, room_id, sha256)
    if present is not None:
        return present
    room = find_room(connection, room_id)
    now = services.now()
    asset = Asset(
        id=new_id(),
        room_id=room_id,
        # who uploaded it was not written down
        user_id=room.creator_id if room else "",
        sha256=sha256,
        stored_sha256=sha256,
        size_bytes=size_bytes,
        content_type=kind,
        filename=default_filename(sha256, kind),
        key=key,
        width=None,
        height=None,
        frames=1,
        color=None,
        created_at=now,
    )
    insert_asset(connection, asset)
    if kind in RASTER:
        enqueue_render(connection, asset, now)
    return asset
