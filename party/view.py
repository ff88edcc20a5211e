"""The committed view: what everybody but the room's loop may read.

Owns: the state as of the last commit, as bytes: a base, the frames since, and the state vector.
Does not own: the live document, which may be one uncommitted batch ahead (rule R4).
Keeps rules R4, R8. Pure: time is passed in.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from party.ports import Schema
from party.wire import encode_state_vector, encode_step_2, encode_update

RENEW_S_PER_BYTE: Final = 0.5e-6
"""A full encode costs about 10 ns a byte; one per this many seconds and byte keeps it near 2 % of a core."""

MAX_RENEW_S: Final = 5.0


class Committed(NamedTuple):
    """What is committed as it lies in memory: a base, and the frames since. Nothing is encoded for it."""

    schema: Schema
    version: str
    """`"{epoch}-{seq}"` of all of it."""

    base_version: str
    """Of the base alone."""

    base: bytes
    frames: tuple[bytes, ...]


class CommittedView:
    """Base, frames since, state vector and version of one room. Sequence numbers are the journal's."""

    def __init__(self, *, epoch: int, seq: int, base: bytes, vector: dict[int, int], now: float) -> None:
        self.epoch = epoch
        self.seq = seq
        self.base = base
        self.base_seq = seq
        self.vector = vector
        self.frames: list[tuple[int, bytes]] = []
        self.tail_bytes = 0
        self._renewed_at = now
        self._state_vector: bytes | None = None
        self._step_2: bytes | None = None

    @property
    def version(self) -> str:
        """`"{epoch}-{seq}"`, the version of the room's state everywhere."""
        return f"{self.epoch}-{self.seq}"

    @property
    def base_version(self) -> str:
        """The version of the base alone; what came since is in the frames."""
        return f"{self.epoch}-{self.base_seq}"

    @property
    def size_bytes(self) -> int:
        return len(self.base) + self.tail_bytes

    @property
    def state_vector(self) -> bytes:
        if self._state_vector is None:
            self._state_vector = encode_state_vector(self.vector)
        return self._state_vector

    @property
    def step_2(self) -> bytes:
        """The base as a sync step 2, the same object for everybody who joins."""
        if self._step_2 is None:
            self._step_2 = encode_step_2(self.base)
        return self._step_2

    def tail_messages(self) -> list[bytes]:
        """The frames since the base, as messages."""
        return [encode_update(frame) for _, frame in self.frames]

    def rest(self) -> None:
        """Nobody has joined for a while: let go of the copy they share."""
        self._step_2 = None

    def commit(self, seq: int, frames: Sequence[bytes], advances: dict[int, int]) -> None:
        """Take in what the journal now holds up to `seq`."""
        self.seq = seq
        for frame in frames:
            self.frames.append((seq, frame))
            self.tail_bytes += len(frame)
        if advances:
            self.vector.update(advances)
            self._state_vector = None

    def is_renewable(self, now: float) -> bool:
        """True when the tail is worth folding into the base and the last fold is long enough ago."""
        if not self.frames:
            return False
        return now - self._renewed_at >= min(MAX_RENEW_S, self.size_bytes * RENEW_S_PER_BYTE)

    def is_overgrown(self, now: float) -> bool:
        """True when the tail exceeds an eighth of the base (64 KiB at least) and a fold is due."""
        return self.tail_bytes > max(64 * 1024, len(self.base) // 8) and self.is_renewable(now)

    def renew(self, base: bytes, now: float) -> None:
        """Replace base and frames by one encoding of the same state."""
        self.base = base
        self.base_seq = self.seq
        self._step_2 = None
        self.frames.clear()
        self.tail_bytes = 0
        self._renewed_at = now

    def since(self, seq: int) -> list[bytes] | None:
        """The frames after `seq` as messages; None when they were folded into the base."""
        if seq < self.base_seq:
            return None
        return [encode_update(frame) for at, frame in self.frames if at > seq]
