"""What R2 refuses and the S3 server of the tests does not: a filter between it and whoever asks.

Owns: the rules (`complaint`, pure), and a proxy that applies them to each request and passes the rest on,
Host included, so that signatures are verified behind it. Does not own: the server (`weed.py`).
Source: R2's pages on S3 compatibility, presigned addresses and multipart uploads.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from tests.blobs.weed import BUCKET, CREDENTIALS, Weed

WEEK_S = 7 * 86_400
MIN_PART_BYTES = 5 * 1024 * 1024
REGIONS = ("auto", "us-east-1", "")
MUST_BE_SIGNED = ("content-length", "content-type", "if-none-match")
MUST_BE_SIGNED_OF_A_PART = ("content-length",)
UNKNOWN = re.compile(
    r"x-amz-(grant-.*|tagging.*|object-lock-.*|website-redirect-location|request-payer|trailer"
    r"|server-side-encryption(-aws-.*|-context|-bucket-key-enabled)?|decoded-content-length)"
)


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one request."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def query(self) -> dict[str, str]:
        found = parse_qs(urlsplit(self.target).query, keep_blank_values=True)
        return {name: values[0] for name, values in found.items()}


@dataclass(slots=True)
class Uploads:
    """The lengths of the parts of each upload, which R2 wants to be of one size."""

    sizes: dict[str, dict[int, int]] = field(default_factory=dict)

    def note(self, head: Head) -> None:
        """A part that was stored."""
        query = head.query
        if head.method == "PUT" and "uploadId" in query and "partNumber" in query:
            of_upload = self.sizes.setdefault(query["uploadId"], {})
            of_upload[int(query["partNumber"])] = int(head.headers["content-length"])

    def complaint(self, head: Head) -> tuple[int, str] | None:
        query = head.query
        if head.method != "POST" or "uploadId" not in query:
            return None
        sizes = self.sizes.get(query["uploadId"], {})
        whole = {size for number, size in sizes.items() if number != max(sizes)}
        if len(whole) > 1:
            return 400, "InvalidPart: all parts but the last must have one length"
        if any(size < MIN_PART_BYTES for size in whole):
            return 400, "EntityTooSmall: a part is smaller than 5 MiB"
        return None


def complaint(head: Head) -> tuple[int, str] | None:
    """Why R2 would refuse this request, with the status; None when it would look at it."""
    headers, query = head.headers, head.query
    if head.method == "POST" and headers.get("content-type", "").startswith("multipart/form-data"):
        return 501, "NotImplemented: there is no POST of a form"
    for name in headers:
        if UNKNOWN.fullmatch(name):
            return 501, f"NotImplemented: header {name}"
    if headers.get("x-amz-acl", "private") != "private":
        return 501, "NotImplemented: access control lists"
    if "aws-chunked" in headers.get("content-encoding", ""):
        return 501, "NotImplemented: aws-chunked"
    if headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
        return 501, f"NotImplemented: {headers['x-amz-content-sha256']}"
    if head.method == "PUT" and "content-length" not in headers:
        return 411, "MissingContentLength"
    signed = re.search(r"Credential=[^/]+/\d{8}/([^/]*)/s3/aws4_request", headers.get("authorization", ""))
    if signed and signed[1] not in REGIONS:
        return 400, f"InvalidRegionName: {signed[1]}"
    return _presigned(head, query) if "X-Amz-Signature" in query else None


def _presigned(head: Head, query: Mapping[str, str]) -> tuple[int, str] | None:
    scope = query.get("X-Amz-Credential", "").split("/")
    if len(scope) != 5 or scope[2] not in REGIONS:
        return 400, "InvalidRegionName"
    if not 1 <= int(query.get("X-Amz-Expires", "0")) <= WEEK_S:
        return 400, "AuthorizationQueryParametersError: 1 second to 7 days"
    if head.method == "POST":
        return 501, "NotImplemented: presigned POST"
    if head.method == "PUT":
        bound = query.get("X-Amz-SignedHeaders", "").split(";")
        wanted = MUST_BE_SIGNED_OF_A_PART if "partNumber" in query else MUST_BE_SIGNED
        for name in wanted:
            if name not in bound:
                # R2 would take it; we would not, for then it binds nothing
                return 403, f"AccessDenied: {name} is not signed"
    return None


class Strict:
    """The filter, listening. `refused` lists what it refused; `cut_after_bytes` ends answers early.

    With `is_down` connections break; requests wait at `gate`, which is open unless a test clears it; the next
    `busy` of the method `busy_method` are told to slow down.
    """

    def __init__(self, port_behind: int) -> None:
        self._port_behind = port_behind
        self._uploads = Uploads()
        self.refused: list[str] = []
        self.requests: list[Head] = []
        self.cut_after_bytes: int | None = None
        self.is_down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = 0
        self.busy_method = "PUT"
        self.port = 0
        self._serving: set[asyncio.Task[None] | None] = set()

    async def end(self) -> None:
        """End the connections that are left."""
        left = [task for task in self._serving if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one request, for both sides are told to close after it."""
        self._serving.add(asyncio.current_task())
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
            head = parse_head(raw)
            self.requests.append(head)
            await self.gate.wait()
            if self.is_down:
                writer.transport.abort()
                return
            why = complaint(head) or self._uploads.complaint(head)
            if self.busy and head.method == self.busy_method:
                self.busy -= 1
                await self._refuse(reader, writer, 503, "SlowDown: Reduce your request rate.")
            elif why:
                self.refused.append(f"{head.method} {head.target}: {why[1]}")
                await self._refuse(reader, writer, *why)
            else:
                await self._pass_on(raw, head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            # cancelled by `end`, and by nobody else; asyncio would log it
            return
        finally:
            self._serving.discard(asyncio.current_task())
            writer.close()

    async def _refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int, why: str
    ) -> None:
        code, _, message = why.partition(": ")
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        head = f"HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        await _read_off(reader)

    async def _pass_on(
        self, raw: bytes, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        behind_reader, behind = await asyncio.open_connection("127.0.0.1", self._port_behind)
        lines = [line for line in raw.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        behind.write(b"\r\n".join([*lines[:-2], b"Connection: close", b"", b""]))
        sending = asyncio.create_task(_copy(reader, behind))
        try:
            answer = await behind_reader.readuntil(b"\r\n\r\n")
            while answer.startswith(b"HTTP/1.1 1"):
                writer.write(answer)
                answer = await behind_reader.readuntil(b"\r\n\r\n")
            if answer.startswith(b"HTTP/1.1 2"):
                self._uploads.note(head)
            if "origin" not in head.headers:
                # as S3: what an <img> asked for may then be given to a fetch from a browser's cache
                answer = re.sub(rb"(?i)\r\nvary: origin(?=\r\n)", b"", answer)
            writer.write(answer)
            limit, self.cut_after_bytes = self.cut_after_bytes, None
            await _copy(behind_reader, writer, limit)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            behind.close()
        await _read_off(reader)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None = None) -> None:
    seen = 0
    while data := await reader.read(65536 if limit is None else max(0, min(65536, limit - seen))):
        seen += len(data)
        try:
            writer.write(data)
            await writer.drain()
        except ConnectionError:
            return


async def _read_off(reader: asyncio.StreamReader) -> None:
    """What still comes of the body: closed with it unread, the connection is reset and the answer lost."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(0.5):
            while await reader.read(65536):
                continue


def parse_head(raw: bytes) -> Head:
    """A request's head up to the empty line."""
    first, *lines = raw.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines if line)
    return Head(method, target, {name.strip().lower(): value.strip() for name, _, value in pairs})


@dataclass(frozen=True, slots=True)
class Bucket:
    """A fresh bucket behind the filter: KANVAS_BLOBS_URL and the environment that goes with it."""

    url: str
    env: Mapping[str, str]
    strict: Strict


@asynccontextmanager
async def open_bucket(weed: Weed) -> AsyncIterator[Bucket]:
    """What is below a new prefix of the server's bucket, empty."""
    strict = Strict(weed.port)
    server = await asyncio.start_server(strict.serve, "127.0.0.1", 0, limit=256 * 1024)
    strict.port = server.sockets[0].getsockname()[1]
    # one bucket for all: the first blob of each takes the server up to 5 s
    await weed.warm()
    prefix = f"test-{secrets.token_hex(8)}"
    url = f"s3://{BUCKET}/{prefix}?endpoint=http://127.0.0.1:{strict.port}"
    try:
        yield Bucket(url, CREDENTIALS, strict)
    finally:
        server.close()
        await strict.end()
        await server.wait_closed()
