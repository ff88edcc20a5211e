"""The boxes of ISO base media files: what AVIF, HEIC and MP4 are made of.

Owns: box headers and their nesting. Does not own: what the boxes mean (`avif.py`, `video.py`).
Source: ISO/IEC 14496-12 section 4.2.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from server.media.forms import Data, big, need
from server.problems import AssetBroken

MOST_BOXES: Final = 200_000
"""In one box or at the top: a fragmented hour of video has some thousands."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its four-letter name, where its header, its body and the next box begin."""

    name: bytes
    at: int
    body: int
    end: int


def list_boxes(data: Data, start: int, end: int) -> Iterator[Box]:
    """The boxes that fill `start` to `end` exactly. Raises AssetBroken where they don't."""
    for _ in range(MOST_BOXES):
        if start == end:
            return
        box = read_box(data, start, end)
        if box is None:
            raise AssetBroken
        yield box
        start = box.end
    raise AssetBroken


def read_box(data: Data, start: int, end: int) -> Box | None:
    """The box at `start`; None when there is none, or not all of it before `end`."""
    if start + 8 > end:
        return None
    size, name, header = big(data, start, 4), need(data, start + 4, 4), 8
    if size == 1:
        if start + 16 > end:
            return None
        size, header = big(data, start + 8, 8), 16
    elif size == 0:
        size = end - start
    if size < header or start + size > end:
        return None
    return Box(name, start, start + header, start + size)
