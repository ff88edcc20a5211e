"""What the engine needs from the world: Protocols of a few verbs. The docstrings are the contract.

Owns: the shapes that cross the border. Adapters: party/memory.py (embedded), db/journal.py (SQL),
server/transport.py (WebSocket), server/flight.py (shared memory).
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol

Schema = Literal["canvas", "open"]
Role = Literal["owner", "editor", "commenter", "viewer"]
Stage = Literal["load", "edit", "read"]
"""What the document library is asked to do: open a room, take edits in, encode."""


NO_ALIASES: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is acting, taken from the verified token and the room's roles, never from a payload."""

    user_id: str
    name: str
    role: Role = "editor"
    aliases: frozenset[str] = NO_ALIASES
    """Ids of guests that this account was: what is theirs is his."""

    is_shown: bool = True
    """Whether others see that he is here."""

    is_admin: bool = False
    """The operator, who may look into every room."""

    most_role: Role = "owner"
    """What the token he came with is good for at most."""

    def goes_by(self, user_id: str) -> bool:
        """Whether this id is his, now or from before he signed in."""
        return user_id == self.user_id or user_id in self.aliases


SERVER = Principal(user_id="server", name="Kanvas", role="owner")


class Owner(NamedTuple):
    """Whose a Yjs client id is in one room.

    A relayed id came in somebody's sync step 2, perhaps with another's edits: the first principal that
    writes under it in a live update owns it.
    """

    user_id: str
    is_relayed: bool = False


NO_CLAIMS: Mapping[int, Owner] = {}


@dataclass(frozen=True, slots=True)
class Entry:
    """One raw update on its way to the journal, whose it is, and the client ids it binds."""

    update: bytes
    user_id: str
    claims: Mapping[int, Owner] = field(default_factory=lambda: NO_CLAIMS)


@dataclass(frozen=True, slots=True)
class StoredRoom:
    """A room as the journal holds it, from one snapshot.

    `updates` are the raw updates with sequence numbers `checkpoint_seq + 1 .. seq`, in order.
    `checkpoint` is the document's full state at `checkpoint_seq`; None when that is 0.
    `owners`: client id -> whose it is, of every id that was bound.
    """

    room_id: str
    schema: Schema
    epoch: int
    seq: int
    checkpoint_seq: int
    checkpoint: bytes | None
    updates: tuple[bytes, ...]
    owners: Mapping[int, Owner] = field(default_factory=lambda: NO_CLAIMS)


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Which elements of a canvas are deleted in a checkpoint.

    `new` ones had their flag set by the updates it took in, `old` ones not since the checkpoint before.
    """

    old: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()


NO_TOMBSTONES = Tombstones()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A room's whole document as one update, and what is deleted in it."""

    state: bytes
    tombstones: Tombstones = NO_TOMBSTONES


class Basis(NamedTuple):
    """What edits were made on top of: all rows up to `seq`.

    Rows that other processes put between are handed to `fits`; where it says False, or they are not there any
    more, the edits are refused before anything is written (B6).
    """

    seq: int
    fits: Callable[[Sequence[bytes]], bool]


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a room's journal, from one snapshot.

    `updates` are the rows from `after + 1` on up to `seq`, for the `after` that was asked for; empty when the
    checkpoint is beyond it already. `owners` are those of every id that was bound.
    """

    checkpoint_seq: int
    seq: int
    updates: tuple[bytes, ...]
    owners: Mapping[int, Owner] = field(default_factory=lambda: NO_CLAIMS)


MOST_TAIL_ROWS: Final = 4_000
MOST_TAIL_BYTES: Final = 16 * 1024 * 1024
"""What of a journal is shown to an open room in one go: 0.1 s of the loop at most. A load takes slices."""


class Head(NamedTuple):
    """How far a room's journal goes; `epoch` is None when the room is gone."""

    room_id: str
    epoch: int | None
    seq: int


