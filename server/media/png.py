"""The structure of a PNG or APNG, and which of its chunks are kept.

Owns: chunks from the signature to IEND, their checksums, where the coded picture ends. Does not own: the
picture itself (`pictures.py` decodes it).
Rules: kept is what the pixels depend on; Exif, text, time and chunks nobody registered go, and so does what
follows IEND or hides in IDAT behind the coded picture.
Source: PNG (third edition) sections 5, 7 and 11; RFC 1950 for the end of the coded picture.
"""

import zlib
from collections.abc import Iterator
from typing import Final

from server.media.forms import COPY_BYTES, Data, Form, Pieces, big, need
from server.media.orientation import read_orientation
from server.problems import AssetBroken

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MOST_PROFILE_BYTES: Final = 4 * 1024 * 1024
CRITICAL: Final = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
KEPT: Final = {
    b"tRNS": 256,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"iCCP": MOST_PROFILE_BYTES,
    b"cICP": 4,
    b"mDCV": 24,
    b"cLLI": 8,
    b"bKGD": 6,
    b"hIST": 512,
    b"pHYs": 9,
    b"sBIT": 4,
    b"acTL": 8,
    b"fcTL": 26,
    b"fdAT": 1 << 31,
}
"""Of the ancillary ones, with the bytes that each may have: more is no part of it. Beside colour and
transparency: sizes of a pixel, and the frames of an animation."""

CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""

PASSES: Final = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""Of an interlaced picture: first column and row, step in columns and rows."""

MOST_CHUNKS: Final = 200_000
"""Writers make chunks of 8 KiB and more."""

MOST_EXIF_BYTES: Final = 1024 * 1024
INFLATE_BYTES: Final = 256 * 1024


def read_png(data: Data, start: int = 0, end: int | None = None) -> Form:
    """The form of a PNG, which may be a part of a larger file (ICO).

    Raises AssetBroken and the caps' errors.
    """
    pieces = Pieces(data)
    form = Form(pieces)
    if need(data, start, 8) != SIGNATURE:
        raise AssetBroken
    pieces.keep(start, start + 8)
    picture: list[tuple[int, int]] = []
    picture_bytes = 0
    is_ended = False
    last = b""
    for name, at, after in _chunks(data, start + 8, len(data) if end is None else end):
        if name == b"IHDR":
            picture_bytes = _read_header(data, at, form)
            form.check_caps()
        elif name == b"acTL" and not picture:
            form.frames = max(1, big(data, at + 8, 4))
            form.check_caps()
        elif name == b"eXIf" and after - at <= MOST_EXIF_BYTES:
            form.orientation = read_orientation(data[at + 8 : after - 4])
        if name == b"IDAT":
            if picture and last != b"IDAT":
                raise AssetBroken
            picture.append((at, after))
        elif last == b"IDAT":
            _keep_picture(data, picture, picture_bytes, pieces)
        if name != b"IDAT" and (name in CRITICAL or (name in KEPT and _is_sound(data, name, at, after))):
            pieces.keep(at, after)
        last, is_ended = name, name == b"IEND"
    if not is_ended or not picture:
        raise AssetBroken
    return form


def _chunks(data: Data, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of every chunk up to IEND, with checksums checked where the chunk may be kept."""
    for index in range(MOST_CHUNKS):
        length, name = big(data, at, 4), need(data, at + 4, 4)
        after = at + 12 + length
        if after > end or (index == 0) != (name == b"IHDR"):
            raise AssetBroken
        if name in CRITICAL or name in KEPT:
            if _checksum(data, at + 4, after - 4) != big(data, after - 4, 4):
                raise AssetBroken
        elif not name[0] & 0x20:
            # critical and unknown: nobody can say what the picture would be without it
            raise AssetBroken
        yield name, at, after
        if name == b"IEND":
            return
        at = after
    raise AssetBroken


def _read_header(data: Data, at: int, form: Form) -> int:
    """Fills in the size; returns how many bytes the picture is before it is compressed."""
    if big(data, at, 4) != 13:
        raise AssetBroken
    form.width, form.height = big(data, at + 8, 4), big(data, at + 12, 4)
    depth, colour, _, _, interlace = need(data, at + 16, 5)
    if colour not in CHANNELS or depth not in (1, 2, 4, 8, 16) or interlace > 1:
        raise AssetBroken
    bits = CHANNELS[colour] * depth
    if not interlace:
        return form.height * (1 + (form.width * bits + 7) // 8)
    total = 0
    for column, row, step_x, step_y in PASSES:
        width = (form.width - column + step_x - 1) // step_x
        height = (form.height - row + step_y - 1) // step_y
        if width > 0 and height > 0:
            total += height * (1 + (width * bits + 7) // 8)
    return total


def _keep_picture(data: Data, chunks: list[tuple[int, int]], picture_bytes: int, pieces: Pieces) -> None:
    """IDAT as far as its compressed stream goes. Raises AssetBroken when that is cut off, or far too long."""
    stream, total = zlib.decompressobj(), 0
    for at, after in chunks:
        for start in range(at + 8, after - 4, INFLATE_BYTES):
            end = min(start + INFLATE_BYTES, after - 4)
            waiting = data[start:end]
            while waiting:
                try:
                    total += len(stream.decompress(waiting, INFLATE_BYTES))
                except zlib.error as exc:
                    raise AssetBroken from exc
                waiting = stream.unconsumed_tail
                if total > picture_bytes + INFLATE_BYTES:
                    raise AssetBroken
            if not stream.eof:
                continue
            if total < picture_bytes:
                raise AssetBroken
            stop = end - len(stream.unused_data)
            body = need(data, at + 8, stop - at - 8)
            if stop == after - 4:
                pieces.keep(at, after)
            elif body:
                chunk = b"IDAT" + body
                pieces.put(
                    at, after, len(body).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
                )
            return
        pieces.keep(at, after)
    raise AssetBroken


def _checksum(data: Data, start: int, end: int) -> int:
    found = 0
    for at in range(start, end, COPY_BYTES):
        found = zlib.crc32(data[at : min(at + COPY_BYTES, end)], found)
    return found


def _is_sound(data: Data, name: bytes, at: int, after: int) -> bool:
    """False for what is too long, and a profile that can't be unpacked or is a bomb: it is left out."""
    if after - at - 12 > KEPT[name]:
        return False
    if name != b"iCCP":
        return True
    _, _, packed = data[at + 8 : after - 4].partition(b"\x00")
    stream = zlib.decompressobj()
    try:
        stream.decompress(packed[1:], MOST_PROFILE_BYTES)
    except zlib.error:
        return False
    return packed[:1] == b"\x00" and stream.eof
