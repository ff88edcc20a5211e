"""Where the messages of one of our own clients go: those about its token are answered here, all others pass.

Owns: renewing the token of an open socket. Does not own: the messages' bytes (`signal.py`), when a token ends
(`sessions.py`), what any other message means (the seat). Keeps rule I6.

It costs 0.1 µs a message, and only clients with the subprotocol `kanvas` have one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from party.errors import KanvasError
from server.auth import Identity
from server.identity.sessions import Sessions, Sitting
from server.identity.signal import SIGNAL_BYTE, decode_token, encode_refused, encode_renewed

log = structlog.get_logger("kanvas.identity")


class Seat(Protocol):
    """A seat in a room."""

    def receive(self, data: bytes) -> None: ...

    def drained(self) -> None: ...

    def leave(self) -> None: ...


class Desk:
    """A Receiver between a line and its seat."""

    __slots__ = ("_pass_on", "_renewal", "_seat", "_sessions", "_sitting", "_verify")

    def __init__(
        self,
        seat: Seat,
        sitting: Sitting,
        sessions: Sessions,
        verify: Callable[[str], Awaitable[Identity]],
    ) -> None:
        self._seat = seat
        self._sitting = sitting
        self._sessions = sessions
        self._verify = verify
        self._renewal: asyncio.Task[None] | None = None
        self._pass_on = seat.receive

    def receive(self, data: bytes) -> None:
        # spelt out: it is asked for every message
        if data[:1] == SIGNAL_BYTE:
            self._renew(data)
        else:
            self._pass_on(data)

    def drained(self) -> None:
        self._seat.drained()

    def leave(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
        self._seat.leave()

    def _renew(self, message: bytes) -> None:
        try:
            token = decode_token(message)
        except KanvasError as error:
            self._sitting.wire.fail(error)
            return
        # one at a time: whoever sends more than it has answers for is not worth the arithmetic
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().create_task(self._take(token))

    async def _take(self, token: str) -> None:
        wire = self._sitting.wire
        try:
            answer = encode_renewed(self._sessions.renew(self._sitting, await self._verify(token)))
        except KanvasError as error:
            # it goes on with the token it has; when the provider is away there is time to try again
            answer = encode_refused(error.message)
        except Exception:
            # the border of a connection: a bug here costs its sender alone
            log.exception("renewal failed")
            wire.fail(KanvasError())
            return
        # before the answer is out: whoever has it may send the next token at once
        self._renewal = None
        wire.send(answer)
