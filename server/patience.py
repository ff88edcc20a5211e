"""How long a body that comes in is waited for.

Owns: the pace it must keep. Does not own: bodies, how many may come at once.
Rule: who is slow is waited for, who stopped or sends a byte now and then is not: each of them holds a
connection, a file and perhaps a place that others wait for. Only the sender's time is counted, not ours.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from server.problems import UploadStalled

WINDOW_S: Final = 30.0
WINDOW_BYTES: Final = 64 * 1024
"""In one window, or the end: 2 KiB/s."""


async def keep_pace(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks. Raises UploadStalled, and what `chunks` raises."""
    now = asyncio.get_running_loop().time
    left_s, came_bytes = WINDOW_S, 0
    while True:
        began = now()
        try:
            async with asyncio.timeout(left_s) as patience:
                chunk = await anext(chunks, None)
        except TimeoutError:
            if patience.expired():
                raise UploadStalled from None
            raise
        if chunk is None:
            return
        left_s -= now() - began
        came_bytes += len(chunk)
        if came_bytes >= WINDOW_BYTES:
            left_s, came_bytes = WINDOW_S, 0
        yield chunk
