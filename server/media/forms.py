"""The form of a file: what its own structure says, and which of its bytes are kept.

Owns: reading numbers within bounds, lists of pieces, caps on sizes. Does not own: any format (`png.py`, ...).
Rule: a clean form is made of the source's own bytes wherever it can be, so that no pixel changes.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from os import SEEK_END
from typing import BinaryIO, Final, TypeAlias

from server.media.base import MOST_FRAME_PIXELS, MOST_FRAMES, MOST_PIXELS, MOST_SIDE_PX
from server.problems import AssetBroken, AssetTooManyFrames, AssetTooManyPixels

COPY_BYTES: Final = 1024 * 1024


class FileView:
    """A file as if it were bytes: for those too large to be mapped into limited memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, SEEK_END)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, wanted: slice) -> bytes:
        start, stop, _ = wanted.indices(self._size)
        self._file.seek(start)
        return self._file.read(max(0, stop - start))


Mapped: TypeAlias = bytes | mmap.mmap
Data: TypeAlias = Mapped | FileView


def need(data: Data, start: int, count: int) -> bytes:
    """`count` bytes from `start`. Raises AssetBroken when they are not all there."""
    if start < 0 or count < 0 or start + count > len(data):
        raise AssetBroken
    return data[start : start + count]


def big(data: Data, start: int, count: int) -> int:
    """A number of `count` bytes, the highest first."""
    return int.from_bytes(need(data, start, count), "big")


def little(data: Data, start: int, count: int) -> int:
    """A number of `count` bytes, the lowest first."""
    return int.from_bytes(need(data, start, count), "little")


class Pieces:
    """The clean form of some data: ranges of it, and bytes put between them."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._pieces: list[tuple[int, int] | bytes] = []

    def keep(self, start: int, end: int) -> None:
        """What lies from `start` to `end`, which must be there."""
        if not 0 <= start <= end <= len(self._data):
            raise AssetBroken
        if start == end:
            return
        last = self._pieces[-1] if self._pieces else None
        if isinstance(last, tuple) and last[1] == start:
            self._pieces[-1] = (last[0], end)
        else:
            self._pieces.append((start, end))

    def put(self, start: int, end: int, instead: bytes) -> None:
        """`instead` in place of what lies from `start` to `end`."""
        if end - start == len(instead) and need(self._data, start, end - start) == instead:
            self.keep(start, end)
        elif instead:
            self._pieces.append(instead)

    def append(self, other: "Pieces") -> None:
        """Another list over the same data."""
        for piece in other._pieces:
            if isinstance(piece, tuple):
                self.keep(*piece)
            else:
                self._pieces.append(piece)

    @property
    def size_bytes(self) -> int:
        return sum(len(one) if isinstance(one, bytes) else one[1] - one[0] for one in self._pieces)

    @property
    def is_all(self) -> bool:
        """Nothing was left out, changed or moved."""
        return self._pieces == [(0, len(self._data))]

    def chunks(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            for start in range(piece[0], piece[1], COPY_BYTES):
                yield self._data[start : min(start + COPY_BYTES, piece[1])]

    def write(self, target: BinaryIO) -> None:
        for chunk in self.chunks():
            target.write(chunk)


@dataclass(slots=True)
class Form:
    """What the structure of an image says."""

    pieces: Pieces
    width: int = 0
    height: int = 0
    frames: int = 1
    orientation: int = 1
    """1 to 8 as in Exif: how it must be turned before it is shown."""

    is_lossless: bool = False
    """For formats that are either."""

    def check_caps(self) -> None:
        check_caps(self.width, self.height, self.frames)


def check_caps(width: int, height: int, frames: int = 1) -> None:
    """Raises AssetBroken, AssetTooManyPixels or AssetTooManyFrames."""
    if width < 1 or height < 1 or frames < 1:
        raise AssetBroken
    if max(width, height) > MOST_SIDE_PX or width * height > MOST_PIXELS:
        raise AssetTooManyPixels
    if frames > MOST_FRAMES or (frames > 1 and frames * width * height > MOST_FRAME_PIXELS):
        raise AssetTooManyFrames
