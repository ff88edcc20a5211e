"""Asking an identity provider: small JSON answers over HTTP, within a time and a size.

Owns: the limits of one request. Does not own: what is asked, and of whom: addresses come from the settings
and from the provider's own document, never from a token.

Rules: an answer has at most 256 KiB and comes whole within 5 s, however it dribbles; it is never inflated (a
kilobyte could become a gigabyte); a redirect is refused, for it could lead anywhere; https, or http to this
machine.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx2

from server.identity.addresses import is_loopback, is_safe_address

MAX_BYTES: Final = 256 * 1024
DEADLINE_S: Final = 5.0


class FetchError(Exception):
    """The provider did not answer as it should; the words are for the log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer."""

    status: int
    body: bytes


async def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: str | None = None,
    deadline_s: float = DEADLINE_S,
) -> Fetched:
    """One request and its answer, be it an error's. Raises FetchError. Cancel-safe."""
    if not is_safe_address(url):
        raise FetchError("its address is neither https nor on this machine")
    # a proxy of the environment is for the world, not for this machine
    through_proxy = not is_loopback(urlsplit(url).hostname or "")
    sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    try:
        async with (
            asyncio.timeout(deadline_s),
            httpx2.AsyncClient(timeout=deadline_s, trust_env=through_proxy, follow_redirects=False) as http,
            http.stream(method, url, headers=sent, content=body) as answer,
        ):
            if 300 <= answer.status_code < 400:
                raise FetchError("it redirects elsewhere")
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise FetchError("its answer is compressed, which nobody asked for")
            read = bytearray()
            async for chunk in answer.aiter_raw():
                read += chunk
                if len(read) > MAX_BYTES:
                    raise FetchError(f"its answer has more than {MAX_BYTES} bytes")
            return Fetched(answer.status_code, bytes(read))
    except TimeoutError:
        raise FetchError(f"it did not answer within {deadline_s:g} s") from None
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise FetchError(str(error) or type(error).__name__) from error


async def fetch(url: str, *, deadline_s: float = DEADLINE_S) -> bytes:
    """The body of a 200. Raises FetchError."""
    fetched = await ask("GET", url, deadline_s=deadline_s)
    if fetched.status != 200:
        raise FetchError(f"it answered {fetched.status}")
    return fetched.body
