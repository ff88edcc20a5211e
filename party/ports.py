"""What the engine needs from the world: Protocols of a few verbs. The docstrings are the contract.

Owns: the shapes that cross the border. Adapters: party/memory.py (embedded), db/journal.py (SQL),
server/transport.py (WebSocket).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Schema = Literal["canvas", "open"]
Role = Literal["owner", "editor", "viewer"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is acting, taken from the verified token and the room's roles, never from a payload."""

    user_id: str
    name: str
    role: Role = "editor"

    @property
    def can_edit(self) -> bool:
        return self.role != "viewer"


SERVER = Principal(user_id="server", name="Kanvas", role="owner")


@dataclass(frozen=True, slots=True)
class Entry:
    """One raw update on its way to the journal and whose it is."""

    update: bytes
    user_id: str


@dataclass(frozen=True, slots=True)
class StoredRoom:
    """A room as the journal holds it, from one snapshot.

    `updates` are the raw updates with sequence numbers `checkpoint_seq + 1 .. seq`, in order.
    `checkpoint` is the document's full state at `checkpoint_seq`; None when that is 0.
    """

    room_id: str
    schema: Schema
    epoch: int
    seq: int
    checkpoint_seq: int
    checkpoint: bytes | None
    updates: tuple[bytes, ...]


class Journal(Protocol):
    """Durable, ordered storage of a room's raw updates."""

    async def load(self, room_id: str) -> StoredRoom:
        """Read the room in one snapshot. Raises RoomNotFound (also for a deleted room), Unavailable."""

    async def append(self, room_id: str, epoch: int, entries: Sequence[Entry]) -> int:
        """Make `entries` (at least one) durable, all or none; return the last one's sequence number.

        Rooms that wait together share one commit. When it returns, the bytes survive a power cut.
        Raises RoomNotFound when the room is gone or its epoch moved on, Unavailable when the
        outcome is unknown or negative: the caller repeats the same batch, and appending twice is
        harmless. Cancel-safe: a cancelled append may still become durable.
        """

    async def checkpoint(self, room_id: str, epoch: int, *, after_seq: int, seq: int, state: bytes) -> bool:
        """Install `state` as the document at `seq` if the checkpoint still is at `after_seq`.

        The rows up to `seq` go in the same transaction. False when another process was faster.
        Raises Unavailable.
        """


class Connection(Protocol):
    """One client's socket, as the room sees it. No verb waits."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes handed to `send` that the kernel has not taken yet."""

    def send(self, message: bytes) -> None:
        """Queue one complete binary message. A no-op once closed."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame (reason at most 123 bytes of UTF-8) and end within 2 s. Idempotent."""

    def pause_reading(self) -> None:
        """Stop delivering messages until `resume_reading`."""

    def resume_reading(self) -> None:
        """Deliver messages again."""
