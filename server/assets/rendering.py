"""The jobs that follow a change of rows: the smaller forms of an image, and the end of blobs.

Owns: `assets.render` and `blobs.remove`. Does not own: pictures (`server/media`), the queue (`server/jobs`).
Rule: may be killed and repeated at any step: a form has the same key at every attempt, and its row is written
after its bytes.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, cast

from sqlalchemy import Connection

from db.assets import Asset, Rendition, RenditionName, find_asset, find_unknown_keys, insert_rendition
from db.scopes import as_system
from party.errors import Invalid
from server.assets.intake import read_file
from server.assets.keeping import let_go
from server.assets.legacy import list_legacy_keys
from server.assets.names import make_rendition_key
from server.blobs.errors import BlobExists, BlobNotFound
from server.jobs.base import GiveUp, JobCall
from server.media.base import Rendered


async def render_asset(call: JobCall) -> Mapping[str, Any]:
    """Make what is missing of an asset's renditions. Gives up on an image that can't be drawn."""
    services = call.services
    asset = await as_system(services.database).read(partial(find_asset, id=str(call.job.payload["asset_id"])))
    if asset is None:
        return {"made": []}
    async with services.intake.open_desk() as desk:
        try:
            received = await desk.fetch(services.blobs, asset.key)
            made = await services.intake.studio.render(received.path, desk.folder)
        except BlobNotFound as error:
            raise GiveUp("The image is gone from storage.") from error
        except Invalid as error:
            raise GiveUp(error.message) from error
        known = {one.name for one in asset.renditions}
        for number, one in enumerate(made):
            if one.name not in known:
                await _keep(call, asset, one)
            call.progress((number + 1) / len(made), f"{one.name} is made")
    return {"made": [one.name for one in made]}


async def _keep(call: JobCall, asset: Asset, made: Rendered) -> None:
    services = call.services
    key = make_rendition_key(asset.key, made.name, made.content_type)
    size_bytes = made.size_bytes
    try:
        await services.blobs.put(
            key, read_file(made.path), size_bytes=size_bytes, content_type=made.content_type
        )
    except BlobExists:
        # an earlier attempt came as far as this
        info = await services.blobs.find(key)
        size_bytes = info.size_bytes if info else size_bytes
    form = Rendition(
        cast("RenditionName", made.name), key, made.content_type, made.width, made.height, size_bytes
    )
    await as_system(services.database).write(
        partial(_record, asset_id=asset.id, form=form, now=services.now())
    )
    if (cache := services.backplane.asset_cache) is not None:
        await cache.forget(asset.id)


def _record(connection: Connection, asset_id: str, form: Rendition, now: datetime) -> None:
    if not insert_rendition(connection, asset_id, form) and find_asset(connection, asset_id) is None:
        # swept meanwhile, and nobody else knows of this blob
        let_go(connection, [form.key], now)


async def remove_blobs(call: JobCall) -> None:
    """Remove blobs and started uploads that no row names any more."""
    payload, services = call.job.payload, call.services
    for key, parts_id in payload["parts"]:
        await services.blobs.abort_parts(key, parts_id)
    keys = list(payload["keys"])
    if "room_id" in payload:
        keys += await list_legacy_keys(services.blobs, payload["room_id"])
    # since it was asked for, a key may have got a row: this runs late, twice, or after a commit was repeated
    unknown = await as_system(services.database).read(partial(find_unknown_keys, keys=keys))
    await services.blobs.delete(unknown)
