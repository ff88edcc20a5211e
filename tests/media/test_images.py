"""server.media.examination on images that are sound: what is found, what is dropped, what stays."""

import random

import pytest
from PIL import Image, ImageChops

from server.media.pictures import TURNS
from tests.media import corpus
from tests.media.table import Table


@pytest.mark.parametrize("name", corpus.IMAGES)
def test_a_sound_image_stays_as_it_is(table: Table, name: str) -> None:
    data = corpus.IMAGES[name]()
    verdict, clean = table.examine(data)
    assert not verdict.is_rewritten
    assert clean == data
    size = (64, 64) if name == "ico" else (32, 32) if name == "ico of bitmaps" else (96, 64)
    assert (verdict.width, verdict.height) == size
    assert verdict.frames == corpus.FRAMES.get(name, 1)
    assert verdict.color is not None
    assert len(verdict.color) == 7


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (corpus.encode(corpus.scene(), "PNG", exif=corpus.exif()), "PNG"),
        (corpus.encode(corpus.scene(), "JPEG", exif=corpus.exif(), comment=corpus.SECRET), "JPEG"),
        (corpus.encode(corpus.scene(), "WEBP", exif=corpus.exif(), xmp=corpus.SECRET), "WEBP"),
        (corpus.encode(corpus.scene("RGBA"), "AVIF", speed=9, exif=corpus.exif(), xmp=corpus.SECRET), "AVIF"),
        (corpus.encode(corpus.scene(), "GIF", comment=corpus.SECRET), "GIF"),
        (corpus.animation("PNG", exif=corpus.exif()), "PNG"),
        (corpus.animation("GIF", comment=corpus.SECRET, loop=3), "GIF"),
        (corpus.animation("WEBP", exif=corpus.exif(), xmp=corpus.SECRET), "WEBP"),
        (corpus.animation("AVIF", frames=2, speed=9, exif=corpus.exif(), xmp=corpus.SECRET), "AVIF"),
    ],
)
def test_who_and_where_is_dropped_and_no_pixel_changes(table: Table, data: bytes, kind: str) -> None:
    assert corpus.SECRET in data
    verdict, clean = table.clean(data)
    assert verdict.is_rewritten
    assert corpus.SECRET not in clean
    before, after = corpus.decode(data), corpus.decode(clean)
    assert "comment" not in after.info
    assert not after.info.get("xmp", b"").strip(b" \x00")
    assert not dict(after.getexif())
    assert verdict.frames == getattr(before, "n_frames", 1)
    for number in range(verdict.frames):
        before.seek(number)
        after.seek(number)
        assert before.convert("RGBA").tobytes() == after.convert("RGBA").tobytes()
    assert after.info.get("loop") == before.info.get("loop")
    assert after.format == kind


JPEG_SECRETS = {
    "XMP": corpus.jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + corpus.SECRET),
    "IPTC": corpus.jpeg_segment(0xED, b"Photoshop 3.0\x00" + corpus.SECRET),
    "several pictures": corpus.jpeg_segment(0xE2, b"MPF\x00" + corpus.SECRET),
    "a thumbnail": corpus.jpeg_segment(0xE0, b"JFXX\x00\x10" + corpus.SECRET),
    "a maker's own": corpus.jpeg_segment(0xEB, corpus.SECRET),
    "a comment": corpus.jpeg_segment(0xFE, corpus.SECRET),
    "a thumbnail in JFIF": corpus.jpeg_segment(
        0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x01\x07" + corpus.SECRET[:21]
    ),
}


@pytest.mark.parametrize("name", JPEG_SECRETS)
def test_segments_of_a_jpeg_that_tell_something_are_dropped(table: Table, name: str) -> None:
    data = corpus.jpeg_with(JPEG_SECRETS[name], icc_profile=corpus.profile())
    _, clean = table.clean(data)
    assert corpus.SECRET[:21] not in clean
    assert corpus.decode(clean).info["icc_profile"] == corpus.profile()
    assert corpus.decode(clean).tobytes() == corpus.decode(corpus.jpeg_with()).tobytes()


def test_the_colour_transform_of_a_jpeg_stays(table: Table) -> None:
    """Adobe's segment says how inks are stored; what is appended to it goes, and so do filling bytes."""
    plain = corpus.encode(corpus.scene("CMYK"), "JPEG")
    at = plain.index(b"\xff\xee")
    assert plain[at + 2 : at + 4] == b"\x00\x0e"
    longer = (
        plain[:at] + corpus.jpeg_segment(0xEE, plain[at + 4 : at + 16] + corpus.SECRET) + plain[at + 16 :]
    )
    assert table.clean(longer)[1] == plain
    assert table.clean(plain[:at] + b"\xff" * 1000 + plain[at:])[1] == plain


@pytest.mark.parametrize(
    "chunk",
    [
        corpus.png_chunk(b"tEXt", b"Author\x00" + corpus.SECRET),
        corpus.png_chunk(b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + corpus.SECRET),
        corpus.png_chunk(b"tIME", corpus.SECRET[:7]),
        corpus.png_chunk(b"prVt", corpus.SECRET),
        corpus.png_chunk(b"sPLT", corpus.SECRET),
        corpus.png_chunk(b"gAMA", (45455).to_bytes(4, "big") + corpus.SECRET),
        corpus.png_chunk(b"bKGD", corpus.SECRET),
    ],
)
def test_chunks_of_a_png_that_tell_something_are_dropped(table: Table, chunk: bytes) -> None:
    _, clean = table.clean(corpus.png_with(chunk))
    assert clean == corpus.encode(corpus.scene(), "PNG")


