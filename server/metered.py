"""Backends wrapped once: how long each thing asked of them took, and how it failed.

Owns: the wrappers of Database and Blobs, the meter for anything else that is awaited, and what a failure is
called. Does not own: the numbers (party/tally.py), the adapters. Costs 1 µs for each call.
Rules: a wrapper changes no answer and hides no verb; every Unavailable that passes says which service it was
and with what status; what a caller did wrong (a room that is not there) is no failure of the backend. Keeps
rule M2.
"""

import errno
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from sqlalchemy import Connection

from db.database import Database
from party.errors import KanvasError, Unavailable
from party.tally import Meter, Tally
from server.blobs.base import BlobInfo, Blobs, Part, Signed, Started

T = TypeVar("T")

DATABASE: Final = "database"
BLOBS: Final = "blobs"
REDIS: Final = "redis"

MOST_CAUSES: Final = 8


def status_of(error: BaseException) -> str:
    """What the backend itself called it: SQLITE_BUSY, a SQLSTATE, an HTTP status, an errno, or the error's
    name.

    Looks through what was chained, for adapters translate at their border.
    """
    found = type(error).__name__
    current: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if current is None:
            break
        if told := _own_status(current):
            return told
        if not isinstance(current, KanvasError):
            found = type(current).__name__
        # SQLAlchemy keeps the driver's error apart from the chain
        current = getattr(current, "orig", None) or current.__cause__
    return found


def _own_status(error: BaseException) -> str | None:
    for name in ("sqlite_errorname", "sqlstate"):
        told = getattr(error, name, None)
        if isinstance(told, str) and told:
            return told
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):
        code = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code:
            return str(code)
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, OSError) and error.errno is not None:
        return errno.errorcode.get(error.errno, str(error.errno))
    return None


@contextmanager
def metered(meter: Meter, service: str, operation: str) -> Iterator[None]:
    """Around one call of a backend: its time, and its failure, which then says where it came from."""
    account = meter.operation(operation)
    start_s = time.perf_counter()
    try:
        yield
    except BaseException as error:
        account.took.note(time.perf_counter() - start_s)
        _note_failure(account.errors.bump, service, error)
        raise
    account.took.note(time.perf_counter() - start_s)


def _note_failure(bump: Callable[[str], None], service: str, error: BaseException) -> None:
    if isinstance(error, Unavailable):
        error.service = error.service or service
        error.service_status = error.service_status or status_of(error)
        bump(error.service_status)
    elif isinstance(error, Exception) and not isinstance(error, KanvasError):
        bump(status_of(error))


class MeteredDatabase:
    """A database, metered. Verbs that only one adapter has go through unmetered."""

    def __init__(self, database: Database, tally: Tally) -> None:
        self._database = database
        self.url = database.url
        self._meter = meter = tally.meter(DATABASE)
        self._reads = meter.operation("read")
        self._writes = meter.operation("write")

    async def read(self, work: Callable[[Connection], T]) -> T:
        start_s = time.perf_counter()
        try:
            return await self._database.read(work)
        except BaseException as error:
            _note_failure(self._reads.errors.bump, DATABASE, error)
            raise
        finally:
            self._reads.took.note(time.perf_counter() - start_s)

    async def write(self, work: Callable[[Connection], T]) -> T:
        start_s = time.perf_counter()
        try:
            return await self._database.write(work)
        except BaseException as error:
            _note_failure(self._writes.errors.bump, DATABASE, error)
            raise
        finally:
            self._writes.took.note(time.perf_counter() - start_s)

    async def run_in_lane(self, lane: int, work: Callable[[Any], Awaitable[T]]) -> T:
        """See PostgresDatabase.run_in_lane; no other database has it, and nobody else asks for it."""
        account = self._meter.operation("append")
        start_s = time.perf_counter()
        try:
            # `Any`: the verb is not of the port
            answer: T = await cast(Any, self._database).run_in_lane(lane, work)
            return answer
        except BaseException as error:
            _note_failure(account.errors.bump, DATABASE, error)
            raise
        finally:
            account.took.note(time.perf_counter() - start_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class MeteredBlobs:
    """Blobs, metered; `inner` is the adapter, for who serves its files himself."""

    def __init__(self, inner: Blobs, tally: Tally) -> None:
        self.inner = inner
        self._bytes = tally.stored_bytes
        self._meter = tally.meter(BLOBS)

    async def _timed(self, operation: str, work: Awaitable[T]) -> T:
        with metered(self._meter, BLOBS, operation):
            return await work

    async def put(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None:
        put = self.inner.put(key, source, size_bytes=size_bytes, content_type=content_type)
        await self._timed("put", put)
        self._bytes["in"] += size_bytes

    async def find(self, key: str) -> BlobInfo | None:
        return await self._timed("find", self.inner.find(key))

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See Blobs.read. Its time is that to the first chunk: the rest is the reader's."""
        chunks = self.inner.read(key, start, end)
        try:
            with metered(self._meter, BLOBS, "read"):
                chunk = await anext(chunks, None)
            while chunk is not None:
                self._bytes["out"] += len(chunk)
                yield chunk
                chunk = await anext(chunks, None)
        finally:
            await chunks.aclose()

    async def delete(self, keys: Sequence[str]) -> None:
        await self._timed("delete", self.inner.delete(keys))

    def list(self, prefix: str = "") -> AsyncGenerator[BlobInfo, None]:
        return self.inner.list(prefix)

    def local_path(self, key: str) -> Path | None:
        return self.inner.local_path(key)

    async def sign_get(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> Signed:
        return await self.inner.sign_get(
            key, content_type=content_type, disposition=disposition, expires_s=expires_s
        )

    async def sign_put(self, key: str, *, size_bytes: int, content_type: str, expires_s: int) -> Signed:
        return await self.inner.sign_put(
            key, size_bytes=size_bytes, content_type=content_type, expires_s=expires_s
        )

    async def check(self) -> None:
        await self._timed("check", self.inner.check())

    async def tidy(self) -> None:
        await self._timed("tidy", self.inner.tidy())

    async def allow_origins(self, origins: Sequence[str]) -> bool:
        return await self._timed("allow_origins", self.inner.allow_origins(origins))

    async def start_parts(self, key: str, *, content_type: str) -> str:
        return await self._timed("start_parts", self.inner.start_parts(key, content_type=content_type))

    async def sign_part(
        self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int
    ) -> Signed:
        return await self.inner.sign_part(key, parts_id, number, size_bytes=size_bytes, expires_s=expires_s)

    async def list_parts(self, key: str, parts_id: str) -> Sequence[Part]:
        return await self._timed("list_parts", self.inner.list_parts(key, parts_id))

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        await self._timed("finish_parts", self.inner.finish_parts(key, parts_id, parts))
        self._bytes["in"] += sum(part.size_bytes for part in parts)

    async def abort_parts(self, key: str, parts_id: str) -> None:
        await self._timed("abort_parts", self.inner.abort_parts(key, parts_id))

    def list_started(self) -> AsyncGenerator[Started, None]:
        return self.inner.list_started()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)
