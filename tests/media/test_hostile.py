"""server.media.examination on images that are bombs, cut off, or something else as well."""

import struct
import zipfile
import zlib
from io import BytesIO

import pytest

from tests.media import corpus
from tests.media.table import Table

HTML = b"<!doctype html><script>alert(1)</script>"


def archive() -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("payload.html", HTML)
    return target.getvalue()


@pytest.mark.parametrize("tail", [archive(), HTML, b"\x00", b"\xff\xd8\xff\xe0" + corpus.SECRET])
@pytest.mark.parametrize("name", corpus.IMAGES)
def test_what_hangs_behind_an_image_is_cut_off(table: Table, name: str, tail: bytes) -> None:
    sound = corpus.IMAGES[name]()
    verdict, clean = table.clean(sound + tail)
    assert verdict.is_rewritten
    assert clean == sound
    assert not zipfile.is_zipfile(BytesIO(clean))


def test_html_in_a_comment_goes_with_the_comment(table: Table) -> None:
    _, clean = table.clean(corpus.jpeg_with(corpus.jpeg_segment(0xFE, HTML)))
    assert b"<script" not in clean
    assert clean == corpus.encode(corpus.scene(), "JPEG")


def test_a_gif_that_is_a_script_is_one_no_more(table: Table) -> None:
    """The size of the screen begins a remark, which ends behind the picture: GIF89a/*...*/=1;alert(1)."""
    sound = bytearray(corpus.encode(corpus.scene(), "GIF"))
    sound[6:10] = b"/*\x40\x00"
    _, clean = table.clean(bytes(sound) + b"*/=1;alert(1);")
    assert b"alert" not in clean


def test_a_comment_that_is_a_script_goes(table: Table) -> None:
    sound = corpus.encode(corpus.scene(), "GIF")
    at = 13 + (3 << (sound[10] & 7) + 1)
    script = b"*/=1;alert(1);/*"
    polyglot = sound[:at] + b"!\xfe" + bytes([len(script)]) + script + b"\x00" + sound[at:]
    assert table.clean(polyglot)[1] == sound


def test_bytes_between_the_parts_go(table: Table) -> None:
    """Behind the coded picture in IDAT, in unknown boxes of an AVIF, before the pixels of a BMP."""
    packed = zlib.compress(b"\x00" * (4 * 3 + 1) * 4)
    png = corpus.png(corpus.png_header(4, 4), corpus.png_chunk(b"IDAT", packed + archive()))
    _, clean = table.clean(png)
    assert clean == corpus.png(corpus.png_header(4, 4), corpus.png_chunk(b"IDAT", packed))

    avif = corpus.encode(corpus.scene(), "AVIF", speed=9)
    hidden = avif + corpus.box(b"uuid", corpus.SECRET) + corpus.box(b"free", corpus.SECRET)
    _, clean = table.clean(hidden)
    assert corpus.SECRET not in clean

    bmp = corpus.encode(corpus.scene(), "BMP")
    moved = bmp[:10] + (54 + len(HTML)).to_bytes(4, "little") + bmp[14:54] + HTML + bmp[54:]
    _, clean = table.clean(moved)
    assert HTML not in clean
    assert corpus.decode(clean).tobytes() == corpus.decode(bmp).tobytes()


def test_unused_bytes_among_the_data_of_an_avif_go(table: Table) -> None:
    avif = corpus.encode(corpus.scene(), "AVIF", speed=9)
    at = avif.rindex(b"mdat") - 4
    size = int.from_bytes(avif[at : at + 4], "big") + len(HTML)
    longer = avif[:at] + size.to_bytes(4, "big") + avif[at + 4 :] + HTML
    _, clean = table.clean(longer)
    assert HTML not in clean
    assert corpus.decode(clean).tobytes() == corpus.decode(avif).tobytes()


