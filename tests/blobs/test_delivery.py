"""A reader that takes nothing for ever: it is let go, and what it held is let go with it."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Scope

from server.blobs import delivery
from server.blobs.delivery import deliver
from server.blobs.files import FileBlobs
from tests.blobs.blobs_contract import KEY, put

SCOPE: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nobody disconnects")


def open_files(folder: Path) -> list[str]:
    """Those below the folder that this process has open."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        # another thread may close its own meanwhile
        with contextlib.suppress(FileNotFoundError):
            found.append(one.readlink())
    return [str(one) for one in found if one.is_relative_to(folder)]


async def test_a_reader_that_takes_nothing_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "STALLED_AFTER_S", 0.2)
    blobs = FileBlobs(tmp_path, b"x" * 32)
    await put(blobs, data=bytes(3_000_000))
    info = await blobs.find(KEY)
    assert info is not None
    response = await deliver(
        Request(SCOPE),
        blobs,
        info,
        content_type="image/png",
        disposition="inline",
        etag='"a"',
        cache_control="no-cache",
    )
    assert len(open_files(tmp_path)) == 1
    taken = 0

    async def send(message: Message) -> None:
        nonlocal taken
        taken += len(message.get("body", b""))
        if taken > 100_000:
            await never()

    with pytest.raises(BaseException) as ended:  # noqa: PT011 - a group or not, by the version of ASGI
        async with asyncio.timeout(120):
            await response(SCOPE, never, send)
    errors = ended.value.exceptions if isinstance(ended.value, BaseExceptionGroup) else (ended.value,)
    assert [type(one) for one in errors] == [ClientDisconnect]
    assert taken < 200_000
    assert open_files(tmp_path) == []
