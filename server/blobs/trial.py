"""Storage tried for real: `check()` of both adapters, and the lines of `kanvas blobs check`.

Owns: the trials and their words. Does not own: the table of `kanvas check`, the command (`cli.py`).
Rules: a trial leaves nothing behind, also when it fails; one that fails does not keep others from running.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

import httpx2
from ulid import ULID

from party.errors import KanvasError, Unavailable
from server.blobs.base import MIN_PART_BYTES, Blobs, Signed
from server.blobs.errors import BlobExists

FOLDER: Final = "kanvas-check"
CONTENT: Final = b"Kanvas was here, and takes this away again."
TYPE: Final = "text/plain"
EXPIRES_S: Final = 60
EXPIRIES_S: Final = (2, 4, 8, 16)
"""How long the address is good that is to expire: longer where an answer takes its time."""

DEADLINE_S: Final = 60.0


class Failed(Exception):
    """A trial failed; the message says what was found."""


@dataclass(frozen=True, slots=True)
class Line:
    """One trial: what was tried, and what came of it in words."""

    part: str
    passed: bool
    told: str


def trial_key() -> str:
    """A key nobody else has."""
    return f"{FOLDER}/{str(ULID()).lower()}"


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Bytes as a source."""
    yield data


async def round_trip(blobs: Blobs) -> None:
    """Store, read and remove something. Raises Unavailable."""
    key = trial_key()
    await blobs.put(key, once(CONTENT), size_bytes=len(CONTENT), content_type=TYPE)
    try:
        if await read_whole(blobs, key) != CONTENT:
            raise Unavailable("What was stored came back as something else.")
    finally:
        await blobs.delete([key])
    if await blobs.find(key) is not None:
        raise Unavailable("What was removed is still there.")


