"""Which assets a room's document refers to, told from its bytes.

Owns: the search. Pure, slow for large documents: run it in a thread.

A document names an asset by its SHA-256 (an image) or by its id (a link), in whatever root, group or text
it likes: an `open` room's shape is its own. In Yjs updates strings are UTF-8 in one piece, so whoever is
named is found as bytes, in the checkpoint and in every row since. What is found by chance, or in what is
deleted but not yet purged, keeps its asset longer and never loses one: an undo within that time finds the
picture.
Source: lib0 encoding of strings; Yjs ContentAny, ContentString, ContentJSON, ContentFormat.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

NAME: Final = re.compile(rb"(?=([0-9a-f]{64}|[0-7][0-9a-hjkmnp-tv-z]{25}))")
"""Overlapping: the byte before a name may look like a part of it."""

PIECE_BYTES: Final = 16 * 1024
"""The regular expression holds the GIL: 0.5 ms for a drawing, 5 ms where every byte may begin a name."""

OVERLAP_BYTES: Final = 63


def find_names(documents: Iterable[bytes], wanted: Collection[str]) -> set[str]:
    """Those of `wanted`, ids or SHA-256 in lower case, that these updates name."""
    known = {name.encode() for name in wanted}
    found: set[bytes] = set()
    for document in documents:
        for at in range(0, len(document), PIECE_BYTES):
            found.update(known.intersection(NAME.findall(document, at, at + PIECE_BYTES + OVERLAP_BYTES)))
    return {name.decode() for name in found}
