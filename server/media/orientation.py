"""How a picture must be turned, as its Exif says.

Owns: one tag of the TIFF structure that Exif is, and its eight values. Does not own: everything else in Exif,
which is dropped unread.
Source: Exif 2.32 section 4.6.4 (tag 0x0112), TIFF 6.0 section 2.
"""

from typing import Final

ORIENTATION: Final = 0x0112
SHORT: Final = 3
MOST_ENTRIES: Final = 1000


def read_orientation(exif: bytes) -> int:
    """1 to 8; 1 when `exif` (a TIFF header and what follows) does not say, or says nonsense."""
    exif = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "little", b"MM\x00*": "big"}.get(exif[:4])
    if order is None:
        return 1

    def number(at: int, count: int) -> int:
        return int.from_bytes(exif[at : at + count], "little" if order == "little" else "big")

    first = number(4, 4)
    if first + 2 > len(exif):
        return 1
    for index in range(min(number(first, 2), MOST_ENTRIES)):
        at = first + 2 + 12 * index
        if at + 12 > len(exif):
            return 1
        if number(at, 2) == ORIENTATION:
            value = number(at + 8, 2) if number(at + 2, 2) == SHORT else 1
            return value if 1 <= value <= 8 else 1
    return 1
