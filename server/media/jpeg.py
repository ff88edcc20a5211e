"""The structure of a JPEG, and which of its segments are kept.

Owns: markers from SOI to EOI. Does not own: the coded picture (`pictures.py` decodes it).
Rules: kept are tables, frames, scans, JFIF without its thumbnail, ICC profiles and Adobe's colour transform;
Exif, XMP, IPTC, comments, thumbnails, further pictures (MPF) and what follows EOI go.
Source: ITU-T T.81 annex B, ITU-T T.871 (JFIF), ICC.1 annex B.4, Exif 2.32 section 4.5.
"""

import re
from typing import Final

from server.media.forms import Form, Mapped, Pieces, big, need
from server.media.orientation import read_orientation
from server.problems import AssetBroken

FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
"""Baseline, extended and progressive; the others (lossless, arithmetic) no browser shows."""

TABLES: Final = frozenset({0xC4, 0xDB, 0xDD})
SCAN: Final = 0xDA
END: Final = 0xD9
DROPPED: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
"""Application segments and comments, unless they are among those kept."""

MOST_SCANS: Final = 500
"""A progressive picture has about ten; each one goes over all pixels again."""

_FILL: Final = re.compile(rb"\xff+")
_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""What ends coded data: neither a stuffed zero, nor a restart, nor a fill byte."""


def read_jpeg(data: Mapped) -> Form:
    """The form of a JPEG. Raises AssetBroken and the caps' errors."""
    if need(data, 0, 2) != b"\xff\xd8":
        raise AssetBroken
    pieces = Pieces(data)
    form = Form(pieces)
    pieces.keep(0, 2)
    at, scans = 2, 0
    while True:
        if need(data, at, 1) != b"\xff":
            raise AssetBroken
        filled = _FILL.match(data, at + 1)
        at = filled.end() - 1 if filled else at
        marker = need(data, at + 1, 1)[0]
        if marker == END:
            break
        length = big(data, at + 2, 2)
        end = at + 2 + length
        body = need(data, at + 4, length - 2)
        if marker in FRAMES:
            if form.width:
                raise AssetBroken
            form.height, form.width = big(body, 1, 2), big(body, 3, 2)
            form.check_caps()
        if marker == SCAN:
            scans += 1
            found = _MARKER.search(data, end)
            if found is None or scans > MOST_SCANS or not form.width:
                raise AssetBroken
            end = found.start()
        if marker in FRAMES or marker in TABLES or marker == SCAN or _is_kept(marker, body):
            pieces.keep(at, end)
        elif marker == 0xE0 and body.startswith(b"JFIF\x00") and len(body) >= 14:
            pieces.put(at, end, b"\xff\xe0\x00\x10" + body[:12] + b"\x00\x00")
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            pieces.put(at, end, b"\xff\xee\x00\x0e" + body[:12])
        elif marker not in DROPPED:
            raise AssetBroken
        elif marker == 0xE1 and body.startswith(b"Exif\x00\x00") and form.orientation == 1:
            form.orientation = read_orientation(body)
        at = end
    if not scans:
        raise AssetBroken
    pieces.keep(at, at + 2)
    return form


def _is_kept(marker: int, body: bytes) -> bool:
    return marker == 0xE2 and body.startswith(b"ICC_PROFILE\x00")
