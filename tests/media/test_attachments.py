"""server.media on PDF, MP4 and WebM: whether the file holds together."""

import pytest

from server.media.examination import examine
from tests.media.corpus import box, element, mp4, pdf, webm
from tests.media.table import Table


@pytest.mark.parametrize(
    ("data", "kind", "size"),
    [
        (mp4(), "video/mp4", (320, 180)),
        (mp4(width=0), "video/mp4", (None, None)),
        (mp4(box(b"free", bytes(9)), box(b"udta", bytes(9))), "video/mp4", (320, 180)),
        (mp4(b"\x00\x00\x00\x01mdat" + (40).to_bytes(8, "big") + bytes(24)), "video/mp4", (320, 180)),
        (mp4(b"\x00\x00\x00\x00mdat" + bytes(90)), "video/mp4", (320, 180)),
        (webm(), "video/webm", (320, 180)),
        (webm(is_live=True), "video/webm", (320, 180)),
        (webm(element(0x1C53BB6B, bytes(5)), element(0xEC, bytes(9))), "video/webm", (320, 180)),
        (pdf(), "application/pdf", (None, None)),
    ],
)
def test_sound_ones_stay_as_they_are(
    table: Table, data: bytes, kind: str, size: tuple[int | None, int | None]
) -> None:
    verdict, clean = table.examine(data)
    assert clean == data
    assert (verdict.content_type, verdict.frames, verdict.color) == (kind, 1, None)
    assert (verdict.width, verdict.height) == size
    assert table.render(data) == []


@pytest.mark.parametrize(
    "data",
    [
        mp4(b"PK\x03\x04" + bytes(60)),
        mp4(b"<html><script>alert(1)</script>"),
        mp4(b"\x00"),
        mp4(box(b"\x00\x01\x02\x03", bytes(8))),
        mp4(b"\x00\x00\x00\x04free"),
        box(b"ftyp", b"isom", bytes(8)),
        box(b"ftyp", b"isom", bytes(8)) + box(b"moov", box(b"mvhd", bytes(100))),
        box(b"ftyp", b"isom", bytes(8)) + box(b"moov", b"\x00\x00\x00\x09mvhd") + box(b"mdat", b""),
        box(b"ftyp", b"isom", bytes(8)) + box(b"mdat", bytes(99)),
        box(b"ftyp", b"isom", bytes(8)) + box(b"moov", box(b"trak") * 1000) + box(b"mdat", b""),
        webm() + b"PK\x03\x04",
        webm() + b"<html>",
        webm(b"<html>"),
        webm(is_live=True) + b"<html>",
        webm()[:40],
        element(0x1A45DFA3, b"\x42\x82\x84webm") + element(0x18538067, b""),
        pdf()[:-10],
        pdf()[: len(pdf()) // 2],
        pdf() + b"x" * 5000,
        b"%PDF-1.7\n",
        b"%PDF-1.7\n%%EOF",
    ],
)
def test_damaged_ones_are_refused(table: Table, data: bytes) -> None:
    assert table.refuse(data).code == "asset_broken"


@pytest.mark.parametrize("data", [mp4(), webm(), webm(is_live=True)])
def test_videos_that_are_cut_off_are_refused(table: Table, data: bytes) -> None:
    """A recording without lengths may end between two blocks: nobody can tell."""
    for end in range(64, len(data) - 1, 7):
        if end < 110 or data != webm(is_live=True):
            assert table.refuse(data[:end]).code == "asset_broken"


@pytest.mark.parametrize("tail", [b"<html><script>alert(1)</script>", b"PK\x03\x04" + bytes(20), b"\n\n\n\n"])
def test_what_hangs_behind_a_pdf_is_cut_off(table: Table, tail: bytes) -> None:
    sound = pdf()
    verdict, clean = table.clean(sound + b"\n" + tail)
    assert verdict.is_rewritten
    assert clean.rstrip() == sound.rstrip()


def test_a_pdf_behind_a_page_is_none(table: Table) -> None:
    assert table.refuse(b"<html>" + pdf(), "application/pdf").code == "asset_type_refused"


def test_only_the_frame_of_a_video_is_read(table: Table) -> None:
    """A file of a gigabyte, most of it a hole."""
    sound = mp4()
    table.source.write_bytes(sound + (1 << 30).to_bytes(4, "big") + b"mdat")
    with table.source.open("r+b") as file:
        file.truncate(len(sound) + (1 << 30))
    assert examine(table.source, "video/mp4", table.target).width == 320
