"""The structure of an AVIF, and which of its bytes are kept.

Owns: its boxes and items. Does not own: the coded pictures, and turning (`irot` and `imir` are properties of
the picture that every reader applies; an orientation in Exif is by the standard ignored).
Rules: nothing is moved, because items are found by their offsets. Exif, XMP and every other item that is no
picture is overwritten, unknown boxes and properties that do not say how a picture is shown become empty ones,
bytes of `mdat` that belong to no item become zeros, what follows the last box is cut off.
Source: ISO/IEC 14496-12 sections 8.11 (meta) and 8.1.2 (free); ISO/IEC 23008-12 section 6.5 (properties,
among them `udes`) and annex A (Exif); AVIF 1.1.
"""

from bisect import bisect_left
from typing import Final

from server.media.boxes import Box, list_boxes, read_box
from server.media.forms import Data, Form, Pieces, big, need
from server.problems import AssetBroken

KNOWN: Final = frozenset({b"ftyp", b"meta", b"mdat", b"moov"})
EMPTY: Final = frozenset({b"free", b"skip", b"wide"})
PICTURES: Final = frozenset({b"av01", b"grid", b"iovl", b"iden", b"tmap", b"sato"})
IN_META: Final = frozenset(
    {b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"idat", b"grpl", b"dinf", b"ipro"}
)
PROPERTIES: Final = frozenset(
    {
        b"av1C",
        b"ispe",
        b"pixi",
        b"colr",
        b"auxC",
        b"pasp",
        b"clap",
        b"irot",
        b"imir",
        b"iscl",
        b"rloc",
        b"rref",
    }
    | {b"lsel", b"a1op", b"a1lx", b"clli", b"mdcv", b"cclv", b"amve", b"ndwt"}
)
"""On which it depends how a picture is shown. The others keep their places: they are known by number."""

IN_MOVIE: Final = frozenset({b"trak"})
ABOUT_MOVIE: Final = frozenset({b"udta", b"meta", b"uuid"})
MOST_ITEMS: Final = 10_000
MOST_EXTENTS: Final = 100_000

NO_EXIF: Final = bytes.fromhex("00000000 4d4d002a 00000008 0000 00000000")
"""An Exif item without one entry."""

Span = tuple[int, int]


def read_avif(data: Data) -> Form:
    """The form of an AVIF without its size, which its decoder tells. Raises AssetBroken."""
    boxes, end = _top(data)
    names = [box.name for box in boxes]
    if names[:1] != [b"ftyp"] or names.count(b"meta") > 1 or names.count(b"moov") > 1:
        raise AssetBroken
    changes: dict[Span, bytes] = {}
    used: list[Span] = []
    for box in boxes:
        if box.name == b"meta":
            used += _read_meta(data, box, changes)
        elif box.name == b"moov":
            _read_movie(data, box, changes)
        elif box.name not in KNOWN:
            _empty(box, changes)
    if b"moov" not in names:
        if not used:
            raise AssetBroken
        for box in boxes:
            if box.name == b"mdat":
                changes |= {(a, b): bytes(b - a) for a, b in _gaps((box.body, box.end), used)}
    return Form(_change(data, end, changes))


def _top(data: Data) -> tuple[list[Box], int]:
    """The boxes of the file and where the last one ends."""
    boxes: list[Box] = []
    at = 0
    while (box := read_box(data, at, len(data))) is not None:
        boxes.append(box)
        at = box.end
        if len(boxes) > MOST_ITEMS:
            raise AssetBroken
    if data[at + 4 : at + 8] in KNOWN:
        # cut off, and not something else behind the picture
        raise AssetBroken
    return boxes, at


def _read_meta(data: Data, meta: Box, changes: dict[Span, bytes]) -> list[Span]:
    """Where the items are; those that are no pictures are overwritten by `changes`."""
    inside = {box.name: box for box in _keep_only(data, meta.body + 4, meta.end, IN_META, changes)}
    if not {b"iinf", b"iloc"} <= inside.keys():
        raise AssetBroken
    if b"iprp" in inside:
        for box in list_boxes(data, inside[b"iprp"].body, inside[b"iprp"].end):
            if box.name == b"ipco":
                _keep_only(data, box.body, box.end, PROPERTIES, changes)
    kinds = _kinds(data, inside[b"iinf"])
    pictures: list[Span] = []
    others: dict[Span, bytes] = {}
    for item, spans in _places(data, inside[b"iloc"], inside.get(b"idat")).items():
        kind = kinds.get(item, b"")
        if kind in PICTURES:
            pictures += spans
            continue
        for number, (start, end) in enumerate(spans):
            is_whole = kind == b"Exif" and number == 0 and end - start >= len(NO_EXIF)
            others[start, end] = NO_EXIF if is_whole else b" " if kind == b"mime" else b""
    union = _unite(pictures)
    for start, end in others:
        before = bisect_left(union, (end, 0)) - 1
        # else the picture, or the structure, would be damaged
        inside_idat = b"idat" in inside and inside[b"idat"].body <= start <= end <= inside[b"idat"].end
        is_in_structure = start < meta.end and meta.at < end and not inside_idat
        if is_in_structure or (before >= 0 and union[before][1] > start):
            raise AssetBroken
    changes.update(_merge(others))
    return [*pictures, *others]


