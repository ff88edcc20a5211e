"""What kind of image some bytes are, told by the bytes alone.

Owns: signatures. Does not own: decoding (nothing here looks past the first bytes).
Rule: what a header claims is never believed; what is not recognised is no image.
Source: WHATWG MIME Sniffing section 6.1; AVIF 1.1 section 6 (brands); SVG 2.
"""

import re
from typing import Final

HEAD_BYTES: Final = 4096

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_SVG_PROLOGUE: Final = re.compile(
    rb"\s*(?:<\?xml[^>]{0,500}\?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"(?:<!DOCTYPE\s+svg[^>\[]{0,500}(?:\[[^\]]{0,2000}\]\s*)?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"<(?:[A-Za-z]{1,20}:)?svg[\s>/]",
    re.DOTALL | re.IGNORECASE,
)


def sniff_image(head: bytes) -> str | None:
    """The media type of an image that begins with `head` (up to 4 KiB); None when it is none we know."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:14] == b"WEBPVP":
        return "image/webp"
    if head[4:8] == b"ftyp" and _is_avif(head):
        return "image/avif"
    if head.startswith(b"BM") and len(head) >= 18 and head[14] in (12, 40, 52, 56, 64, 108, 124):
        return "image/bmp"
    if head.startswith(b"\x00\x00\x01\x00") and len(head) >= 6 and 0 < head[4] | head[5] << 8 <= 64:
        return "image/x-icon"
    if _SVG_PROLOGUE.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "image/svg+xml"
    return None


def _is_avif(head: bytes) -> bool:
    size = int.from_bytes(head[:4], "big")
    if not 16 <= size <= HEAD_BYTES:
        return False
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(size, len(head)) - 3, 4))]
    return any(brand in _AVIF_BRANDS for brand in brands)
