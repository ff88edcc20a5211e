"""server.media.avif: what says something about a picture, wherever in its structure, goes."""

from time import process_time

import pytest

from server.media.boxes import Box, list_boxes
from tests.media import corpus
from tests.media.table import Table


def find(data: bytes, *path: bytes) -> Box:
    """The box of these names, each inside the one before."""
    start, end = 0, len(data)
    for name in path:
        found = next(one for one in list_boxes(data, start, end) if one.name == name)
        start, end = found.body + (4 if name == b"meta" else 0), found.end
    return found


def insert(data: bytes, path: tuple[bytes, ...], extra: bytes) -> bytes:
    """With `extra` at the end of the box, all sizes and places right: one item, version 0, offsets of 4."""
    changed = bytearray(data)
    for depth in range(1, len(path) + 1):
        box = find(data, *path[:depth])
        changed[box.at : box.at + 4] = (box.end - box.at + len(extra)).to_bytes(4, "big")
    places = find(data, b"meta", b"iloc")
    at = places.end - 8
    changed[at : at + 4] = (int.from_bytes(data[at : at + 4], "big") + len(extra)).to_bytes(4, "big")
    end = find(data, *path).end
    assert places.end <= end
    changed[end:end] = extra
    return bytes(changed)


@pytest.mark.parametrize("name", [b"uuid", b"xml ", b"bxml", b"udta", b"free", b"abcd"])
def test_metadata_beside_the_items_of_an_avif_goes(table: Table, name: bytes) -> None:
    plain = corpus.encode(corpus.scene(), "AVIF", speed=9)
    data = insert(plain, (b"meta",), corpus.box(name, bytes(16), corpus.SECRET))
    _, clean = table.clean(data)
    assert corpus.SECRET not in clean
    assert corpus.decode(clean).tobytes() == corpus.decode(plain).tobytes()


@pytest.mark.parametrize("name", [b"udes", b"uuid", b"crtt", b"altt", b"free"])
def test_metadata_among_the_properties_of_an_avif_goes(table: Table, name: bytes) -> None:
    """`udes` is a description by the user: a name, words, tags."""
    plain = corpus.encode(corpus.scene(), "AVIF", speed=9)
    data = insert(plain, (b"meta", b"iprp", b"ipco"), corpus.box(name, bytes(4), corpus.SECRET))
    _, clean = table.clean(data)
    assert corpus.SECRET not in clean
    assert corpus.decode(clean).tobytes() == corpus.decode(plain).tobytes()


def test_the_path_of_a_profile_that_a_bmp_refers_to_goes(table: Table) -> None:
    """BITMAPV5HEADER may name a file of whoever made the picture; a profile inside stays."""
    plain = corpus.encode(corpus.scene(), "BMP")
    pixels, header = plain[54:], bytearray(plain[14:54] + bytes(84))
    header[0] = 124
    header[112:120] = (124 + len(pixels)).to_bytes(4, "little") + len(corpus.SECRET).to_bytes(4, "little")
    for space, is_kept in ((b"KNIL", False), (b"DEBM", True)):
        header[56:60] = space
        data = plain[:10] + (138).to_bytes(4, "little") + bytes(header) + pixels + corpus.SECRET
        _, clean = table.clean(data)
        assert (corpus.SECRET in clean) == is_kept
        assert corpus.decode(clean).tobytes() == corpus.scene().tobytes()


def test_items_in_very_many_parts_do_not_take_for_ever(table: Table) -> None:
    """Whether one lies in another is asked of 50,000 of either."""
    items, parts = 9_990, 10
    kinds = b"".join(
        corpus.box(
            b"infe",
            b"\x02\x00\x00\x00" + (number + 1).to_bytes(2, "big") + bytes(2),
            b"av01\x00" if number < items // 2 else b"none\x00",
        )
        for number in range(items)
    )

    def build(first: int) -> bytes:
        places = bytes(4) + b"\x44\x00" + items.to_bytes(2, "big")
        for number in range(items):
            starts = range(first + number * 2 * parts, first + (number + 1) * 2 * parts, 2)
            places += (number + 1).to_bytes(2, "big") + bytes(2) + parts.to_bytes(2, "big")
            places += b"".join(start.to_bytes(4, "big") + (1).to_bytes(4, "big") for start in starts)
        names = corpus.box(b"iinf", bytes(4), items.to_bytes(2, "big"), kinds)
        return (
            corpus.box(b"ftyp", b"avif", bytes(4), b"avifmif1")
            + corpus.box(b"meta", bytes(4), names, corpus.box(b"iloc", places))
            + corpus.box(b"mdat", bytes(items * 2 * parts))
        )

    data = build(len(build(0)) - items * 2 * parts)
    began = process_time()
    assert table.refuse(data).code == "asset_broken"
    assert process_time() - began < 5