def _unite(spans: list[Span]) -> list[Span]:
    """What they cover together, in order and without overlaps."""
    united: list[Span] = []
    for start, end in sorted(spans):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], end))
        else:
            united.append((start, end))
    return united


def _merge(others: dict[Span, bytes]) -> dict[Span, bytes]:
    """What goes in place of each range; writers store the same bytes once, so ranges may overlap."""
    merged: list[tuple[int, int, bytes]] = []
    for (start, end), instead in sorted(others.items()):
        if merged and start < merged[-1][1]:
            first, last, before = merged[-1]
            merged[-1] = (first, max(last, end), before if before == NO_EXIF else b"")
        else:
            merged.append((start, end, instead))
    return {
        (start, end): b" " * (end - start) if instead == b" " else instead.ljust(end - start, b"\x00")
        for start, end, instead in merged
    }


def _kinds(data: Data, iinf: Box) -> dict[int, bytes]:
    """Item to its four-letter kind."""
    is_short = need(data, iinf.body, 1) == b"\x00"
    found: dict[int, bytes] = {}
    for box in list_boxes(data, iinf.body + (6 if is_short else 8), iinf.end):
        version = need(data, box.body, 1)[0]
        if box.name != b"infe" or version not in (2, 3) or len(found) > MOST_ITEMS:
            raise AssetBroken
        width = 2 if version == 2 else 4
        found[big(data, box.body + 4, width)] = need(data, box.body + 6 + width, 4)
    return found


def _places(data: Data, iloc: Box, idat: Box | None) -> dict[int, list[Span]]:
    """Item to the ranges of the file it is made of, in order."""
    version = need(data, iloc.body, 1)[0]
    sizes = big(data, iloc.body + 4, 2)
    offset_n, length_n, base_n = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_n = sizes & 15 if version else 0
    id_n = 4 if version == 2 else 2
    at = iloc.body + 6

    def number(count: int) -> int:
        nonlocal at
        at += count
        if at > iloc.end:
            raise AssetBroken
        return big(data, at - count, count)

    found: dict[int, list[Span]] = {}
    extents = 0
    for _ in range(number(id_n)):
        item = number(id_n)
        method = number(2) & 15 if version else 0
        number(2)
        base = number(base_n)
        if method > 1 or (method == 1 and idat is None) or len(found) > MOST_ITEMS:
            raise AssetBroken
        first, last = (idat.body, idat.end) if method == 1 and idat is not None else (0, len(data))
        spans = found.setdefault(item, [])
        for _ in range(number(2)):
            number(index_n)
            start = first + base + number(offset_n)
            end = start + number(length_n)
            extents += 1
            if not start < end <= last or extents > MOST_EXTENTS:
                raise AssetBroken
            spans.append((start, end))
    return found


def _read_movie(data: Data, movie: Box, changes: dict[Span, bytes]) -> None:
    """What is said about a sequence, and not part of it, is emptied."""
    for box in list_boxes(data, movie.body, movie.end):
        if box.name in ABOUT_MOVIE:
            _empty(box, changes)
        elif box.name in IN_MOVIE:
            for part in list_boxes(data, box.body, box.end):
                if part.name in ABOUT_MOVIE:
                    _empty(part, changes)


def _keep_only(
    data: Data, start: int, end: int, known: frozenset[bytes], changes: dict[Span, bytes]
) -> list[Box]:
    """The boxes from `start` to `end` that are known; the others are emptied."""
    boxes = list(list_boxes(data, start, end))
    for box in boxes:
        if box.name not in known:
            _empty(box, changes)
    return [box for box in boxes if box.name in known]


def _empty(box: Box, changes: dict[Span, bytes]) -> None:
    """An empty box of the same length."""
    if box.name not in EMPTY:
        changes[box.at + 4, box.at + 8] = b"free"
    if box.body < box.end:
        changes[box.body, box.end] = bytes(box.end - box.body)


def _gaps(whole: Span, used: list[Span]) -> list[Span]:
    """The parts of `whole` that no used range touches."""
    found: list[Span] = []
    at, end = whole
    for start, stop in sorted(used):
        if stop <= at:
            continue
        if start >= end:
            break
        if start > at:
            found.append((at, start))
        at = max(at, stop)
    if at < end:
        found.append((at, end))
    return found


def _change(data: Data, end: int, changes: dict[Span, bytes]) -> Pieces:
    pieces = Pieces(data)
    at = 0
    for (start, stop), instead in sorted(changes.items()):
        if start < at:
            raise AssetBroken
        pieces.keep(at, start)
        pieces.put(start, stop, instead)
        at = stop
    pieces.keep(at, end)
    return pieces
