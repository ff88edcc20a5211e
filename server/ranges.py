"""Range and If-Range: which bytes of something a request asks for.

Owns: reading the headers. Does not own: sending the bytes (`blobs/delivery.py`).
Rules: one range is answered; several, or what can't be read, are answered with the whole, as if nothing was
asked; a range that begins behind the end is refused.
Source: RFC 9110 sections 13.1.5 and 14.
"""

import re
from dataclasses import dataclass
from typing import Final

_ONE: Final = re.compile(r"bytes=[ \t,]*(\d{0,19})-(\d{0,19})[ \t,]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to but without `end`, of `size_bytes` in all; never empty."""

    start: int
    end: int
    size_bytes: int

    @property
    def content_range(self) -> str:
        """The header of a 206."""
        return f"bytes {self.start}-{self.end - 1}/{self.size_bytes}"


class Unsatisfiable(Exception):
    """No byte of the range exists: 416. `content_range` is the header that goes with it."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"beyond {size_bytes} bytes")
        self.content_range = f"bytes */{size_bytes}"


def read_range(header: str | None, size_bytes: int) -> Span | None:
    """The one range asked for; None when the whole is. Raises Unsatisfiable."""
    found = _ONE.fullmatch(header.strip()) if header is not None and header.isascii() else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        # the last so many bytes
        last_bytes = int(found[2])
        if last_bytes == 0 or size_bytes == 0:
            raise Unsatisfiable(size_bytes)
        return Span(max(0, size_bytes - last_bytes), size_bytes, size_bytes)
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        # not a range at all, so there is nothing to refuse
        return None
    if start >= size_bytes:
        raise Unsatisfiable(size_bytes)
    return Span(start, min(size_bytes, int(found[2]) + 1) if found[2] else size_bytes, size_bytes)


def may_continue(if_range: str | None, etag: str) -> bool:
    """Whether If-Range lets a range through: the tag is the very same one, and strong. Dates never are."""
    return if_range is None or (if_range.strip() == etag and not etag.startswith("W/"))
