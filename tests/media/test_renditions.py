"""server.media.renditions: which smaller forms there are, and that they look like the image."""

import pytest
from PIL import Image, ImageChops

from tests.media import corpus
from tests.media.table import Table


def looks_like(shown: Image.Image, expected: Image.Image) -> bool:
    """On white and from afar, at 16 x 16 points, the mean difference of a channel is below 8 of 255."""
    difference = ImageChops.difference(from_afar(shown), from_afar(expected)).tobytes()
    return sum(difference) / len(difference) < 8


def from_afar(image: Image.Image) -> Image.Image:
    seen = Image.new("RGBA", image.size, "white")
    seen.alpha_composite(image.convert("RGBA"))
    return seen.convert("RGB").resize((16, 16), Image.Resampling.BOX)


@pytest.mark.parametrize("name", corpus.IMAGES)
def test_every_kind_has_a_thumbnail_that_is_no_larger(table: Table, name: str) -> None:
    data = corpus.IMAGES[name]()
    (thumb,) = table.render(data)
    shown = Image.open(thumb.path)
    assert (thumb.name, thumb.content_type, shown.format) == ("thumb", "image/webp", "WEBP")
    assert (thumb.width, thumb.height) == shown.size == corpus.decode(data).size
    assert thumb.size_bytes == thumb.path.stat().st_size
    assert looks_like(shown, corpus.decode(data)) or name == "png of 16 bits"
    assert {path.name for path in table.folder.iterdir()} == {"source", "thumb.webp"}


@pytest.mark.parametrize(
    ("size", "thumb", "web"),
    [
        ((4000, 1000), (256, 64), (2048, 512)),
        ((1000, 3000), (85, 256), (683, 2048)),
        ((2049, 160), (256, 20), (2048, 160)),
        ((300, 200), (256, 171), None),
    ],
)
def test_sizes(
    table: Table, size: tuple[int, int], thumb: tuple[int, int], web: tuple[int, int] | None
) -> None:
    for name in ("JPEG", "PNG"):
        made = {one.name: one for one in table.render(corpus.encode(corpus.scene().resize(size), name))}
        assert (made["thumb"].width, made["thumb"].height) == thumb
        assert ("web" in made) == (web is not None)
        if web is not None:
            assert (made["web"].width, made["web"].height) == web
            assert looks_like(Image.open(made["web"].path), corpus.scene().resize(web))


def test_a_web_form_of_a_small_image_must_save_a_quarter(table: Table) -> None:
    photo = corpus.noise(600, 600).resize((1200, 1200), Image.Resampling.BICUBIC)
    large = corpus.encode(photo, "PNG")
    web = {one.name: one for one in table.render(large)}["web"]
    assert (web.width, web.height) == (1200, 1200)
    assert web.size_bytes < 0.75 * len(large)
    assert [one.name for one in table.render(corpus.encode(photo, "WEBP", quality=70))] == ["thumb"]
    assert {path.name for path in table.folder.iterdir()} == {"source", "thumb.webp"}


def test_an_animation_has_its_first_frame(table: Table) -> None:
    for name in ("GIF", "PNG", "WEBP"):
        data = corpus.animation(name, size=(1200, 600))
        (thumb,) = table.render(data)
        assert (thumb.width, thumb.height) == (256, 128)
        assert looks_like(Image.open(thumb.path), corpus.decode(data))


def test_transparency_is_kept(table: Table) -> None:
    image = Image.new("RGBA", (3000, 1000), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 1500, 1000))
    for made in table.render(corpus.encode(image, "PNG")):
        shown = Image.open(made.path).convert("RGBA")
        assert shown.getpixel((shown.width - 5, 5))[3] == 0
        assert shown.getpixel((5, 5))[3] == 255


def test_colours_are_those_of_the_profile(table: Table) -> None:
    """In a profile with red and blue in each other's place, red is blue."""
    swapped = bytearray(corpus.profile())
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    data = corpus.encode(Image.new("RGB", (50, 50), (255, 0, 0)), "PNG", icc_profile=bytes(swapped))
    verdict, _ = table.examine(data)
    assert verdict.color is not None
    assert int(verdict.color[5:], 16) > 200 > 40 > int(verdict.color[1:3], 16)
    (thumb,) = table.render(data)
    shown = Image.open(thumb.path)
    red_value, _, blue_value = shown.convert("RGB").getpixel((25, 25))
    assert blue_value > 200 > 40 > red_value
    assert "icc_profile" not in shown.info


def test_a_profile_nobody_can_read_changes_nothing(table: Table) -> None:
    for profile in (b"no profile", corpus.profile()[:100], bytes(3000)):
        data = corpus.encode(Image.new("RGB", (50, 50), (10, 200, 30)), "PNG", icc_profile=profile)
        assert table.examine(data)[0].color == "#0ac81e"
        assert len(table.render(data)) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_was_not_cleaned_is_turned_all_the_same(table: Table, orientation: int) -> None:
    """Files from before, and AVIF, which is turned by a property."""
    data = corpus.encode(corpus.scene(), "JPEG", exif=corpus.exif(orientation))
    expected = corpus.decode(table.examine(data)[1])
    table.target.unlink(missing_ok=True)
    (thumb,) = table.render(data)
    assert looks_like(Image.open(thumb.path), expected)
    avif = corpus.encode(corpus.scene(), "AVIF", speed=9, exif=corpus.exif(orientation))
    (thumb,) = table.render(avif)
    assert looks_like(Image.open(thumb.path), expected)
    assert {path.name for path in table.folder.iterdir()} == {"source", "thumb.webp"}


@pytest.mark.parametrize("data", [corpus.pdf(), corpus.mp4(), corpus.webm(), corpus.svg(""), b"nothing"])
def test_what_is_no_raster_image_has_none(table: Table, data: bytes) -> None:
    assert table.render(data) == []
