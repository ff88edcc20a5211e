"""server.media.embedded: pictures inside an SVG tell no more than pictures beside one."""

import base64
import re
import zlib

import pytest

from tests.media import corpus
from tests.media.corpus import svg
from tests.media.table import Table

INSIDE = re.compile(rb'href="data:(image/[a-z]+);base64,([^"]*)"')


def drawing(data: bytes, kind: str = "image/png") -> bytes:
    return svg(f'<image width="9" height="9" href="data:{kind};base64,{base64.b64encode(data).decode()}"/>')


def inside(table: Table, data: bytes, kind: str = "image/png") -> tuple[str, bytes] | None:
    """The picture that is left in a drawing of one."""
    found = INSIDE.search(table.clean(drawing(data, kind))[1])
    return (found[1].decode(), base64.b64decode(found[2])) if found else None


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_who_and_where_is_dropped_and_it_is_shown_as_before(
    table: Table, name: str, orientation: int
) -> None:
    data = corpus.encode(corpus.scene(), name, exif=corpus.exif(orientation))
    assert corpus.SECRET in data
    found = inside(table, data, f"image/{name.lower()}")
    assert found is not None
    assert corpus.SECRET not in found[1]
    shown = corpus.decode(found[1])
    assert shown.tobytes() == corpus.decode(data).tobytes()
    assert shown.getexif().get(0x0112, 1) == (1 if name == "WEBP" else orientation)


def test_a_clean_one_stays_as_it_is(table: Table) -> None:
    data = drawing(corpus.encode(corpus.scene("P"), "GIF"), "image/gif")
    verdict, clean = table.clean(data)
    assert INSIDE.search(clean) is not None
    assert not table.examine(clean)[0].is_rewritten
    assert verdict.content_type == "image/svg+xml"


def test_it_is_called_what_it_is(table: Table) -> None:
    data = corpus.encode(corpus.scene(), "JPEG")
    assert inside(table, data, "image/png") == ("image/jpeg", data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html><script>alert(1)</script>",
        b"\x89PNG\r\n\x1a\n",
        corpus.encode(corpus.scene(), "PNG")[:-20],
        svg("<rect/>"),
        corpus.encode(corpus.scene(), "BMP"),
    ],
    ids=["nothing", "a page", "a beginning", "cut off", "an SVG", "a BMP"],
)
def test_what_is_no_picture_is_left_out(table: Table, data: bytes) -> None:
    assert inside(table, data) is None


def test_what_is_not_base64_is_left_out(table: Table) -> None:
    assert b"base64" not in table.clean(svg('<image href="data:image/png;base64,=A=A=A"/>'))[1]


def test_a_bomb_is_refused(table: Table) -> None:
    bomb = corpus.png(corpus.png_header(50_000, 50_000), corpus.png_chunk(b"IDAT", b"x"))
    assert table.refuse(drawing(bomb)).code == "asset_too_many_pixels"


def test_many_that_are_a_bomb_together_are_refused(table: Table) -> None:
    """Whoever opens the drawing decodes them all."""
    rows = zlib.compress(bytes(8192 * (1 + 1024)), 9)
    large = corpus.png(corpus.png_header(8192, 8192, 1, 0), corpus.png_chunk(b"IDAT", rows))
    image = f'<image href="data:image/png;base64,{base64.b64encode(large).decode()}"/>'
    table.clean(svg(image * 4))
    assert table.refuse(svg(image * 5)).code == "asset_too_many_pixels"
