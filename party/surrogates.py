"""Surrogate pairs in shared text, and how an update that would split one is made harmless.

Owns: where the pairs of a room's text are, and which of them an update splits. Does not own: applying.
Keeps rule D9. Pure.

Yjs counts text in UTF-16 code units, so an index may lie between the two halves of a character beyond
U+FFFF; Yjs then replaces both halves by U+FFFD. yrs 0.2x keeps the whole character in the left block and
counts it as one unit, so the document it encodes afterwards shifts every later clock: no peer can read
it. Therefore such a character is deleted, by a change of the server, before the update that splits it is
applied: deleted content has only a length, which splits cleanly, and every peer ends with the same text.
"""

import re
from collections.abc import Iterable
from typing import Final

from party.admission import Anatomy, Reference, dissect
from party.errors import BadUpdate
from party.wire import encode_uint

BEYOND_BMP: Final = re.compile(rb"[\xf0-\xf4][\x80-\xbf]{3}")


class SurrogatePairs:
    """The (client id, clock) of every high half in one room's text."""

    def __init__(self) -> None:
        self._known: set[Reference] = set()

    def add(self, pairs: Iterable[Reference]) -> None:
        self._known.update(pairs)

    def remove(self, pairs: Iterable[Reference]) -> None:
        self._known.difference_update(pairs)

    def scan(self, update: bytes) -> None:
        """Add the pairs of an update that is known to be sound (a checkpoint, a journal row)."""
        # every character beyond U+FFFF is four bytes of UTF-8; most documents have none and cost 1 ns a byte
        if BEYOND_BMP.search(update):
            self.add(dissect(update, is_own=True).pairs)

    def split_by(self, anatomy: Anatomy) -> list[Reference]:
        """The known pairs that `anatomy` inserts into or deletes half of, sorted."""
        if not self._known:
            return []
        split = {at for at in anatomy.left if at in self._known}
        split |= {
            (client, clock - 1) for client, clock in anatomy.right if (client, clock - 1) in self._known
        }
        for client, ranges in anatomy.deletions.items():
            for start, stop in ranges:
                split |= {at for at in ((client, start - 1), (client, stop - 1)) if at in self._known}
        return sorted(split)


def check_own_pairs(anatomy: Anatomy, known: dict[int, int]) -> None:
    """Refuse an update that splits a pair it brings itself: no Yjs client writes one. Raises BadUpdate.

    `known` is the room's client id -> next clock: a struct that is half known is cut there too.
    """
    if not anatomy.pairs:
        return
    own = SurrogatePairs()
    own.add(anatomy.pairs)
    cut = any(known.get(client, 0) == clock + 1 for client, clock in anatomy.pairs)
    if cut or own.split_by(anatomy):
        raise BadUpdate("The update cuts a character of its own text in half.")


def delete_update(pairs: Iterable[Reference]) -> bytes:
    """The Yjs update that deletes the given pairs, both halves of each."""
    by_client: dict[int, list[int]] = {}
    for client, clock in pairs:
        by_client.setdefault(client, []).append(clock)
    out = bytearray(b"\x00")
    out += encode_uint(len(by_client))
    for client, clocks in sorted(by_client.items(), reverse=True):
        out += encode_uint(client)
        out += encode_uint(len(clocks))
        for clock in sorted(clocks):
            out += encode_uint(clock)
            out += encode_uint(2)
    return bytes(out)
