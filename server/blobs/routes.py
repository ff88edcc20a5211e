"""The routes behind our own signed addresses: PUT and GET /blobs/{key}. With S3 there is nothing here, unless
it is encrypted by us.

Owns: what such a request must hold, and its answer. Does not own: the signature (`signing.py`), the files.
Rules: the signature is the permission, nobody signs in; it is checked before anything else is looked at; an
upload has exactly the length and type that were signed, never overwrites, and is taken while it is awaited.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Final, cast

from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from db.assets import is_awaited
from db.scopes import as_system
from party.errors import KanvasError, TooLarge
from server.assets.names import PREFIX
from server.blobs.base import IMMUTABLE, KEY_PATTERN, Blobs
from server.blobs.delivery import RangeRefused, deliver
from server.blobs.errors import (
    BlobExists,
    BlobMismatch,
    BlobNotFound,
    BlobTypeRefused,
    BlobUrlRefused,
    LengthMissing,
    OverwritePossible,
)
from server.blobs.files import FileBlobs
from server.blobs.sealed import SealedBlobs
from server.conditions import make_etag
from server.patience import keep_pace
from server.problems import Busy, UploadStalled, kanvas_error_handler
from server.registry import Api, Call, Path, Query, RawBody, Reply, RequestHeaders, read_chunks

api = Api()

AT: Final = "/blobs/{key:path}"
MAX_VALUE_CHARS: Final = 4000
"""A name of 200 characters, each of four bytes, percent-encoded, is 2,400."""

Served = FileBlobs | SealedBlobs
"""The adapters whose bytes go through this server."""

Source = Callable[[int], AsyncIterator[bytes]]
"""The body, refused beyond so many bytes."""


class BlobPath(Path):
    """Which blob."""

    missing = BlobNotFound
    key: Annotated[str, Field(pattern=KEY_PATTERN, description="Key of the blob")]


class BlobQuery(Query):
    """What was signed; use the address as it was given."""

    signature: str = Field(pattern="^[0-9a-f]{64}$")
    expires: str = Field(pattern="^[0-9]{1,12}$", description="Seconds since 1970")
    type: str | None = Field(default=None, max_length=MAX_VALUE_CHARS)
    disposition: str | None = Field(default=None, max_length=MAX_VALUE_CHARS)
    size: str | None = Field(default=None, pattern="^[0-9]{1,15}$")
    upload: str | None = Field(default=None, pattern="^[0-9a-z]{26}$")
    part: str | None = Field(default=None, pattern="^[0-9]{1,5}$")


class ReadHeaders(RequestHeaders):
    """Headers of a read."""

    range: str | None = Field(default=None, alias="Range", description="One range of bytes")
    if_range: str | None = Field(default=None, alias="If-Range")
    if_none_match: str | None = Field(default=None, alias="If-None-Match", description="ETags you have")


@api.route(
    "PUT",
    AT,
    summary="Store a blob at a signed address",
    tag="assets",
    needs_user=False,
    raw=RawBody({"*/*": None}),
    replies=[Reply(201, "Stored, durably")],
    errors=[
        BlobUrlRefused,
        BlobTypeRefused,
        BlobExists,
        BlobMismatch,
        LengthMissing,
        OverwritePossible,
        UploadStalled,
        Busy,
    ],
)
async def put_blob(call: Call, path: BlobPath, query: BlobQuery) -> Response:
    """Send the bytes with exactly the method, address and headers you were given. No sign-in."""
    blobs = _served(call.services.blobs)

    async def awaited(most_bytes: int) -> AsyncIterator[bytes]:
        is_wanted = partial(is_awaited, key=path.key)
        # canceled, its bytes count in no quota, and its address is good for a while
        if path.key.startswith(PREFIX) and not await as_system(call.services.database).read(is_wanted):
            raise BlobNotFound("This upload is over; announce the file again.")
        async for chunk in call.chunks(most_bytes):
            yield chunk

    return await store_signed(call.request, blobs, path.key, query.model_dump(exclude_none=True), awaited)


@api.route(
    "GET",
    AT,
    summary="Read a blob at a signed address",
    tag="assets",
    needs_user=False,
    replies=[
        Reply(200, "The bytes", media=("*/*",), headers={"ETag": "Changes never"}),
        Reply(206, "The range", media=("*/*",), headers={"ETag": "Changes never"}),
        Reply(304, "You have it", headers={"ETag": "Changes never"}),
    ],
    errors=[BlobUrlRefused, RangeRefused],
)
async def read_blob(call: Call, path: BlobPath, query: BlobQuery, headers: ReadHeaders) -> Response:
    """The bytes, with the type and disposition that were signed. No sign-in."""
    del headers  # declared for the documentation; delivery reads them
    blobs = _served(call.services.blobs)
    return await read_signed(call.request, blobs, path.key, query.model_dump(exclude_none=True))


def _served(blobs: Blobs) -> Served:
    # metered, it has the same verbs around what is inside
    if not isinstance(getattr(blobs, "inner", blobs), Served):
        raise BlobNotFound("This server keeps its images elsewhere; ask for a new address.")
    return cast(Served, blobs)


async def store_signed(
    request: Request, blobs: Served, key: str, params: Mapping[str, str], chunks: Source
) -> Response:
    """The answer to a signed PUT. Raises the errors of the route."""
    blobs.signer.check("PUT", key, params)
    size_bytes = int(params["size"])
    if params.get("type", request.headers.get("content-type")) != request.headers.get("content-type"):
        raise BlobTypeRefused
    announced = request.headers.get("content-length")
    if announced is None:
        raise LengthMissing
    if announced != str(size_bytes):
        # uvicorn lets nothing through here but a number
        error = TooLarge if int(announced) > size_bytes else BlobMismatch
        raise error(f"The address is for {size_bytes} bytes, not for {announced}; nothing was stored.")
    is_part = "upload" in params
    if not is_part and request.headers.get("if-none-match", "").strip() != "*":
        raise OverwritePossible
    with _one_sender(blobs, f"{key} {params.get('upload', '')} {params.get('part', '')}"):
        source = keep_pace(chunks(size_bytes))
        if is_part:
            await blobs.put_part(key, params["upload"], int(params["part"]), source, size_bytes=size_bytes)
        else:
            await blobs.put(key, source, size_bytes=size_bytes, content_type=params["type"])
    return Response(status_code=201, headers={"Cache-Control": "no-store"})


@contextmanager
def _one_sender(blobs: Served, what: str) -> Iterator[None]:
    """Many at one address would fill the disk with what a quota counts once. Raises Busy."""
    if what in blobs.coming:
        raise Busy("These bytes are being sent already; if that was you, send them again in a minute.")
    blobs.coming.add(what)
    try:
        yield
    finally:
        blobs.coming.discard(what)


async def read_signed(request: Request, blobs: Served, key: str, params: Mapping[str, str]) -> Response:
    """The answer to a signed GET or HEAD. Raises the errors of the route."""
    blobs.signer.check("GET", key, params)
    info = await blobs.find(key)
    if info is None:
        raise BlobNotFound
    return await deliver(
        request,
        blobs,
        info,
        content_type=params["type"],
        disposition=params["disposition"],
        etag=make_etag(f"{info.size_bytes:x}-{int(info.stored_at.timestamp() * 1_000_000):x}"),
        cache_control=IMMUTABLE,
    )


def signed_app(blobs: Served) -> Starlette:
    """These two routes and nothing else, for `kanvas blobs check`, which has no server to ask."""

    async def answer(request: Request) -> Response:
        key, params = request.path_params["key"], dict(request.query_params)
        if request.method != "PUT":
            return await read_signed(request, blobs, key, params)
        return await store_signed(
            request, blobs, key, params, lambda most: read_chunks(request, most, TooLarge)
        )

    return Starlette(
        routes=[Route(AT, answer, methods=["GET", "PUT"])],
        exception_handlers={KanvasError: kanvas_error_handler},
    )