def test_what_the_pixels_of_a_png_depend_on_stays(table: Table) -> None:
    data = corpus.png_with(
        corpus.png_chunk(b"gAMA", (45455).to_bytes(4, "big")),
        corpus.png_chunk(b"sRGB", b"\x00"),
        corpus.png_chunk(b"cICP", b"\x01\x0d\x00\x01"),
        corpus.png_chunk(b"pHYs", bytes(9)),
    )
    assert table.examine(data)[1] == data


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "WEBP lossless"])
def test_what_has_to_be_turned_is_turned(table: Table, kind: str, orientation: int) -> None:
    """The pixels lie as a viewer that heeds Exif would show them."""
    name, _, lossless = kind.partition(" ")
    options = {"lossless": True} if lossless else {}
    data = corpus.encode(corpus.scene(), name, exif=corpus.exif(orientation), **options)
    verdict, clean = table.clean(data)
    stored = corpus.decode(data).convert("RGB")
    expected = stored.transpose(TURNS[orientation]) if orientation > 1 else stored
    shown = corpus.decode(clean)
    assert (verdict.width, verdict.height) == shown.size == expected.size
    difference = ImageChops.difference(shown.convert("RGB"), expected)
    worst = max(high for _, high in difference.getextrema())
    assert worst <= (0 if kind in ("PNG", "WEBP lossless") or orientation == 1 else 40)
    mean = sum(difference.convert("L").tobytes()) / (96 * 64)
    assert mean < 2
    assert not dict(shown.getexif())
    assert corpus.SECRET not in clean


def test_a_noisy_photo_is_turned_although_it_hardly_compresses(table: Table) -> None:
    """Encoded again it has more bytes than pixels."""
    noise = Image.frombytes("RGB", (1600, 1200), random.Random(1).randbytes(1600 * 1200 * 3))
    data = corpus.encode(noise, "JPEG", quality=97, subsampling=0, exif=corpus.exif(6))
    verdict, clean = table.clean(data)
    assert (verdict.width, verdict.height) == (1200, 1600)
    assert len(clean) > 1600 * 1200
    assert corpus.decode(clean).size == (1200, 1600)


def test_a_turned_image_keeps_its_profile_and_transparency(table: Table) -> None:
    data = corpus.encode(
        corpus.scene("P"), "PNG", transparency=3, exif=corpus.exif(6), icc_profile=corpus.profile()
    )
    shown = corpus.decode(table.clean(data)[1])
    expected = corpus.decode(data).convert("RGBA").transpose(Image.Transpose.ROTATE_270)
    assert shown.convert("RGBA").tobytes() == expected.tobytes()
    assert shown.info["icc_profile"] == corpus.profile()


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_avif_is_turned_by_its_own_property(table: Table, orientation: int) -> None:
    """Pillow writes `irot` and `imir`, which stay; the size is the one that is shown."""
    data = corpus.encode(corpus.scene(), "AVIF", speed=9, exif=corpus.exif(orientation))
    verdict, clean = table.clean(data)
    assert (verdict.width, verdict.height) == ((96, 64) if orientation == 3 else (64, 96))
    assert corpus.decode(clean).getexif()[0x0112] == orientation
    assert corpus.SECRET not in clean


def test_heic_becomes_what_browsers_show(table: Table) -> None:
    verdict, clean = table.clean(corpus.HEIC_WITH_EXIF)
    assert (verdict.content_type, verdict.width, verdict.height) == ("image/jpeg", 64, 64)
    assert verdict.is_rewritten
    assert b"secret" not in clean
    assert b"Exif" not in clean
    red, _, blue = corpus.decode(clean).getpixel((8, 8))
    assert red > 180 > 60 > blue
    verdict, clean = table.clean(corpus.HEIC_WITH_ALPHA)
    assert verdict.content_type == "image/webp"
    assert corpus.decode(clean).getpixel((8, 60))[3] == 0


@pytest.mark.parametrize(
    ("image", "color"),
    [
        (Image.new("RGB", (50, 40), (10, 200, 30)), "#0ac81e"),
        (Image.new("RGBA", (50, 40), (10, 200, 30, 0)), None),
        (Image.new("L", (50, 40), 100), "#646464"),
        (Image.new("I;16", (50, 40), 100 << 8), "#646464"),
        (Image.new("RGBA", (400, 300), (200, 100, 0, 51)), "#c86400"),
    ],
)
def test_the_mean_colour(table: Table, image: Image.Image, color: str | None) -> None:
    assert table.examine(corpus.encode(image, "PNG"))[0].color == color


def test_what_is_clear_does_not_count_in_the_mean_colour(table: Table) -> None:
    image = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 50, 100))
    assert table.examine(corpus.encode(image, "WEBP", lossless=True, exact=True))[0].color == "#0000ff"
