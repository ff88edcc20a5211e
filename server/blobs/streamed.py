"""A source of bytes as the body of a request whose length was announced.

Owns: that a source that fails, or has another length, never makes a complete request. Does not own: the
request. Rules: at most two chunks are held; the other side has a deadline for each chunk, the source has none
(who reads from a client has deadlines of its own).
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from server.blobs.errors import BlobMismatch

SEND_S: Final = 60.0
"""For the other side to take one chunk."""


class StreamedBody:
    """A source as the body of a request: its last chunk is held back until the source has ended well.

    So a source that fails or has another length never makes a complete request, whatever it sent before.
    """

    def __init__(self, source: AsyncIterator[bytes], size_bytes: int) -> None:
        self._source = source
        self._size_bytes = size_bytes
        self.patience: asyncio.Timeout | None = None
        """Of the request this is the body of, while it is under way."""
        self.failure: BaseException | None = None

    def read(self) -> bytes:
        """Never called: the library takes for a body what has this name, and then iterates."""
        raise TypeError("Iterate over it.")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            held, seen_bytes = b"", 0
            async for chunk in self._source:
                seen_bytes += len(chunk)
                if seen_bytes > self._size_bytes:
                    raise BlobMismatch(
                        f"More than the announced {self._size_bytes} bytes came; nothing was stored."
                    )
                if held and chunk:
                    self._wait(SEND_S)
                    yield held
                    self._wait(None)
                held = chunk or held
            if seen_bytes < self._size_bytes:
                raise BlobMismatch(
                    f"{seen_bytes} bytes came and {self._size_bytes} were announced; nothing was stored."
                )
            # the answer has a deadline of its own
            if held:
                yield held
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            # the library would try again after a while, and a source can't be read twice
            self._wait(0)
            raise

    def _wait(self, delay_s: float | None) -> None:
        if self.patience is not None and not self.patience.expired():
            self.patience.reschedule(None if delay_s is None else asyncio.get_running_loop().time() + delay_s)
