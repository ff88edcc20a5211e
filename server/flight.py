"""The page of memory a worker shares with its supervisor: the heartbeat, and what native code has in hand.

Owns: the layout, the worker's way of writing it (`FlightRecorder`, the port party.ports.Recorder) and the
supervisor's way of reading it. Does not own: when something is noted (party/guard.py), what follows from it
(party/quarantine.py), the page itself (supervisor.py). Imports nothing that is slow to load.

Keeps rule Q1: the reader reads when the writer is dead, so the only race is a write that was cut off in the
middle. Everything hangs on one word that is stored whole; what it refers to is complete before it is stored.
Measured: begin, take, name, let_go and end together are 1.9 µs a batch of one; take and name 1.1 µs an edit.
"""

import struct
from collections.abc import Collection
from typing import Any, Final, Literal, NamedTuple

PAGE_BYTES: Final = 4096

Phase = Literal["starting", "migrating", "serving", "ending", "draining"]
PHASES: Final[tuple[Phase, ...]] = ("starting", "migrating", "serving", "ending", "draining")
STAGES: Final = ("", "load", "edit", "read")

# The word: stage, whether an edit is in hand, which of the two slots is its own, how many there were.
WORD: Final = struct.Struct("=Q")
BEAT_AT: Final = 0
PHASE_AT: Final = 8
WORD_AT: Final = 16
ROOM_AT: Final = 64
SLOTS_AT: Final = (512, 2048)

LENGTH: Final = struct.Struct("=H")
MOST_ROOM_BYTES: Final = 256
MOST_USER_BYTES: Final = 512
MOST_IDS: Final = 64
"""Client ids of one edit; one that advances more says MANY and is held by its user alone."""

MANY: Final = 255
MOST_COUNT: Final = 0xFFFF


class Flight(NamedTuple):
    """What was being done when the worker ended.

    `taken` edits had been taken in since the batch began. `user_id` and `client_ids` are of the last one;
    `in_hand` says that it was not finished. No ids: not known yet, too many, or it advances none.
    """

    stage: str
    room_id: str
    user_id: str | None
    client_ids: tuple[int, ...]
    taken: int
    in_hand: bool

    @property
    def is_exact(self) -> bool:
        """True when nobody else can have been the cause."""
        return self.stage != "edit" or self.in_hand or self.taken == 1


class FlightRecorder:
    """The worker's side: notes what it does. No verb waits, allocates much or calls the system."""

    def __init__(self, page: Any) -> None:
        self._page = page
        self._stage = 0
        self._slot = 0
        self._at = SLOTS_AT[0]
        self._count = 0

    def begin(self, stage: Literal["load", "edit", "read"], room_id: str) -> None:
        WORD.pack_into(self._page, WORD_AT, 0)
        raw = room_id.encode()[:MOST_ROOM_BYTES]
        size = len(raw)
        LENGTH.pack_into(self._page, ROOM_AT, size)
        self._page[ROOM_AT + 2 : ROOM_AT + 2 + size] = raw
        self._stage = STAGES.index(stage)
        self._count = 0
        WORD.pack_into(self._page, WORD_AT, self._stage)

    def take(self, user_id: str) -> None:
        # the other slot: the one before stays whole until the word is stored
        self._slot = slot = 1 - self._slot
        self._at = at = SLOTS_AT[slot]
        raw = user_id.encode()[:MOST_USER_BYTES]
        size = len(raw)
        page = self._page
        page[at + 2] = 0
        LENGTH.pack_into(page, at, size)
        page[at + 4 : at + 4 + size] = raw
        if self._count < MOST_COUNT:
            self._count += 1
        WORD.pack_into(page, WORD_AT, self._stage | 0x100 | slot << 16 | self._count << 24)

    def name(self, client_ids: Collection[int]) -> None:
        count = len(client_ids)
        at = self._at
        if count > MOST_IDS:
            self._page[at + 2] = MANY
            return
        struct.pack_into(f"={count}Q", self._page, at + 4 + MOST_USER_BYTES, *client_ids)
        self._page[at + 2] = count

    def let_go(self) -> None:
        WORD.pack_into(self._page, WORD_AT, self._stage | self._slot << 16 | self._count << 24)

    def end(self) -> None:
        WORD.pack_into(self._page, WORD_AT, 0)


def read_flight(page: Any) -> Flight | None:
    """What a worker that is no more had in hand; None for nothing."""
    word: int = WORD.unpack_from(page, WORD_AT)[0]
    stage = word & 0xFF
    if not 0 < stage < len(STAGES):
        return None
    room_id = _text(page, ROOM_AT, ROOM_AT + 2, MOST_ROOM_BYTES)
    count = word >> 24
    if count == 0:
        return Flight(STAGES[stage], room_id, None, (), 0, in_hand=False)
    at = SLOTS_AT[word >> 16 & 1]
    ids = page[at + 2]
    found = struct.unpack_from(f"={ids}Q", page, at + 4 + MOST_USER_BYTES) if ids <= MOST_IDS else ()
    user_id = _text(page, at, at + 4, MOST_USER_BYTES)
    return Flight(STAGES[stage], room_id, user_id, found, count, in_hand=bool(word & 0x100))


def _text(page: Any, length_at: int, at: int, most: int) -> str:
    size = min(LENGTH.unpack_from(page, length_at)[0], most)
    return bytes(page[at : at + size]).decode(errors="replace")


def set_phase(page: Any, phase: Phase) -> None:
    """Say how far the worker is; each phase has its own patience."""
    page[PHASE_AT] = PHASES.index(phase)


def read_phase(page: Any) -> Phase:
    number: int = page[PHASE_AT]
    return PHASES[number]


def beat(page: Any, count: int) -> None:
    """The event loop turns; any other number than before says so."""
    WORD.pack_into(page, BEAT_AT, count)


def read_beat(page: Any) -> int:
    count: int = WORD.unpack_from(page, BEAT_AT)[0]
    return count


def clear(page: Any) -> None:
    """For the next worker."""
    page[:] = bytes(PAGE_BYTES)
