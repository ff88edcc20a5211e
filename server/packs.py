"""Packs: a room's state compressed once for however many ask, and sent from the one copy.

Owns: making packs beside the event loop, keeping one per room while it is asked for, sending a shared buffer
in slices. Does not own: the state (party/hub.py), which requests get it (`parties.py`).
Rules: compressing 5 MB takes 170 ms, so it happens in a thread (zlib lets go of the GIL) and once per state,
however many ask at once; a slice is sent when the one before has left (H9).
"""

import asyncio
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from starlette.responses import StreamingResponse

LEVEL: Final = 6
"""A drawing of 5.0 MB: level 1 1.54 MB in 40 ms, 6 1.26 MB in 170 ms, 9 1.22 MB in 640 ms."""

GZIP_BITS: Final = 31
KEPT_S: Final = 60.0
"""How long a pack nobody asks for is kept."""

SLICE_BYTES: Final = 64 * 1024

NO_WEIGHT: Final = re.compile(r"q\s*=\s*0(\.0*)?")


@dataclass(frozen=True, slots=True, eq=False)
class _Pack:
    plain: bytes
    packed: asyncio.Future[bytes]


class Packs:
    """Compressed states by room. Make one with `open_packs`."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._kept: dict[str, _Pack] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.made = 0
        """How many packs were made."""

    async def gzip(self, room_id: str, plain: bytes) -> bytes:
        """`plain`, compressed; the same object whoever asks with the same one. Cancel-safe."""
        pack = self._kept.get(room_id)
        if pack is None or pack.plain is not plain:
            pack = self._kept[room_id] = self._make(plain)
        self._keep(room_id)
        # shielded: one that hangs up must not take it from the others
        return await asyncio.shield(pack.packed)

    def _make(self, plain: bytes) -> _Pack:
        self.made += 1
        loop = asyncio.get_running_loop()
        return _Pack(plain, loop.run_in_executor(self._executor, zlib.compress, plain, LEVEL, GZIP_BITS))

    def _keep(self, room_id: str) -> None:
        timer = self._timers.pop(room_id, None)
        if timer is not None:
            timer.cancel()
        self._timers[room_id] = asyncio.get_running_loop().call_later(KEPT_S, self.forget, room_id)

    def forget(self, room_id: str) -> None:
        """Let go of a room's pack; answers under way keep it until they are through."""
        self._kept.pop(room_id, None)
        timer = self._timers.pop(room_id, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        for room_id in list(self._timers):
            self.forget(room_id)


@asynccontextmanager
async def open_packs() -> AsyncIterator[Packs]:
    """Packs and their thread: one, so that a storm over many rooms leaves a core for the loop."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="packs")
    packs = Packs(executor)
    try:
        yield packs
    finally:
        packs.close()
        executor.shutdown(wait=False, cancel_futures=True)


def share(data: bytes, headers: Mapping[str, str], media_type: str) -> StreamingResponse:
    """An answer from one buffer for however many: views of it, each sent when the one before has left."""
    told = {"Content-Length": str(len(data)), **headers}
    return StreamingResponse(_slices(data), headers=told, media_type=media_type)


async def _slices(data: bytes) -> AsyncIterator[memoryview]:
    whole = memoryview(data)
    for at in range(0, len(whole), SLICE_BYTES):
        yield whole[at : at + SLICE_BYTES]


def takes_gzip(accept_encoding: str | None) -> bool:
    """Whether the client says it can unpack gzip; `gzip;q=0` says that it can't (RFC 9110 section 12.5.3)."""
    for part in (accept_encoding or "").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        if name == "gzip":
            return not any(NO_WEIGHT.fullmatch(parameter) for parameter in parameters)
    return False