@pytest.mark.parametrize("name", [*corpus.IMAGES, "heic"])
def test_an_image_that_is_cut_off_is_refused_wherever_it_ends(table: Table, name: str) -> None:
    data = corpus.HEIC_WITH_ALPHA if name == "heic" else corpus.IMAGES[name]()
    places = {len(data) - 1, len(data) - 2, len(data) - 5, len(data) - 13, len(data) - 40}
    places |= {len(data) * share // 23 for share in range(1, 23)}
    kinds = {table.refuse(data[:place]).code for place in places if place > 32}
    assert kinds <= {"asset_broken", "asset_type_refused"}


@pytest.mark.parametrize("name", ["png", "gif", "webp, lossless", "avif"])
def test_damage_in_the_coded_picture_is_found(table: Table, name: str) -> None:
    """Where the format can tell: a checksum, a code that does not exist, a stream that ends early.

    JPEG can't: its decoder goes on with grey.
    """
    data = bytearray(corpus.IMAGES[name]())
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff\xd9" * 20
    assert table.refuse(bytes(data)).code == "asset_broken"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (corpus.png(corpus.png_header(50_000, 50_000)), "asset_too_many_pixels"),
        (corpus.png(corpus.png_header(40_000, 1)), "asset_too_many_pixels"),
        (corpus.png(corpus.png_header(8_200, 8_200)), "asset_too_many_pixels"),
        (corpus.png(corpus.png_header(0, 5)), "asset_broken"),
        (corpus.png(corpus.png_header(5, 5), corpus.png_chunk(b"IDAT", zlib.compress(b""))), "asset_broken"),
        (corpus.png(corpus.png_header(5, 5), corpus.png_chunk(b"CgBI", b"")), "asset_broken"),
        (corpus.png(corpus.png_header(5, 5)), "asset_broken"),
        (b"GIF89a" + struct.pack("<HH", 50_000, 50_000) + bytes(3) + b",", "asset_broken"),
        (
            b"\xff\xd8" + corpus.jpeg_segment(0xC0, b"\x08\xff\xff\xff\xff\x01\x01\x11\x00"),
            "asset_too_many_pixels",
        ),
        (
            b"BM" + bytes(8) + struct.pack("<IIiiHH", 54, 40, 60_000, 60_000, 1, 24) + bytes(24),
            "asset_too_many_pixels",
        ),
        (corpus.animation("GIF", frames=200, size=(8, 8)), "asset_too_many_frames"),
        (corpus.animation("PNG", frames=101, size=(8, 8)), "asset_too_many_frames"),
        (corpus.animation("WEBP", frames=101, size=(8, 8)), "asset_too_many_frames"),
        (corpus.animation("AVIF", frames=101, size=(16, 16), speed=10), "asset_too_many_frames"),
    ],
)
def test_bombs_are_refused_by_their_headers(table: Table, data: bytes, code: str) -> None:
    assert table.refuse(data).code == code


def test_more_pixels_than_the_header_says_are_no_bomb(table: Table) -> None:
    """A zip bomb in IDAT: 64 MB of zeros for a picture of 4 x 4."""
    bomb = corpus.png_chunk(b"IDAT", zlib.compress(bytes(64 * 1024 * 1024)))
    assert table.refuse(corpus.png(corpus.png_header(4, 4), bomb)).code == "asset_broken"


def test_bombs_in_text_and_profiles_are_left_out(table: Table) -> None:
    zeros = zlib.compress(bytes(16 * 1024 * 1024), 9)
    _, clean = table.clean(
        corpus.png_with(
            corpus.png_chunk(b"iCCP", b"x\x00\x00" + zeros),
            corpus.png_chunk(b"zTXt", b"x\x00\x00" + zeros),
            corpus.png_chunk(b"iTXt", b"x\x00\x01\x00\x00\x00" + zeros),
        )
    )
    assert clean == corpus.encode(corpus.scene(), "PNG")


def test_frames_are_counted_with_their_pixels(table: Table) -> None:
    """99 frames of 2 megapixels are few frames and many pixels."""
    frame = b",\x00\x00\x00\x00" + struct.pack("<HH", 8, 8) + b"\x00\x02\x02\x4c\x01\x00"
    screen = b"GIF89a" + struct.pack("<HH", 4_000, 1_000) + b"\x80\x00\x00" + bytes(6)
    assert table.refuse(screen + frame * 99 + b";").code == "asset_too_many_frames"


def test_blocks_of_one_byte_do_not_take_for_ever(table: Table) -> None:
    screen = b"GIF89a" + struct.pack("<HH", 8, 8) + bytes(3)
    assert table.refuse(screen + b"!\xfe" + b"\x01x" * 3_000_000).code == "asset_broken"


def test_a_jpeg_of_very_many_scans_is_refused(table: Table) -> None:
    data = corpus.encode(corpus.scene(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    many = data[:at] + data[at:-2] * 600 + data[-2:]
    assert table.refuse(many).code == "asset_broken"


def test_the_bytes_must_be_of_the_kind_that_was_said(table: Table) -> None:
    assert table.refuse(corpus.encode(corpus.scene(), "PNG"), "image/jpeg").code == "asset_type_refused"
    assert table.refuse(b"%!PS-Adobe-3.0 EPSF-3.0", "image/png").code == "asset_type_refused"
    assert table.refuse(b"", "image/png").code == "asset_type_refused"


def test_an_item_of_an_avif_that_overlaps_its_picture_is_refused(table: Table) -> None:
    """Else overwriting Exif would damage the picture, or the structure."""
    data = corpus.encode(corpus.scene(), "AVIF", speed=9, exif=corpus.exif())
    # two items of 14 bytes each: number, data reference, count of ranges, then where and how long
    first = data.index(b"iloc") + 12
    picture, other = first + 6, first + 14 + 6
    for place in (data[picture : picture + 4], (40).to_bytes(4, "big")):
        wrong = data[:other] + place + data[other + 4 :]
        assert table.refuse(wrong).code == "asset_broken"
