"""Videos: whether the file holds together as an MP4 or a WebM.

Owns: their outermost structure and the size of the picture. Does not own: the coded video, which nobody here
decodes: videos are attachments, and browsers play them in a sandbox of their own.
Rules: the structure fills the file exactly, so nothing follows it; files are kept as they are.
Source: ISO/IEC 14496-12 sections 8.1 to 8.3; RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from collections.abc import Iterator
from typing import Final

from server.media.boxes import Box, list_boxes
from server.media.forms import Data, big
from server.problems import AssetBroken

MOST_TRACKS: Final = 64
MOST_ELEMENTS: Final = 1_000_000
"""Blocks of a recording without lengths: 5 hours at 50 a second."""

EBML: Final = 0x1A45DFA3
DOC_TYPE: Final = 0x4282
SEGMENT: Final = 0x18538067
CLUSTER: Final = 0x1F43B675
TRACKS: Final = 0x1654AE6B
TRACK: Final = 0xAE
VIDEO: Final = 0xE0
WIDTH: Final = 0xB0
HEIGHT: Final = 0xBA
LEVEL_ONE: Final = frozenset(
    {0x114D9B74, 0x1549A966, TRACKS, CLUSTER, 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367, 0xEC, 0xBF}
)
"""SeekHead, Info, Tracks, Cluster, Cues, Attachments, Chapters, Tags, Void, CRC-32."""

Size = tuple[int | None, int | None]
"""Width and height in pixels, where a file says."""


def read_mp4(data: Data) -> Size:
    """The size of the picture of an MP4. Raises AssetBroken."""
    boxes = list(list_boxes(data, 0, len(data)))
    names = {box.name for box in boxes}
    if boxes[0].name != b"ftyp" or b"moov" not in names or not names & {b"mdat", b"moof"}:
        raise AssetBroken
    if any(not (32 <= letter < 127 or letter == 0xA9) for name in names for letter in name):
        raise AssetBroken
    movie = next(box for box in boxes if box.name == b"moov")
    tracks = [box for box in list_boxes(data, movie.body, movie.end) if box.name == b"trak"]
    if not tracks or len(tracks) > MOST_TRACKS:
        raise AssetBroken
    for track in tracks:
        for box in list_boxes(data, track.body, track.end):
            if box.name == b"tkhd" and (size := _read_track(data, box)) != (None, None):
                return size
    return None, None


def _read_track(data: Data, header: Box) -> Size:
    """Of a track header; sound has a size of zero."""
    if header.end - header.body < 84:
        raise AssetBroken
    width, height = (big(data, header.end - n, 4) >> 16 for n in (8, 4))
    return (width, height) if width and height else (None, None)


def read_webm(data: Data) -> Size:
    """The size of the picture of a WebM. Raises AssetBroken."""
    number, body, end = _element(data, 0, len(data))
    if number != EBML or end is None:
        raise AssetBroken
    said = [data[at:to] for one, at, to in _children(data, body, end) if one == DOC_TYPE]
    if [one.rstrip(b"\x00") for one in said] != [b"webm"]:
        raise AssetBroken
    number, body, end = _element(data, end, len(data))
    if number != SEGMENT or end not in (None, len(data)):
        raise AssetBroken
    size: Size = (None, None)
    seen = set()
    for one, at, to in _segment(data, body):
        seen.add(one)
        if one == TRACKS:
            size = _read_tracks(data, at, to)
    if not {TRACKS, CLUSTER} <= seen:
        raise AssetBroken
    return size


def _segment(data: Data, at: int) -> Iterator[tuple[int, int, int]]:
    """The elements of a segment that goes on to the end of the file.

    A cluster may be of unknown length, as in a recording that was still going on when it was sent; then its
    parts come here too, and it ends where an element begins that belongs to no cluster.
    """
    is_open = False
    for _ in range(MOST_ELEMENTS):
        if at == len(data):
            return
        number, body, end = _element(data, at, len(data))
        if number not in LEVEL_ONE and not is_open:
            raise AssetBroken
        if end is None:
            if number != CLUSTER:
                raise AssetBroken
            is_open, end = True, body
        elif number in LEVEL_ONE - {0xEC, 0xBF}:
            is_open = False
        yield number, body, end
        at = end
    raise AssetBroken


def _read_tracks(data: Data, at: int, end: int) -> Size:
    for track, start, stop in _children(data, at, end):
        if track != TRACK:
            continue
        for part, first, last in _children(data, start, stop):
            if part == VIDEO:
                told = {
                    name: big(data, a, b - a) for name, a, b in _children(data, first, last) if b - a <= 8
                }
                return told.get(WIDTH) or None, told.get(HEIGHT) or None
    return None, None


def _children(data: Data, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Elements of known length that fill `at` to `end`."""
    for _ in range(MOST_ELEMENTS):
        if at == end:
            return
        number, body, after = _element(data, at, end)
        if after is None:
            raise AssetBroken
        yield number, body, after
        at = after
    raise AssetBroken


def _element(data: Data, at: int, limit: int) -> tuple[int, int, int | None]:
    """An element's id, where its body begins and ends (None: unknown). Raises AssetBroken past `limit`."""
    head = data[at : min(at + 12, limit)]
    id_n = _width(head, 4)
    rest = head[id_n:]
    size_n = _width(rest, 8)
    size = int.from_bytes(rest[:size_n], "big") & (1 << 7 * size_n) - 1
    body = at + id_n + size_n
    if size == (1 << 7 * size_n) - 1:
        return int.from_bytes(head[:id_n], "big"), body, None
    if body + size > limit:
        raise AssetBroken
    return int.from_bytes(head[:id_n], "big"), body, body + size


def _width(head: bytes, most: int) -> int:
    """Bytes of the number that `head` begins with, by its leading zero bits."""
    width = 9 - head[0].bit_length() if head else 9
    if width > most or width > len(head):
        raise AssetBroken
    return width
