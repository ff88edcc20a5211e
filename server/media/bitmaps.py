"""The structure of BMP and ICO.

Owns: headers, where pixels begin and end. Does not own: the pixels.
Rules: neither can hold more about its maker than the pictures in an icon, which are cleaned as PNG; what lies
between or behind the parts that are used goes.
Source: Microsoft, "Bitmap Storage" and BITMAPV5HEADER; "Icons" (J. Hornick, 1995); PNG in ICO since Vista.
"""

from typing import Final

from server.media.forms import Data, Form, Pieces, check_caps, little, need
from server.media.png import SIGNATURE, read_png
from server.problems import AssetBroken

CORE_HEADER: Final = 12
V5_HEADER: Final = 124
PROFILE_AT: Final = 56
EMBEDDED: Final = b"DEBM"
"""The other kind of profile is the path of a file where the picture was made."""

UNCOMPRESSED: Final = frozenset({0, 3, 6})
"""RGB, and RGB with masks."""

MOST_GAP_BYTES: Final = 64 * 1024
"""Between a palette and the pixels."""

MOST_ICON_PX: Final = 1024
"""A side of one picture in an icon; 256 is what systems show."""


def read_bmp(data: Data) -> Form:
    """The form of a BMP. Raises AssetBroken and the caps' errors."""
    pixels = little(data, 10, 4)
    header = little(data, 14, 4)
    form = Form(Pieces(data))
    if header == CORE_HEADER:
        form.width, form.height, bits = little(data, 18, 2), little(data, 20, 2), little(data, 24, 2)
        compression, told, colours = 0, 0, 0
    else:
        form.width, form.height = _signed(data, 18), abs(_signed(data, 22))
        bits, compression = little(data, 28, 2), little(data, 30, 4)
        told, colours = little(data, 34, 4), little(data, 46, 4)
    form.check_caps()
    if bits > 32:
        raise AssetBroken
    used = 14 + header + _extra_bytes(header, bits, compression, colours)
    size = _stride(form.width, bits) * form.height if compression in UNCOMPRESSED else told
    if not used <= pixels <= used + MOST_GAP_BYTES or size < 1:
        raise AssetBroken
    form.pieces.keep(0, used)
    # zeros, so that nothing has to be moved
    form.pieces.put(used, pixels, bytes(pixels - used))
    form.pieces.keep(pixels, pixels + size)
    if header == V5_HEADER and need(data, 14 + PROFILE_AT, 4) == EMBEDDED:
        start, length = 14 + little(data, 126, 4), little(data, 130, 4)
        if start == pixels + size and length:
            form.pieces.keep(start, start + length)
    return form


def read_ico(data: Data) -> Form:
    """The form of an icon: its pictures one behind the other, as large as the largest."""
    count = little(data, 4, 2)
    if need(data, 0, 4) != b"\x00\x00\x01\x00" or not 0 < count <= 64:
        raise AssetBroken
    pieces = Pieces(data)
    form = Form(pieces)
    pictures = Pieces(data)
    directory = b""
    for at in range(6, 6 + 16 * count, 16):
        size, start = little(data, at + 8, 4), little(data, at + 12, 4)
        picture, width, height = _read_picture(data, start, size)
        directory += need(data, at, 8) + picture.size_bytes.to_bytes(4, "little")
        directory += (6 + 16 * count + pictures.size_bytes).to_bytes(4, "little")
        pictures.append(picture)
        if width * height > form.width * form.height:
            form.width, form.height = width, height
    pieces.put(0, 6 + 16 * count, need(data, 0, 6) + directory)
    pieces.append(pictures)
    return form


def _read_picture(data: Data, start: int, size: int) -> tuple[Pieces, int, int]:
    """A picture of an icon: a PNG, or a BMP without its file header and with a mask below."""
    if need(data, start, size)[:8] == SIGNATURE:
        form = read_png(data, start, start + size)
        picture, width, height = form.pieces, form.width, form.height
    else:
        header, width, height = (
            little(data, start, 4),
            _signed(data, start + 4),
            _signed(data, start + 8) // 2,
        )
        bits, compression, colours = (little(data, start + at, n) for at, n in ((14, 2), (16, 4), (32, 4)))
        if header != 40 or compression not in UNCOMPRESSED or bits > 32 or width < 1 or height < 1:
            raise AssetBroken
        used = header + _extra_bytes(header, bits, compression, colours) + _stride(width, bits) * height
        mask = _stride(width, 1) * height
        picture = Pieces(data)
        # a picture with alpha may come without its mask
        picture.keep(start, start + (used + mask if size >= used + mask else used))
    if max(width, height) > MOST_ICON_PX:
        raise AssetBroken
    check_caps(width, height)
    return picture, width, height


def _signed(data: Data, at: int) -> int:
    return int.from_bytes(need(data, at, 4), "little", signed=True)


def _stride(width: int, bits: int) -> int:
    """Bytes of a row, which fills whole double words."""
    return (width * bits + 31) // 32 * 4


def _extra_bytes(header: int, bits: int, compression: int, colours: int) -> int:
    """The palette, and the masks where they are not in the header."""
    if colours > 256:
        raise AssetBroken
    masks = {3: 12, 6: 16}.get(compression, 0) if header == 40 else 0
    entries = colours or (1 << bits if bits <= 8 else 0)
    return masks + entries * (3 if header == CORE_HEADER else 4)
