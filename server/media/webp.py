"""The structure of a WebP, and which of its chunks are kept.

Owns: RIFF chunks. Does not own: the coded pictures.
Rules: Exif, XMP and unknown chunks go, as do their flags and what follows the RIFF chunk.
Source: RFC 9649 section 2 (container), 3 and RFC 6386 section 9.1 (sizes of what has no header of its own).
"""

from typing import Final

from server.media.forms import Data, Form, Pieces, little, need
from server.media.orientation import read_orientation
from server.problems import AssetBroken

KEPT: Final = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ICCP", b"ANIM", b"ANMF", b"ALPH"})
IN_FRAME: Final = frozenset({b"VP8 ", b"VP8L", b"ALPH"})
HAS_EXIF: Final = 0x08
HAS_XMP: Final = 0x04
KNOWN_FLAGS: Final = 0x20 | 0x10 | 0x02
"""Colour profile, alpha, animation."""

MOST_CHUNKS: Final = 10_000
MOST_EXIF_BYTES: Final = 1024 * 1024


def read_webp(data: Data) -> Form:
    """The form of a WebP. Raises AssetBroken and the caps' errors."""
    if need(data, 0, 4) != b"RIFF" or need(data, 8, 4) != b"WEBP":
        raise AssetBroken
    end = 8 + little(data, 4, 4)
    if end > len(data):
        raise AssetBroken
    inside = Pieces(data)
    form = Form(inside, frames=0)
    pictures = 0
    for name, at, after in _chunks(data, 12, end):
        if name == b"VP8X":
            if form.width:
                raise AssetBroken
            form.width, form.height = little(data, at + 12, 3) + 1, little(data, at + 15, 3) + 1
            flags = need(data, at + 8, 1)[0] & KNOWN_FLAGS
            inside.put(at, at + 12, name + need(data, at + 4, 4) + bytes((flags, 0, 0, 0)))
            inside.keep(at + 12, after)
        elif name == b"ANMF":
            form.frames += 1
            form.check_caps()
            _keep_frame(data, at, after, inside)
        elif name in IN_FRAME:
            if name != b"ALPH":
                pictures += 1
                form.is_lossless = name == b"VP8L"
                if not form.width:
                    form.width, form.height = _size_of(data, name, at)
            inside.keep(at, after)
        elif name == b"EXIF" and after - at <= MOST_EXIF_BYTES:
            form.orientation = read_orientation(need(data, at + 8, little(data, at + 4, 4)))
        elif name in KEPT:
            inside.keep(at, after)
    if not form.frames:
        form.frames = pictures
        if pictures != 1:
            raise AssetBroken
    form.check_caps()
    form.pieces = Pieces(data)
    form.pieces.put(0, 12, b"RIFF" + (4 + inside.size_bytes).to_bytes(4, "little") + b"WEBP")
    form.pieces.append(inside)
    return form


def _chunks(data: Data, at: int, end: int) -> list[tuple[bytes, int, int]]:
    """Name, start and end (padding included) of every chunk up to `end`."""
    found: list[tuple[bytes, int, int]] = []
    while at < end:
        name, size = need(data, at, 4), little(data, at + 4, 4)
        after = at + 8 + size + (size & 1)
        if after > end or len(found) == MOST_CHUNKS:
            raise AssetBroken
        found.append((name, at, after))
        at = after
    return found


def _keep_frame(data: Data, at: int, after: int, pieces: Pieces) -> None:
    """A frame of an animation: 16 bytes about it, then chunks of its own."""
    inside = Pieces(data)
    for name, start, stop in _chunks(data, at + 24, after):
        if name in IN_FRAME:
            inside.keep(start, stop)
    if not inside.size_bytes:
        raise AssetBroken
    pieces.put(at, at + 8, b"ANMF" + (16 + inside.size_bytes).to_bytes(4, "little"))
    pieces.keep(at + 8, at + 24)
    pieces.append(inside)


def _size_of(data: Data, name: bytes, at: int) -> tuple[int, int]:
    """The pixels of a picture without the extended header."""
    if name == b"VP8L":
        bits = little(data, at + 9, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if need(data, at + 11, 3) != b"\x9d\x01\x2a":
        raise AssetBroken
    return little(data, at + 14, 2) & 0x3FFF, little(data, at + 16, 2) & 0x3FFF
