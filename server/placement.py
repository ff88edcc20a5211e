"""Which worker a connection goes to, from the first bytes of its first request.

Owns: finding the room's id, or a worker's number, in a request line, and ranking workers for a room. Pure: no
socket, no clock.
Does not own: reading and handing on (acceptor.py). Rules: every kind of request for a room ranks alike; a
worker that goes takes only its own rooms along (rendezvous hashing). Keeps rules N1, N2, N10.
Source: RFC 9112 section 3 (the request line); Thaler and Ravishankar, "A Name-Based Mapping Scheme for
Rendezvous" (1996); the mixing of bits is MurmurHash3's finaliser.
"""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

ROOM_PATHS: Final = (b"/parties/", b"/api/v1/rooms/")
"""What follows, up to the next delimiter, is a room's id."""

SLOT_PATH: Final = b"/metrics/"
"""What follows is a worker's number."""

MOST_SLOT_BYTES: Final = 4

ENDS: Final = (b"/", b"?", b" ", b"\r", b"\n", b"#")
MOST_METHOD_BYTES: Final = 24
MOST_ID_BYTES: Final = 256
"""As much as the supervisor's page holds of one; a longer one counts by its beginning."""

HEAD_BYTES: Final = 320
"""More than the longest method, path and id: nothing beyond is looked at."""

WORD: Final = 0xFFFFFFFF


def find_room(head: bytes) -> bytes | None:
    """The id of the room a request is for, b"" when it is for none, None when more must come to tell."""
    _, space, target = head.partition(b" ")
    if not space:
        # what begins otherwise (TLS, noise) is refused by the worker
        return b"" if len(head) > MOST_METHOD_BYTES or (head and not head[:1].isupper()) else None
    for path in ROOM_PATHS:
        if target.startswith(path):
            rest = target[len(path) : len(path) + MOST_ID_BYTES]
            ends = [at for at in map(rest.find, ENDS) if at >= 0]
            if ends:
                return rest[: min(ends)]
            return rest if len(rest) == MOST_ID_BYTES else None
        if path.startswith(target):
            return None
    return None if SLOT_PATH.startswith(target) or _begins_slot(target) else b""


def find_slot(head: bytes) -> int | None:
    """The number of the worker that a request names which is for no room; None when it names none."""
    target = head.partition(b" ")[2]
    if not target.startswith(SLOT_PATH):
        return None
    number = target[len(SLOT_PATH) :].partition(b" ")[0].partition(b"?")[0]
    return int(number) if number.isdigit() and len(number) <= MOST_SLOT_BYTES else None


def _begins_slot(target: bytes) -> bool:
    """Whether more of the number may come."""
    number = target.removeprefix(SLOT_PATH)
    is_slot = target.startswith(SLOT_PATH) and len(number) <= MOST_SLOT_BYTES
    return is_slot and (number.isdigit() or not number)


def rank(room: bytes, slots: Sequence[int]) -> list[int]:
    """The workers' numbers, the one that serves the room first, then who stands in for it, and so on."""
    if len(slots) < 2:
        return list(slots)
    name = crc32(room)
    return sorted(slots, key=lambda slot: _mix(name ^ ((slot + 1) * 0x9E3779B1 & WORD)), reverse=True)


def _mix(word: int) -> int:
    # a checksum alone is linear: its order of three workers would be uneven
    word = (word ^ word >> 16) * 0x85EBCA6B & WORD
    word = (word ^ word >> 13) * 0xC2B2AE35 & WORD
    return word ^ word >> 16
