"""From a place to a connection: look its host up once, judge what came, connect to exactly that.

Owns: looking up, pinning, TLS, and the HTTP/1.1 connection's caps. Does not own: which addresses are public
(`addresses.py`), redirects, bodies and files (`fetch.py`).

Rules: one lookup for a hop and none behind it: a name that answers differently the next time (DNS
rebinding) is not asked a next time. One address that is not public refuses the host with all its others.
TLS is checked for the host's name, whatever address it has. No proxy, no environment, no pool, no HTTP/2. A
lookup can hang in the C library for half a minute and can't be cancelled, so it has threads of its own, and
imports that wait for them run into their deadline.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import cache
from queue import SimpleQueue
from typing import Final, TypeAlias

import httpcore2

from server.imports.addresses import Address, Network, carried, is_in, is_public, read_address
from server.imports.urls import Place
from server.problems import ImportAddressRefused, ImportFailed

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to all its addresses as text, in the order to try them. Raises OSError for none."""

LOOKUP_THREADS: Final = 4
LOOKUP_S: Final = 10.0
MAX_ADDRESSES: Final = 32
MAX_TRIED: Final = 4

Question: TypeAlias = tuple[str, int, "Future[list[str]]"]

_questions: "SimpleQueue[Question]" = SimpleQueue()


async def look_up(host: str, port: int) -> Sequence[str]:
    """The system's answer, in its order of preference. Raises OSError. Cancel-safe."""
    _start_threads()
    answer: Future[list[str]] = Future()
    _questions.put((host, port, answer))
    return await asyncio.wrap_future(answer)


@cache
def _start_threads() -> None:
    for number in range(LOOKUP_THREADS):
        # daemons, where an executor's threads are waited for: one that hangs must not hold up the end
        threading.Thread(target=_answer, name=f"import-lookup-{number}", daemon=True).start()


def _answer() -> None:
    while True:
        host, port, answer = _questions.get()
        if not answer.set_running_or_notify_cancel():
            continue
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            answer.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, ValueError) as error:
            # a UnicodeError is a ValueError
            answer.set_exception(error)


def is_own(address: Address) -> bool:
    """Whether it is an address of this machine: a public one leads past the firewall in front of it.

    Connecting a UDP socket sends nothing; the system then says from which address it would.
    """
    there = carried(address)
    family = socket.AF_INET if there.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(there), 9))
            return read_address(str(probe.getsockname()[0])) == there
    except OSError:
        # no way there: connecting will tell
        return False


def judge(answers: Sequence[str], networks: Sequence[Network]) -> list[Address]:
    """The addresses to connect to. Raises ImportAddressRefused if one of them may not be."""
    addresses = [read_address(answer) for answer in answers[: MAX_ADDRESSES + 1]]
    if not 0 < len(addresses) <= MAX_ADDRESSES:
        raise ImportAddressRefused
    allowed = [address for address in addresses if address is not None and _may(address, networks)]
    if len(allowed) != len(addresses):
        raise ImportAddressRefused
    return allowed


def _may(address: Address, networks: Sequence[Network]) -> bool:
    return is_in(address, networks) or (is_public(address) and not is_own(address))


async def pin(place: Place, networks: Sequence[Network], resolve: Resolver) -> list[Address]:
    """The addresses of a place, looked up and judged. Raises ImportAddressRefused. Cancel-safe."""
    if read_address(place.host) is not None:
        return judge([place.host], networks)
    try:
        async with asyncio.timeout(LOOKUP_S):
            answers = await resolve(place.host, place.port)
    except (OSError, ValueError):
        # a TimeoutError, too; the same words for all, or we would tell which names there are inside
        raise ImportAddressRefused from None
    return judge(answers, networks)


class Connection(httpcore2.AsyncHTTP11Connection):
    """One HTTP/1.1 connection whose heads are small: parsing one is done in one go on the event loop."""

    MAX_INCOMPLETE_EVENT_SIZE = 16 * 1024
    READ_NUM_BYTES = 4 * 1024

    def expect_body(self) -> None:
        """From now on read in larger pieces."""
        self.READ_NUM_BYTES = 64 * 1024


async def connect(
    place: Place, addresses: Sequence[Address], *, connect_s: float, tls: ssl.SSLContext | None
) -> Connection:
    """Connect to the first address that answers; the caller closes it. Raises ImportFailed. Cancel-safe."""
    stream = await _first(addresses, place.port, connect_s)
    origin = httpcore2.Origin(place.scheme.encode(), place.host.encode(), place.port)
    if place.scheme == "http":
        return Connection(origin, stream)
    try:
        context = tls if tls is not None else await asyncio.to_thread(_public_tls)
        # it closes the stream when it fails
        secured = await stream.start_tls(context, server_hostname=place.host, timeout=connect_s)
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout, OSError) as error:
        raise ImportFailed(_tls_words(error)) from error
    except asyncio.CancelledError:
        await stream.aclose()
        raise
    return Connection(origin, secured)


async def _first(addresses: Sequence[Address], port: int, connect_s: float) -> httpcore2.AsyncNetworkStream:
    backend = httpcore2.AnyIOBackend()
    failed: Exception | None = None
    for address in addresses[:MAX_TRIED]:
        try:
            return await backend.connect_tcp(str(address), port, timeout=connect_s)
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            failed = error
    # the same words for a port that refuses and one that is silent
    raise ImportFailed("The server at this address can't be reached.") from failed


@cache
def _public_tls() -> ssl.SSLContext:
    """Certificates as the system trusts them; reading them takes tens of milliseconds."""
    context = httpcore2.default_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _tls_words(error: BaseException) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "The certificate of the server at this address is not valid for it."
        cause = cause.__cause__ or cause.__context__
    return "No secure connection to the server at this address could be made."