class Journal(Protocol):
    """Durable, ordered storage of a room's raw updates."""

    async def load(self, room_id: str) -> StoredRoom:
        """Read the room in one snapshot. Raises RoomNotFound (also for a deleted room), Unavailable."""

    def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> Awaitable[int]:
        """Make `entries` (at least one) durable, all or none; return the last one's sequence number.

        What they claim is bound with them. Rooms that wait together share one commit. When it returns, the
        bytes survive a power cut. Raises RoomNotFound when the room is gone or its epoch moved on; RoomMoved,
        and nothing is written, when they claim an id that is somebody else's (and not relayed) or do not fit
        behind what came after their `basis`; Unavailable when the outcome is unknown or negative: the caller
        repeats the same batch, and appending twice is harmless. Cancel-safe: a cancelled append may still
        become durable.
        """

    async def read(self, room_id: str, epoch: int, after_seq: int) -> Tail:
        """What came after `after_seq`.

        Raises RoomNotFound (gone, or of another epoch), Unavailable; RoomMoved when it is more than
        MOST_TAIL_ROWS or MOST_TAIL_BYTES: then the room is to be loaded anew.
        """

    async def heads(self, known: Mapping[str, tuple[int, int]]) -> list[Head]:
        """Of the rooms in `known` (id -> epoch, seq) those that are ahead, of another epoch, or gone.

        One query, however many are asked for. Raises Unavailable.
        """

    async def checkpoint(
        self,
        room_id: str,
        epoch: int,
        *,
        after_seq: int,
        seq: int,
        state: bytes,
        tombstones: Tombstones = NO_TOMBSTONES,
    ) -> bool:
        """Install `state` as the document at `seq` if the checkpoint still is at `after_seq`.

        In the same transaction the rows up to `seq` go, and the room's list of tombstones becomes this one:
        `new` ones and those not listed yet with the time of now, the others with the time they have (J7).
        False when another process was faster. Raises Unavailable.
        """


class Recorder(Protocol):
    """Notes whose bytes the document library has in hand, where it can be read after a hang or a crash.

    Called around every edit, so each verb takes a fraction of a microsecond; none waits or fails.
    """

    def begin(self, stage: Stage, room_id: str) -> None:
        """From now on this room's document is worked at, until `end`. Nobody's edit is in hand yet."""

    def take(self, user_id: str) -> None:
        """An edit of this user is in hand; the one before is not any more."""

    def name(self, client_ids: Collection[int]) -> None:
        """The edit in hand advances these client ids."""

    def let_go(self) -> None:
        """No edit is in hand; what was taken since `begin` is not finished yet."""

    def end(self) -> None:
        """Nothing is in hand."""


class Connection(Protocol):
    """One client's socket, as the room sees it. No verb waits."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes handed to `send` that the kernel has not taken yet."""

    def send(self, *messages: bytes) -> None:
        """Queue complete binary messages, in one write. A no-op once closed."""

    def close(self, code: int, reason: str) -> None:
        """Send a close frame (reason at most 123 bytes of UTF-8) and end within 2 s. Idempotent."""

    def pause_reading(self) -> None:
        """Stop delivering messages until `resume_reading`."""

    def resume_reading(self) -> None:
        """Deliver messages again."""


class BusReceiver(Protocol):
    """Who listens to a bus. Both are called from the event loop, and neither waits or fails."""

    def heard(self, sender: str, data: bytes) -> None:
        """A node said something."""

    def rejoined(self) -> None:
        """There is a connection again (or for the first time): what was said meanwhile is lost."""


class Bus(Protocol):
    """Datagrams between the processes that serve the same rooms, called nodes. They are hints (promise 6).

    Any may be lost, also without `rejoined`, or come late; what one node sends to another comes in order.
    """

    @property
    def node(self) -> str:
        """This process, unique for each start: at most 32 letters and digits."""

    @property
    def is_connected(self) -> bool:
        """False while what is sent reaches nobody."""

    def listen(self, receiver: BusReceiver) -> None:
        """Hand everything to `receiver` from now on; once."""

    def send(self, data: bytes, to: str | None = None) -> None:
        """To one node or to all others, never to this one. Does not wait; dropped when it can't go soon."""
