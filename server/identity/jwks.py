"""The keys of one identity provider, kept and renewed.

Owns: when they are fetched. Does not own: what a key is (`keys.py`), the request (`fetching.py`).
Keeps rule I2.

Known keys are used while they are renewed beside the request, so that nobody waits for the provider but the
first. A token of an unknown key fetches them anew, at most once in 30 s: else whoever makes up key ids has us
knock at the provider's door for every token.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from party.errors import Unavailable
from server.identity.fetching import FetchError
from server.identity.keys import Algorithm, BadKeysError, Key, KeySet, parse_keys

log = structlog.get_logger("kanvas.identity")

FRESH_S: Final = 300.0
STALE_S: Final = 86_400.0
"""Keys that could not be renewed for so long count no more: one of them may have been withdrawn since."""

UNKNOWN_S: Final = 30.0
FAILED_S: Final = 5.0
"""Between two tries while there are no keys at all, and while those there are could not be renewed."""


class KeyCache:
    """Keys by id. Close it with `aclose`."""

    def __init__(
        self, fetch: Callable[[], Awaitable[bytes]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = 0.0
        self._tried_at: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self.fetches = 0

    async def find(self, kid: str | None, algorithm: Algorithm) -> Key | None:
        """The key, or None when the provider has none like it. Raises Unavailable. Cancel-safe."""
        keys = self._usable()
        if keys is None:
            if not self._has_waited(FAILED_S):
                raise _unavailable()
            await self._renew()
            keys = self._usable()
            if keys is None:
                raise _unavailable()
            return keys.find(kid, algorithm)
        if self._clock() - self._fetched_at > FRESH_S and self._has_waited(FAILED_S):
            self._start()
        found = keys.find(kid, algorithm)
        if found is None and (self._flight is not None or self._has_waited(UNKNOWN_S)):
            await self._renew()
            keys = self._usable()
            found = keys.find(kid, algorithm) if keys is not None else None
        return found

    async def aclose(self) -> None:
        """Give up what is under way."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.gather(self._flight, return_exceptions=True)

    def _usable(self) -> KeySet | None:
        return self._keys if self._clock() - self._fetched_at <= STALE_S else None

    def _has_waited(self, pause_s: float) -> bool:
        return self._flight is not None or self._tried_at is None or self._clock() - self._tried_at >= pause_s

    def _start(self) -> asyncio.Task[None]:
        if self._flight is None:
            self._tried_at = self._clock()
            self._flight = asyncio.get_running_loop().create_task(self._load())
            self._flight.add_done_callback(self._landed)
        return self._flight

    def _landed(self, _flight: asyncio.Task[None]) -> None:
        self._flight = None

    async def _renew(self) -> None:
        """Fetch, or wait for who is fetching; one who gives up does not end it for the others."""
        await asyncio.shield(self._start())

    async def _load(self) -> None:
        self.fetches += 1
        try:
            keys = parse_keys(await self._fetch())
        except (FetchError, BadKeysError) as error:
            log.warning("keys not fetched", reason=str(error), known=len(self._keys or ()))
            return
        except Exception:
            # the border of a background task: those we have go on counting
            log.exception("keys not fetched")
            return
        self._keys, self._fetched_at = keys, self._clock()


def _unavailable() -> Unavailable:
    return Unavailable("The identity provider does not answer, so no token can be checked; try again soon.")
