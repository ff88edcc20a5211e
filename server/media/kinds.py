"""What kind of file some bytes are, told by the bytes alone.

Owns: signatures, which kinds browsers may show inline, file extensions. Does not own: whether the rest of the
file is sound (`workshop.py`).
Rule: what a header claims is never believed; what is not recognised is not taken.
Source: WHATWG MIME Sniffing section 6; AVIF 1.1 section 6 and ISO/IEC 23008-12 annex B (brands); the MP4
registry of brands; RFC 8794 (EBML), RFC 9559 (Matroska); SVG 2; ISO 32000-2 section 7.5.2.
"""

import re
from typing import Final

HEAD_BYTES: Final = 4096

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
GIF: Final = "image/gif"
WEBP: Final = "image/webp"
AVIF: Final = "image/avif"
BMP: Final = "image/bmp"
ICO: Final = "image/x-icon"
HEIC: Final = "image/heic"
SVG: Final = "image/svg+xml"
PDF: Final = "application/pdf"
MP4: Final = "video/mp4"
WEBM: Final = "video/webm"

RASTER: Final = frozenset({PNG, JPEG, GIF, WEBP, AVIF, BMP, ICO})
"""Kinds a browser may show inline from this origin. HEIC is none: it is stored as WebP or JPEG."""

EXTENSIONS: Final = {
    PNG: "png",
    JPEG: "jpg",
    GIF: "gif",
    WEBP: "webp",
    AVIF: "avif",
    BMP: "bmp",
    ICO: "ico",
    HEIC: "heic",
    SVG: "svg",
    PDF: "pdf",
    MP4: "mp4",
    WEBM: "webm",
}
"""Every kind there is, and the extension (no dot) a file of it is saved under."""

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_HEIF_BRANDS: Final = frozenset({b"mif1", b"msf1"})
"""They name the container alone; the other brands say what is inside."""

_MP4_BRANDS: Final = frozenset(
    {b"isom", b"avc1", b"mp41", b"mp42", b"mp71", b"M4V ", b"M4VH", b"M4VP", b"MSNV", b"dash", b"f4v "}
    | {b"iso%d" % n for n in range(2, 10)}
)
"""Major brands of video. QuickTime (`qt  `), audio (`M4A `) and 3GPP are not taken."""

_SVG_PROLOGUE: Final = re.compile(
    rb"\s*(?:<\?xml[^>]{0,500}\?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"(?:<!DOCTYPE\s+svg[^>\[]{0,500}(?:\[[^\]]{0,2000}\]\s*)?>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*"
    rb"<(?:[A-Za-z]{1,20}:)?svg[\s>/]",
    re.DOTALL | re.IGNORECASE,
)
_PDF_HEADER: Final = re.compile(rb"%PDF-(?:1\.[0-7]|2\.0)[\r\n \t]")
_EBML: Final = b"\x1a\x45\xdf\xa3"
_DOC_TYPE: Final = re.compile(rb"\x42\x82(?:\x84|\x40\x04|\x01\x00{6}\x04)webm")
"""The element DocType with the length of its four letters, in the ways that writers write it."""


def sniff_kind(head: bytes) -> str | None:
    """The media type of a file that begins with `head` (up to 4 KiB); None when it is none Kanvas takes."""
    head = head[:HEAD_BYTES]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head[:4] == b"RIFF" and head[8:14] == b"WEBPVP":
        return WEBP
    if head[4:8] == b"ftyp":
        return _sniff_brands(head)
    if head.startswith(b"BM") and len(head) >= 18 and head[14] in (12, 40, 52, 56, 64, 108, 124):
        return BMP
    if head.startswith(b"\x00\x00\x01\x00") and len(head) >= 6 and 0 < head[4] | head[5] << 8 <= 64:
        return ICO
    if _PDF_HEADER.match(head):
        return PDF
    if head.startswith(_EBML):
        return WEBM if _DOC_TYPE.search(head, 4, 256) else None
    if _SVG_PROLOGUE.match(head.removeprefix(b"\xef\xbb\xbf")):
        return SVG
    return None


def _sniff_brands(head: bytes) -> str | None:
    """By the brands of the first box, which must be there as a whole."""
    size = int.from_bytes(head[:4], "big")
    if not 16 <= size <= HEAD_BYTES:
        return None
    major = head[8:12]
    brands = {major} | {head[at : at + 4] for at in range(16, min(size, len(head)) - 3, 4)}
    if major in _MP4_BRANDS:
        return MP4
    if major in _AVIF_BRANDS or (major in _HEIF_BRANDS and brands & _AVIF_BRANDS):
        return AVIF
    if major in _HEIC_BRANDS or (major in _HEIF_BRANDS and brands & _HEIC_BRANDS):
        return HEIC
    return None
