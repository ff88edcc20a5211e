"""The structure of a GIF, and which of its blocks are kept.

Owns: blocks from the header to the trailer. Does not own: the coded pictures.
Rules: kept are pictures, how each is shown, and how often the animation repeats; comments, plain text, XMP
and other applications' blocks go, and so does what follows the trailer.
Source: GIF89a sections 17 to 27; Netscape's looping extension.
"""

from typing import Final

from server.media.forms import Data, Form, Pieces, need
from server.problems import AssetBroken

LOOPS: Final = (b"\x0bNETSCAPE2.0\x03\x01", b"\x0bANIMEXTS1.0\x03\x01")
"""How the blocks begin that say how often an animation repeats."""

MOST_BLOCKS: Final = 2_000_000
"""Of up to 255 bytes each, in all: twice as many as the largest file needs."""


def read_gif(data: Data) -> Form:
    """The form of a GIF. Raises AssetBroken and the caps' errors."""
    pieces = Pieces(data)
    screen = need(data, 0, 13)
    form = Form(
        pieces, int.from_bytes(screen[6:8], "little"), int.from_bytes(screen[8:10], "little"), frames=0
    )
    at = 13 + _table_bytes(screen[10])
    pieces.keep(0, at)
    control: tuple[int, int] | None = None
    blocks = _Blocks(data)
    for _ in range(MOST_BLOCKS):
        start, kind = at, need(data, at, 1)
        if kind == b";":
            if not form.frames:
                raise AssetBroken
            pieces.keep(at, at + 1)
            return form
        if kind == b",":
            form.frames += 1
            at += 10 + _table_bytes(need(data, at + 9, 1)[0])
            at = blocks.end(at + 1)
            if control is not None:
                pieces.keep(*control)
                control = None
            pieces.keep(start, at)
            # a frame may stand out of the screen, and is decoded all the same
            box = need(data, start + 1, 8)
            left, top, width, height = (int.from_bytes(box[n : n + 2], "little") for n in (0, 2, 4, 6))
            form.width, form.height = max(form.width, left + width), max(form.height, top + height)
            form.check_caps()
            continue
        if kind != b"!":
            raise AssetBroken
        label = need(data, at + 1, 1)[0]
        at = blocks.end(at + 2)
        if label == 0xF9:
            if at - start != 8:
                raise AssetBroken
            control = (start, at)
        elif label == 0x01:
            # plain text: what was said before it is about it
            control = None
        elif label == 0xFF and at - start >= 19 and need(data, start + 2, 14) in LOOPS:
            pieces.put(start, at, data[start : start + 18] + b"\x00")
    raise AssetBroken


def _table_bytes(packed: int) -> int:
    return 3 << ((packed & 7) + 1) if packed & 0x80 else 0


class _Blocks:
    """Sub-blocks, which are counted: they may be of one byte each."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._left = MOST_BLOCKS

    def end(self, at: int) -> int:
        """Where a row of them ends that begins at `at`."""
        while size := need(self._data, at, 1)[0]:
            at += 1 + size
            self._left -= 1
            if not self._left:
                raise AssetBroken
        return at + 1
