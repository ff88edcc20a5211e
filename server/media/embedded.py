"""Pictures inside an SVG, as data: addresses: cleaned as they would be beside it.

Owns: which kinds may be there, their base64. Does not own: formats (`jpeg.py` and the others), the SVG
(`svg.py`).
Rules: a photo in a drawing tells no more of who and where than one that is sent alone; what is no sound
picture of its kind is left out; caps are those of every picture, and all together have one, too. Pixels are
not decoded: browsers do that.
Of Exif the orientation stays where browsers heed it, as tried in Chromium: JPEG and PNG, and not WebP.
Source: RFC 2397; Exif 2.32 section 4.6.4; PNG (third edition) section 11.3.4.6.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final
from zlib import crc32

from server.media import kinds
from server.media.base import MOST_FRAME_PIXELS
from server.media.forms import Form, Mapped
from server.media.gif import read_gif
from server.media.jpeg import read_jpeg
from server.media.orientation import ORIENTATION, SHORT
from server.media.png import read_png
from server.media.webp import read_webp
from server.problems import AssetBroken, AssetTooManyPixels

READERS: Final[dict[str, Callable[[Mapped], Form]]] = {
    kinds.PNG: read_png,
    kinds.JPEG: read_jpeg,
    kinds.GIF: read_gif,
    kinds.WEBP: read_webp,
}
AFTER_HEADER: Final = 33
"""Of a PNG: signature and IHDR."""

_ADDRESS: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,([A-Za-z0-9+/=\s]*)\Z")


class Album:
    """The pictures of one SVG, which is opened with all of them: together they may be as large as a film."""

    def __init__(self) -> None:
        self._left = MOST_FRAME_PIXELS

    def clean(self, address: str) -> str | None:
        """The address of the clean form; None when there is no picture in it. Raises the caps' errors."""
        found = _ADDRESS.match(address)
        if found is None:
            return None
        try:
            data = base64.b64decode("".join(found[1].split()), validate=True)
            kind = kinds.sniff_kind(data) or ""
            form = READERS[kind](data)
        except (binascii.Error, KeyError, AssetBroken):
            return None
        self._left -= form.width * form.height * form.frames
        if self._left < 0:
            raise AssetTooManyPixels("The pictures in the SVG have too many pixels; make them smaller.")
        clean = b"".join(form.pieces.chunks())
        if form.orientation != 1:
            clean = _turned(clean, kind, form.orientation)
        return f"data:{kind};base64,{base64.b64encode(clean).decode()}"


def _turned(clean: bytes, kind: str, orientation: int) -> bytes:
    """With Exif that says so, and nothing else."""
    entry = b"".join(n.to_bytes(2, "big") for n in (1, ORIENTATION, SHORT, 0, 1, orientation, 0, 0, 0))
    exif = b"MM\x00*\x00\x00\x00\x08" + entry
    if kind == kinds.JPEG:
        segment = b"Exif\x00\x00" + exif
        return clean[:2] + b"\xff\xe1" + (2 + len(segment)).to_bytes(2, "big") + segment + clean[2:]
    if kind == kinds.PNG:
        chunk = b"eXIf" + exif
        at = AFTER_HEADER
        return (
            clean[:at] + len(exif).to_bytes(4, "big") + chunk + crc32(chunk).to_bytes(4, "big") + clean[at:]
        )
    return clean