async def read_whole(blobs: Blobs, key: str, start: int = 0, end: int | None = None) -> bytes:
    """A small blob."""
    async with aclosing(blobs.read(key, start, end)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def describe(error: Exception) -> str:
    """What failed, in one line for the operator: with the words of the storage, which others are not told."""
    cause = error.__cause__
    words = f"{error} ({cause})" if isinstance(error, Unavailable) and cause is not None else str(error)
    return " ".join(words.split())


async def try_blobs(blobs: Blobs, http: httpx2.AsyncClient) -> list[Line]:
    """Every trial. `http` reaches the signed addresses, ours too."""
    trials = _Trials(blobs, http)
    try:
        return [
            await _try("put", trials.put),
            await _try("get", trials.get),
            await _try("range", trials.read_range),
            await _try("signed put", trials.signed_put),
            await _try("signed get", trials.signed_get),
            await _try("signed expiry", trials.expiry),
            await _try("upload in parts", trials.parts),
            await _try("delete", trials.delete),
        ]
    finally:
        # what could not be removed was told by the trial itself
        with contextlib.suppress(KanvasError):
            await blobs.delete([trials.key, trials.given])


class _Trials:
    """Each returns what was found in words, or raises Failed, KanvasError or an error of the client."""

    def __init__(self, blobs: Blobs, http: httpx2.AsyncClient) -> None:
        self._blobs = blobs
        self._http = http
        self.key = trial_key()
        self.given = trial_key()

    async def put(self) -> str:
        await self._put()
        try:
            await self._put()
        except BlobExists:
            return "stored, and not overwritten"
        raise Failed("A blob was overwritten: the storage ignores If-None-Match on PUT.")

    async def _put(self) -> None:
        await self._blobs.put(self.key, once(CONTENT), size_bytes=len(CONTENT), content_type=TYPE)

    async def get(self) -> str:
        if await read_whole(self._blobs, self.key) != CONTENT:
            raise Failed("What was stored came back as something else.")
        return f"read {len(CONTENT)} bytes"

    async def read_range(self) -> str:
        if await read_whole(self._blobs, self.key, 7, 10) != CONTENT[7:10]:
            raise Failed("A range came back as something else.")
        return "read bytes 7 to 9"

    async def signed_put(self) -> str:
        signed = await self._blobs.sign_put(
            self.given, size_bytes=len(CONTENT), content_type=TYPE, expires_s=EXPIRES_S
        )
        if (await ask(self._http, signed, CONTENT + b"!")).is_success:
            raise Failed("An upload of another length than was signed was taken.")
        answer = await ask(self._http, signed, CONTENT)
        if not answer.is_success:
            raise Failed(f"A signed upload was refused ({answer.status_code}): {answer.text[:300]}")
        if (await ask(self._http, signed, CONTENT)).is_success:
            raise Failed("A signed upload overwrote what was there.")
        return "taken once, with exactly the length that was signed"

    async def signed_get(self) -> str:
        signed = await self._sign_get(EXPIRES_S)
        answer = await ask(self._http, signed)
        if not answer.is_success or answer.content != CONTENT:
            raise Failed(f"A signed read was refused ({answer.status_code}): {answer.text[:300]}")
        if answer.headers.get("content-disposition") != "attachment":
            raise Failed("The answer to a signed read is no attachment.")
        url = signed.url.replace(self.given, self.key)
        if (await ask(self._http, replace(signed, url=url))).is_success:
            raise Failed("An address that was altered is answered: signatures are not checked.")
        return "answered, and refused when altered"

    async def expiry(self) -> str:
        for expires_s in EXPIRIES_S:
            began_s = time.monotonic()
            signed = await self._sign_get(expires_s)
            if (await ask(self._http, signed)).is_success:
                break
            # by clocks that count whole seconds
            if time.monotonic() - began_s < expires_s - 1:
                raise Failed("A signed read was refused while it was valid.")
        else:
            raise Failed(f"A signed read was not answered within {EXPIRIES_S[-1]} s.")
        await asyncio.sleep(expires_s + 0.1)
        if (await ask(self._http, signed)).is_success:
            raise Failed("An address that has expired is answered; do the clocks agree?")
        return f"refused after its {expires_s} seconds"

    async def _sign_get(self, expires_s: int) -> Signed:
        return await self._blobs.sign_get(
            self.given, content_type=TYPE, disposition="attachment", expires_s=expires_s
        )

    async def parts(self) -> str:
        return await _try_parts(self._blobs, self._http)

    async def delete(self) -> str:
        await self._blobs.delete([self.key, self.given])
        if await self._blobs.find(self.key) is not None:
            raise Failed("What was removed is still there.")
        return "removed"


async def _try_parts(blobs: Blobs, http: httpx2.AsyncClient) -> str:
    key = trial_key()
    bodies = [bytes(MIN_PART_BYTES), CONTENT]
    parts_id = await blobs.start_parts(key, content_type=TYPE)
    try:
        for number, body in enumerate(bodies, 1):
            signed = await blobs.sign_part(key, parts_id, number, size_bytes=len(body), expires_s=EXPIRES_S)
            answer = await ask(http, signed, body)
            if not answer.is_success:
                raise Failed(f"Part {number} was refused ({answer.status_code}): {answer.text[:300]}")
        await blobs.finish_parts(key, parts_id, await blobs.list_parts(key, parts_id))
        if await read_whole(blobs, key, MIN_PART_BYTES) != CONTENT:
            raise Failed("The parts came back as something else.")
        return f"{len(bodies)} parts became one"
    finally:
        await blobs.abort_parts(key, parts_id)
        await blobs.delete([key])


async def ask(http: httpx2.AsyncClient, signed: Signed, body: bytes | None = None) -> httpx2.Response:
    """Make the request that was signed."""
    return await http.request(signed.method, signed.url, headers=dict(signed.headers), content=body)


async def _try(part: str, trial: Callable[[], Awaitable[str]]) -> Line:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return Line(part, True, await trial())
    except (Failed, KanvasError) as error:
        return Line(part, False, describe(error))
    except httpx2.HTTPError as error:
        return Line(part, False, f"The address can't be reached: {error or type(error).__name__}.")
    except TimeoutError:
        return Line(part, False, f"There was no answer for {DEADLINE_S:g} s.")
