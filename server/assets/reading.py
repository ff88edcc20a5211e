"""Asset routes by which bytes are read and listed.

Owns: GET of a file and of its smaller forms, listings by room and by owner. Does not own: Range and ETag
(`server/blobs/delivery.py`).
Rules: who may read the room may read its assets; only raster images are shown in place, anything else is a
file to save, and can't run where it is opened; an asset never changes, so it is kept for good by whoever was
let in, and by nobody between.
"""

import re
from functools import partial
from typing import Final, Literal

import structlog
from pydantic import Field
from starlette.responses import RedirectResponse, Response

from db.assets import Asset, find_asset, find_asset_by_hash, list_assets
from db.scopes import as_system
from party.errors import Forbidden, RoomNotFound
from server.assets.legacy import adopt
from server.assets.names import make_disposition, rename_for
from server.assets.shapes import (
    SHA256_PATTERN,
    ULID_PATTERN,
    AssetList,
    AssetOut,
    AssetPath,
    RenditionName,
    RoomBytesPath,
    asset_out,
)
from server.assets.storing import AT
from server.blobs.delivery import RangeRefused, deliver
from server.conditions import make_etag
from server.cursors import PageQuery, decode_cursor, encode_cursor
from server.media.kinds import RASTER
from server.problems import AssetNotFound
from server.registry import Api, Call, Query, Reply, RequestHeaders, answer
from server.rooms import RoomPath, get_room
from server.services import Services

api = Api()
log = structlog.get_logger("kanvas.assets")

ASSET_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'; sandbox"
FOR_GOOD: Final = "private, max-age=31536000, immutable"
FOR_A_MINUTE: Final = "private, max-age=60"
"""The image itself instead of a smaller form: that may be there soon."""

BYTES: Final = (
    Reply(200, "The bytes", media=("*/*",), headers={"ETag": "?Of the bytes", "Accept-Ranges": "?bytes"}),
    Reply(206, "The part that was asked for", media=("*/*",), headers={"Content-Range": "Which"}),
    Reply(302, "They are in storage, at this address for a while", headers={"Location": "A signed address"}),
    Reply(304, "You have it", headers={"ETag": "Of the bytes"}),
)


class BytesQuery(Query):
    """Which form."""

    rendition: RenditionName | None = Field(
        default=None,
        description="thumb: at most 256 px; web: at most 2048 px. Where there is none, the image itself",
    )


class BytesHeaders(RequestHeaders):
    """Headers of a read."""

    if_none_match: str | None = Field(default=None, alias="If-None-Match", description="ETags you have")
    range: str | None = Field(default=None, alias="Range", description="One range of bytes")
    if_range: str | None = Field(default=None, alias="If-Range", description="The range of which ETag")


@api.route(
    "GET",
    AT,
    summary="List a room's assets",
    tag="assets",
    replies=[Reply(200, "Newest first", AssetList)],
    errors=[Forbidden, RoomNotFound],
)
async def list_room_assets(call: Call, path: RoomPath, query: PageQuery) -> Response:
    """Everything the room has stored, also what is not drawn at the moment."""
    await get_room(call, path.room_id)
    return await _list(call, query, room_id=path.room_id)


@api.route(
    "GET",
    "/api/v1/assets",
    summary="List your assets",
    tag="assets",
    replies=[Reply(200, "Newest first", AssetList)],
)
async def list_own_assets(call: Call, query: PageQuery) -> Response:
    """What you uploaded, in all rooms that are not in the trash."""
    return await _list(call, query, user_id=call.identity.user_id)


async def _list(
    call: Call, query: PageQuery, *, room_id: str | None = None, user_id: str | None = None
) -> Response:
    before = decode_cursor(query.cursor, ULID_PATTERN) if query.cursor is not None else None
    find = partial(list_assets, room_id=room_id, user_id=user_id, before=before, limit=query.limit + 1)
    found = await call.database.read(find)
    page = found[: query.limit]
    more = len(found) > len(page)
    return answer(
        AssetList(
            items=[asset_out(one) for one in page],
            next_cursor=encode_cursor(page[-1].created_at, page[-1].id) if more else None,
        )
    )


