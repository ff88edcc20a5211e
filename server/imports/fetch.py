"""Fetching a file from the public internet by its URL.

Owns: redirects, what is asked and what answers are taken, the caps on time and size, the file. Does not
own: where it may connect (`addresses.py`, `wire.py`), what is in the file (the caller looks: nothing is
known of it).

Rules: GET without cookies, credentials, referer, proxies or environment; each redirect is read, looked up
and judged like the first address; only a plain 200 is taken; memory does not grow with the file; what the
other server says is never shown, but for its status. Whatever goes wrong, no file is left. A server that
sends a byte at a time must not hold up the rooms: every `SLICE_S` the event loop has its turn.
"""

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import httpcore2

from party.errors import Unavailable
from server.imports.addresses import Network
from server.imports.names import file_name
from server.imports.urls import Place, follow, read_url
from server.imports.wire import Connection, Resolver, connect, look_up, pin
from server.problems import AssetTooLarge, ImportFailed
from server.sign_in import app_version

MAX_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
TOTAL_S: Final = 30.0
CONNECT_S: Final = 5.0
STALL_S: Final = 10.0
WRITE_BYTES: Final = 256 * 1024
SLICE_S: Final = 0.002


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was fetched: `sha256` in lower-case hex, `url` where it was found after all redirects.

    `filename` is what a stranger calls it: a label for people, None without one.
    """

    size_bytes: int
    sha256: str
    filename: str | None
    url: str


@dataclass(frozen=True, slots=True)
class Caps:
    """What one import may take: bytes of the body, seconds to connect to an address and for each read."""

    max_bytes: int
    connect_s: float
    stall_s: float


async def fetch(
    url: str,
    target: Path,
    *,
    max_bytes: int,
    networks: Sequence[Network] = (),
    total_s: float = TOTAL_S,
    connect_s: float = CONNECT_S,
    stall_s: float = STALL_S,
    resolve: Resolver = look_up,
    tls: ssl.SSLContext | None = None,
) -> Fetched:
    """Fetch what is at `url` into the file `target`, which is overwritten.

    `networks` may be reached although they are not public; `tls` replaces the system's certificates.
    Raises ImportUrlInvalid, ImportAddressRefused, ImportFailed, AssetTooLarge, Unavailable (the file can't be
    written). Cancel-safe: on every failure and when cancelled, `target` is gone. Not durable: no fsync.
    """
    caps = Caps(max_bytes, connect_s, stall_s)
    try:
        async with asyncio.timeout(total_s):
            return await _follow(read_url(url), target, caps, networks, resolve, tls)
    except BaseException as error:
        _remove(target)
        if isinstance(error, TimeoutError):
            raise ImportFailed(f"Fetching it took longer than {total_s:g} s.") from None
        raise


def _remove(target: Path) -> None:
    # what went wrong before is what to tell
    with suppress(OSError):
        target.unlink()


async def _follow(
    place: Place,
    target: Path,
    caps: Caps,
    networks: Sequence[Network],
    resolve: Resolver,
    tls: ssl.SSLContext | None,
) -> Fetched:
    for _ in range(1 + MAX_REDIRECTS):
        addresses = await pin(place, networks, resolve)
        connection = await connect(place, addresses, connect_s=caps.connect_s, tls=tls)
        try:
            answer = await _ask(connection, place, caps)
            location = _redirect(answer)
            if location is None:
                return await _take(connection, answer, place, target, caps)
        except httpcore2.TimeoutException as error:
            raise ImportFailed(f"The server at this address sent nothing for {caps.stall_s:g} s.") from error
        except (httpcore2.NetworkError, OSError) as error:
            # an SSLError is an OSError
            raise ImportFailed("The connection broke before the file was complete.") from error
        except httpcore2.ProtocolError as error:
            raise ImportFailed("The server's answer is incomplete or no proper HTTP.") from error
        finally:
            await connection.aclose()
        place = follow(place, location)
    raise ImportFailed(f"It redirects more than {MAX_REDIRECTS} times.")


async def _ask(connection: Connection, place: Place, caps: Caps) -> httpcore2.Response:
    headers: dict[bytes | str, bytes | str] = {
        "Host": place.authority,
        "User-Agent": f"Kanvas/{app_version()} (import of an image a user named)",
        "Accept": "image/*, */*;q=0.5",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    request = httpcore2.Request(
        "GET",
        httpcore2.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target),
        headers=headers,
        extensions={"timeout": {"read": caps.stall_s, "write": caps.stall_s}},
    )
    return await connection.handle_async_request(request)


def _header(answer: httpcore2.Response, name: bytes) -> bytes | None:
    """The first header of this name (lower case)."""
    return next((value for key, value in answer.headers if key.lower() == name), None)


def _redirect(answer: httpcore2.Response) -> bytes | None:
    """Where the answer leads; None when it is the file. Raises ImportFailed when it is neither."""
    location = _header(answer, b"location")
    if answer.status in REDIRECTS and location:
        return location
    if answer.status != 200:
        raise ImportFailed(f"The server at this address answered with status {answer.status}.")
    return None


async def _take(
    connection: Connection, answer: httpcore2.Response, place: Place, target: Path, caps: Caps
) -> Fetched:
    encoding = _header(answer, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise ImportFailed("The server sent the file compressed, although it was asked not to.")
    # h11 lets only digits through
    if int(_header(answer, b"content-length") or b"0") > caps.max_bytes:
        raise AssetTooLarge
    connection.expect_body()
    with _open(target) as file:
        sink = Sink(file, caps.max_bytes)
        await _pour(answer, sink)
    name = file_name(_header(answer, b"content-disposition"), place.target)
    return Fetched(sink.size_bytes, sink.digest.hexdigest(), name, place.url)


def _open(target: Path) -> BinaryIO:
    """Not in a thread: cancelled meanwhile, it would leave a file nobody knows of. Raises Unavailable."""
    try:
        return target.open("wb")
    except OSError as error:
        raise _unavailable(error) from error


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(f"The file can't be stored now: {error.strerror or error}.")


async def _pour(answer: httpcore2.Response, sink: "Sink") -> None:
    now = asyncio.get_running_loop().time
    turn_at = now()
    async with aclosing(answer.aiter_stream()) as chunks:
        async for chunk in chunks:
            await sink.add(chunk)
            if now() - turn_at > SLICE_S:
                # what was read at once may be thousands of chunks
                await asyncio.sleep(0)
                turn_at = now()
    await sink.flush()


@dataclass(slots=True)
class Sink:
    """A file in the making: collects, and writes and counts in a thread."""

    file: BinaryIO
    max_bytes: int
    size_bytes: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _waiting: bytearray = field(default_factory=bytearray)

    async def add(self, chunk: bytes) -> None:
        """Raises AssetTooLarge, Unavailable."""
        self.size_bytes += len(chunk)
        if self.size_bytes > self.max_bytes:
            raise AssetTooLarge
        self._waiting += chunk
        if len(self._waiting) >= WRITE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Raises Unavailable."""
        block, self._waiting = self._waiting, bytearray()
        try:
            await asyncio.to_thread(self._write, block)
        except OSError as error:
            raise _unavailable(error) from error

    def _write(self, block: bytearray) -> None:
        self.digest.update(block)
        self.file.write(block)
        # or closing would, on the event loop
        self.file.flush()
