"""From checked bytes to an asset: the step that every way in takes.

Owns: storing, recording, what is answered, the limits of a single file. Does not own: the check
(`intake.py`), the transaction (`keeping.py`).
Rule: bytes first, then the row. Killed between the two, nobody knows of the bytes, and the sweep finds
them.
"""

from functools import partial
from typing import Final

from pydantic import JsonValue
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db.assets import Asset, Upload
from db.scopes import as_system
from party.errors import Forbidden, RoomNotFound
from server.assets.intake import Checked, read_file
from server.assets.keeping import Space, keep, let_go
from server.assets.names import rename_for
from server.assets.shapes import AssetOut, asset_out
from server.media.kinds import RASTER
from server.problems import (
    AssetBroken,
    AssetTooLarge,
    AssetTooManyFrames,
    AssetTooManyPixels,
    AssetTypeMismatch,
    AssetTypeRefused,
    Busy,
    HeicOff,
    QuotaExceeded,
    SvgRefused,
    UploadNotFound,
)
from server.registry import Call, Reply, answer
from server.rooms import check_edit
from server.services import Services

AT: Final = "/api/v1/rooms/{room_id}/assets"
IMAGE_MOST_BYTES: Final = 100 * 1024 * 1024

LOCATION: Final = {"Location": "Its address"}
STORED: Final = (
    Reply(201, "Stored", AssetOut, headers=LOCATION),
    Reply(200, "The room has these bytes", AssetOut, headers=LOCATION),
)
REFUSALS: Final = (
    AssetTypeMismatch,
    AssetTypeRefused,
    HeicOff,
    AssetBroken,
    AssetTooManyPixels,
    AssetTooManyFrames,
    SvgRefused,
    AssetTooLarge,
    QuotaExceeded,
    Busy,
)
"""What may be wrong with a file, whichever way it came."""


def check_size(services: Services, content_type: str, size_bytes: int) -> None:
    """Raises AssetTooLarge."""
    most = services.settings.max_asset_bytes
    if content_type in RASTER:
        most = min(most, IMAGE_MOST_BYTES)
    if size_bytes > most:
        raise AssetTooLarge(
            f"The file has {size_bytes} bytes, and this server takes {most} of type {content_type}."
        )


def space_of(services: Services) -> Space:
    """How much rooms and users may store here."""
    return Space(services.settings.room_quota_bytes, services.settings.user_quota_bytes)


def new_id() -> str:
    """A ULID in lower case."""
    return str(ULID()).lower()


def make_asset(services: Services, upload: Upload, key: str, checked: Checked) -> Asset:
    """What was checked, as it is about to be recorded."""
    verdict = checked.verdict
    return Asset(
        id=upload.id,
        room_id=upload.room_id,
        user_id=upload.user_id,
        sha256=upload.sha256,
        stored_sha256=checked.stored_sha256,
        size_bytes=checked.size_bytes,
        content_type=verdict.content_type,
        filename=rename_for(upload.filename, checked.kind, verdict.content_type),
        key=key,
        width=verdict.width,
        height=verdict.height,
        frames=verdict.frames,
        color=verdict.color,
        created_at=services.now(),
    )


async def store(services: Services, key: str, checked: Checked) -> None:
    """Put what was checked under its key, which is new. Raises Unavailable."""
    await services.blobs.put(
        key,
        read_file(checked.path),
        size_bytes=checked.size_bytes,
        content_type=checked.verdict.content_type,
    )


async def keep_checked(call: Call, asset: Asset, upload: Upload | None) -> Response:
    """Record it, and say so. Raises what `keep` raises, Forbidden, Unavailable.

    What was stored for it is removed when it is refused, and stays when the database fails: the commit may
    have happened all the same.
    """
    services = call.services
    now = services.now()
    told: dict[str, JsonValue] = {
        "filename": asset.filename,
        "content_type": asset.content_type,
        "size_bytes": asset.size_bytes,
    }
    note = partial(call.record, action="asset.add", room_id=asset.room_id, target=asset.id, details=told)

    def record(conn: Connection) -> tuple[Asset, bool]:
        # the check took its time, and the role may have changed meanwhile
        check_edit(conn, call, asset.room_id)
        return keep(conn, asset=asset, now=now, upload=upload, space=space_of(services), and_note=note)

    try:
        kept, is_new = await call.database.write(record)
    except (QuotaExceeded, Forbidden, RoomNotFound, UploadNotFound):
        if upload is None or asset.key != upload.key:
            await as_system(services.database).write(partial(let_go, keys=[asset.key], now=now))
            services.jobs.wake()
        raise
    services.jobs.wake()
    return answer_stored(kept, is_new=is_new)


def answer_stored(asset: Asset, *, is_new: bool) -> Response:
    """201 or 200, and where it is."""
    told = asset_out(asset)
    return answer(told, status=201 if is_new else 200, headers={"Location": told.url})