@api.route(
    "GET",
    AT + "/{asset_id}",
    summary="Read a room's file",
    tag="assets",
    replies=BYTES,
    errors=[Forbidden, RoomNotFound, RangeRefused],
)
async def read_room_asset(
    call: Call, path: RoomBytesPath, query: BytesQuery, headers: BytesHeaders
) -> Response:
    """By its id, or by the SHA-256 that documents know it by."""
    services = call.services
    await get_room(call, path.room_id)
    if re.fullmatch(SHA256_PATTERN, path.asset_id):
        find = partial(find_asset_by_hash, room_id=path.room_id, sha256=path.asset_id)
        asset = await as_system(services.database).read(find) or await adopt(
            services, path.room_id, path.asset_id
        )
    else:
        asset = await _find(services, path.asset_id)
    if asset is None or asset.room_id != path.room_id:
        raise AssetNotFound
    return await _send(call, asset, query.rendition, headers)


@api.route(
    "GET",
    "/api/v1/assets/{asset_id}",
    summary="Read a file",
    tag="assets",
    replies=BYTES,
    errors=[RangeRefused],
)
async def read_asset(call: Call, path: AssetPath, query: BytesQuery, headers: BytesHeaders) -> Response:
    """Raster images are shown; anything else is a file to save."""
    return await _send(call, await _get(call, path.asset_id), query.rendition, headers)


@api.route(
    "GET",
    "/api/v1/assets/{asset_id}/metadata",
    summary="Read what is known of a file",
    tag="assets",
    replies=[Reply(200, "Its type, size, name, and who uploaded it", AssetOut)],
)
async def read_metadata(call: Call, path: AssetPath) -> Response:
    """Without its bytes."""
    return answer(asset_out(await _get(call, path.asset_id)))


async def _get(call: Call, asset_id: str) -> Asset:
    asset = await _find(call.services, asset_id)
    if asset is None:
        raise AssetNotFound
    try:
        await get_room(call, asset.room_id)
    except (RoomNotFound, Forbidden):
        # which room it is in is not for who can't see it
        raise AssetNotFound from None
    return asset


async def _find(services: Services, asset_id: str) -> Asset | None:
    cache = services.backplane.asset_cache
    if cache is None:
        return await as_system(services.database).read(partial(find_asset, id=asset_id))
    if (kept := await cache.find(asset_id)) is not None:
        return kept
    asset = await as_system(services.database).read(partial(find_asset, id=asset_id))
    if asset is not None:
        await cache.keep(asset)
    return asset


async def _send(
    call: Call, asset: Asset, name: Literal["thumb", "web"] | None, headers: BytesHeaders
) -> Response:
    services = call.services
    form = next((one for one in asset.renditions if one.name == name), None)
    key, kind = (form.key, form.content_type) if form else (asset.key, asset.content_type)
    filename = rename_for(asset.filename, asset.content_type, kind)
    disposition = make_disposition(filename, is_inline=kind in RASTER)
    is_stand_in = name is not None and form is None
    # an address signed for GET takes no HEAD at S3, and what it would tell is known here
    if services.redirects_reads and call.request.method != "HEAD":
        ttl_s = services.settings.signed_url_ttl_s
        # what storage answers an <img> does not allow scripts to read it, and browsers keep that answer: a
        # script that asks for the same file is sent to another address
        is_script = call.request.headers.get("sec-fetch-mode") == "cors"
        signed = await services.blobs.sign_get(
            key, content_type=kind, disposition=disposition, expires_s=ttl_s - is_script
        )
        kept_s = min(60, ttl_s // 2) if is_stand_in else ttl_s // 2
        told = {
            "Cache-Control": f"private, max-age={kept_s}",
            "Vary": "Authorization, Cookie, Sec-Fetch-Mode",
        }
        return RedirectResponse(signed.url, status_code=302, headers=told)
    info = await services.blobs.find(key)
    if info is None:
        log.error("the bytes of an asset are gone", asset_id=asset.id, key=key)
        raise AssetNotFound("The bytes of this file are gone from storage; the operator may have a backup.")
    del headers  # declared for the documentation; `deliver` reads the request's own
    return await deliver(
        call.request,
        services.blobs,
        info,
        content_type=kind,
        disposition=disposition,
        etag=make_etag(f"{asset.stored_sha256}-{form.name}" if form else asset.stored_sha256),
        cache_control=FOR_A_MINUTE if is_stand_in else FOR_GOOD,
        headers={
            "Content-Security-Policy": ASSET_CSP,
            "Vary": "Authorization, Cookie",
        },
    )
