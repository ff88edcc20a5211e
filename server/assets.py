"""Asset routes: the images of a room, in and out.

Owns: /api/v1/rooms/{room_id}/assets/{asset_id}. Does not own: storage (`blobs/`), signatures (`images.py`).
Rules: the id is the SHA-256 of the bytes and is verified; the type is what the bytes say; an SVG may not run
anything, wherever it is opened; an asset never changes, so it is cached for good.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from pydantic import Field
from starlette.responses import Response, StreamingResponse

from party.errors import RoomNotFound
from server.conditions import is_known_to_client, make_etag
from server.images import HEAD_BYTES, sniff_image
from server.problems import AssetHashMismatch, AssetNotFound, AssetTooLarge, AssetTypeRefused
from server.registry import Api, Call, Out, Path, RawBody, Reply, RequestHeaders, answer
from server.rooms import RoomId, get_room

api = Api()

IMAGE_TYPES: Final = (
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/avif",
    "image/bmp",
    "image/x-icon",
    "image/svg+xml",
)
ACCEPTED: Final = ("application/octet-stream", "image/*")
ASSET_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


class AssetPath(Path):
    """Which image of which room."""

    missing = AssetNotFound
    room_id: RoomId
    asset_id: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the bytes, lower-case hex")
    ]


class AssetHeaders(RequestHeaders):
    """Headers of a read."""

    if_none_match: str | None = Field(default=None, alias="If-None-Match", description="ETags you have")


class AssetOut(Out):
    """A stored image."""

    id: str
    url: str
    content_type: str
    size_bytes: int


@api.route(
    "PUT",
    "/api/v1/rooms/{room_id}/assets/{asset_id}",
    summary="Store an image",
    tag="assets",
    raw=RawBody(dict.fromkeys(ACCEPTED), too_large=AssetTooLarge),
    replies=[
        Reply(201, "Stored", AssetOut, headers={"Location": "Its address"}),
        Reply(200, "It was there already", AssetOut),
    ],
    errors=[RoomNotFound, AssetHashMismatch, AssetTypeRefused],
)
async def put_asset(call: Call, path: AssetPath) -> Response:
    """Send the bytes as they are: png, jpeg, gif, webp, avif, svg, bmp or ico. Twice is harmless."""
    services = call.services
    await get_room(services, path.room_id)
    body = _Checked(call.chunks(services.settings.max_asset_bytes))
    is_new = await services.blobs.put(path.room_id, path.asset_id, body.chunks())
    url = f"/api/v1/rooms/{path.room_id}/assets/{path.asset_id}"
    stored = AssetOut(id=path.asset_id, url=url, content_type=body.content_type, size_bytes=body.size_bytes)
    return answer(stored, status=201 if is_new else 200, headers={"Location": url} if is_new else None)


class _Checked:
    """A body on its way to storage, refused as soon as its first bytes are those of no image."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.content_type = ""
        self.size_bytes = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        held = b""
        async for chunk in self._source:
            self.size_bytes += len(chunk)
            if self.content_type:
                yield chunk
                continue
            held += chunk
            if len(held) >= HEAD_BYTES:
                self._decide(held)
                yield held
        if not self.content_type:
            self._decide(held)
            yield held

    def _decide(self, head: bytes) -> None:
        found = sniff_image(head[:HEAD_BYTES])
        if found is None:
            raise AssetTypeRefused
        self.content_type = found


@api.route(
    "GET",
    "/api/v1/rooms/{room_id}/assets/{asset_id}",
    summary="Read an image",
    tag="assets",
    replies=[
        Reply(200, "The bytes", media=IMAGE_TYPES, headers={"ETag": "The id"}),
        Reply(304, "You have it", headers={"ETag": "The id"}),
    ],
    errors=[RoomNotFound],
)
async def read_asset(call: Call, path: AssetPath, headers: AssetHeaders) -> Response:
    """It never changes, so it may be kept for good."""
    services = call.services
    await get_room(services, path.room_id)
    blob = await services.blobs.find(path.room_id, path.asset_id)
    if blob is None:
        raise AssetNotFound
    etag = make_etag(path.asset_id)
    told = {
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Security-Policy": ASSET_CSP,
        "Vary": "Authorization, Cookie",
    }
    if is_known_to_client(headers.if_none_match, etag):
        return Response(status_code=304, headers=told)
    told["Content-Length"] = str(blob.size_bytes)
    # "application/octet-stream" can't happen but for a file somebody else put there
    kind = sniff_image(blob.head) or "application/octet-stream"
    if call.request.method == "HEAD":
        return Response(headers=told, media_type=kind)
    return StreamingResponse(blob.chunks(), headers=told, media_type=kind)
