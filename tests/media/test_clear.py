"""server.media.pictures: what is transparent in a file is so in its smaller forms."""

import zlib

import pytest

from tests.media import corpus
from tests.media.table import Table


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_grey_that_stands_for_nothing(table: Table, depth: int) -> None:
    """As optimisers of PNG write line art: the upper half is the lightest grey, which is transparent."""
    light, dark = b"\x00" + b"\xff" * (8 * depth), b"\x00" * (8 * depth + 1)
    data = corpus.png(
        corpus.png_header(64, 64, depth, 0),
        corpus.png_chunk(b"tRNS", ((1 << depth) - 1).to_bytes(2, "big")),
        corpus.png_chunk(b"IDAT", zlib.compress(light * 32 + dark * 32)),
    )
    verdict, clean = table.clean(data)
    assert verdict.color == "#000000"
    (thumb,) = table.render(clean)
    alpha = corpus.decode(thumb.path.read_bytes()).getchannel("A")
    assert (alpha.getpixel((32, 8)), alpha.getpixel((32, 56))) == (0, 255)
    turned = clean[:33] + corpus.png_chunk(b"eXIf", corpus.exif(6).tobytes()[6:]) + clean[33:]
    alpha = corpus.decode(table.clean(turned)[1]).convert("RGBA").getchannel("A")
    assert (alpha.getpixel((56, 32)), alpha.getpixel((8, 32))) == (0, 255)
