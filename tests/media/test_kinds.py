"""server.media.kinds: what a file is, by its first bytes."""

import pytest

from server.media.kinds import EXTENSIONS, HEAD_BYTES, RASTER, sniff_kind
from tests.media import corpus


@pytest.mark.parametrize("name", corpus.IMAGES)
def test_images_are_known(name: str) -> None:
    kind = sniff_kind(corpus.IMAGES[name]()[:HEAD_BYTES])
    assert kind in RASTER
    assert kind is not None
    assert name.startswith(EXTENSIONS[kind].replace("jpg", "jpeg"))


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    return corpus.box(b"ftyp", major, bytes(4), *compatible)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (corpus.HEIC_WITH_EXIF, "image/heic"),
        (ftyp(b"mif1", b"mif1", b"heic"), "image/heic"),
        (ftyp(b"mif1", b"mif1", b"avif", b"miaf"), "image/avif"),
        (ftyp(b"mif1", b"mif1"), None),
        (ftyp(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4"),
        (ftyp(b"mp42", b"isom"), "video/mp4"),
        (ftyp(b"M4V ", b"isom"), "video/mp4"),
        (ftyp(b"iso6", b"dash"), "video/mp4"),
        (ftyp(b"qt  ", b"qt  "), None),
        (ftyp(b"M4A ", b"isom"), None),
        (ftyp(b"3gp4", b"isom"), None),
        (ftyp(b"isom")[:12], "video/mp4"),
        (b"\x00\x00\x00\x08ftypavif", None),
        (corpus.webm(), "video/webm"),
        (corpus.webm(doc_type=b"matroska"), None),
        (b"\x1a\x45\xdf\xa3" + bytes(40), None),
        (corpus.pdf(), "application/pdf"),
        (b"%PDF-2.0\n", "application/pdf"),
        (b"%PDF-9.9\n", None),
        (b"\n%PDF-1.7\n", None),
        (corpus.svg(""), "image/svg+xml"),
        (b"\x1f\x8b\x08" + bytes(20), None),
        (b"%!PS-Adobe-3.0 EPSF-3.0", None),
        (b"8BPS\x00\x01", None),
        (b"II*\x00" + bytes(20), None),
        (b"PK\x03\x04", None),
        (b"", None),
    ],
)
def test_only_what_is_recognised_is_taken(head: bytes, kind: str | None) -> None:
    assert sniff_kind(head) == kind


def test_what_may_run_or_is_no_image_is_never_shown_inline() -> None:
    assert EXTENSIONS.keys() > RASTER
    assert not RASTER & {"image/svg+xml", "application/pdf", "video/mp4", "video/webm", "image/heic"}
