"""A blob as an answer: whole or a range, or only that you have it already.

Owns: 200, 206, 304 and 416, and the headers every blob goes out with. Does not own: who may read it, its
type.
Rules: at most one chunk of a blob is in memory per reader, and one that takes nothing for a minute is let go;
an answer begins only when the first bytes are at hand, so that failures are still answers; what is sent can
neither be taken for another type nor run anything.
Source: RFC 9110 sections 13, 14 and 15.3.7.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from party.errors import KanvasError
from server.blobs.base import BlobInfo, Blobs
from server.conditions import is_known_to_client
from server.problems import problem_response, request_id_of
from server.ranges import Span, Unsatisfiable, may_continue, read_range

log = structlog.get_logger("kanvas.blobs")

BLOB_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
STALLED_AFTER_S: Final = 60.0
"""For one chunk of 64 KiB; who is slower than 1 KiB/s asks again with a range."""


class RangeRefused(KanvasError):
    """The range begins behind the end; Content-Range says how long it is."""

    code = "range_refused"
    status = 416
    close_code = 4400


async def deliver(
    request: Request,
    blobs: Blobs,
    info: BlobInfo,
    *,
    content_type: str,
    disposition: str,
    etag: str,
    cache_control: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a GET or HEAD. `etag` has its quotes; `disposition` is the header's value.

    Raises BlobNotFound, Unavailable.
    """
    told = {
        "ETag": etag,
        "Cache-Control": cache_control,
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition,
        "Content-Security-Policy": BLOB_CSP,
        "X-Content-Type-Options": "nosniff",
        **(headers or {}),
    }
    if is_known_to_client(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=told)
    span: Span | None = None
    if request.method == "GET" and may_continue(request.headers.get("if-range"), etag):
        try:
            span = read_range(request.headers.get("range"), info.size_bytes)
        except Unsatisfiable as error:
            found = {"Content-Range": error.content_range, "Accept-Ranges": "bytes"}
            return problem_response(RangeRefused(), request_id_of(request), found)
    start, end = (span.start, span.end) if span else (0, info.size_bytes)
    told["Content-Type"] = content_type
    told["Content-Length"] = str(end - start)
    # middleware.Gzip takes it off again: compressed, a range of this tag would be other bytes
    told["Content-Encoding"] = "identity"
    if span:
        told["Content-Range"] = span.content_range
    if request.method == "HEAD":
        return Response(headers=told)
    chunks = blobs.read(info.key, start, end)
    try:
        first = await anext(chunks, b"")
    except BaseException:
        await chunks.aclose()
        raise
    return _Stream(_after(first, chunks), status_code=206 if span else 200, headers=told, name=info.key)


async def _after(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        if first:
            yield first
        async for chunk in rest:
            yield chunk
    finally:
        await rest.aclose()


class _Stream(StreamingResponse):
    """Sends chunks, watching that somebody takes them, and closes their source whatever happens."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], *, name: str, **more: Any) -> None:
        super().__init__(chunks, **more)
        self._chunks = chunks
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(STALLED_AFTER_S):
                    await send(message)
            except TimeoutError as error:
                log.info("a reader that takes nothing is let go", key=self._name)
                raise ClientDisconnect from error

        try:
            await super().__call__(scope, receive, send_in_time)
        finally:
            await self._chunks.aclose()
