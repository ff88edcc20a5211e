"""PDF: whether the file begins and ends as one.

Owns: header and end. Does not own: what is between: a PDF is an attachment, and whoever shows it must
mistrust it.
Rule: what follows the last `%%EOF` is cut off, so no archive or page hangs on it.
Source: ISO 32000-2 sections 7.5.2, 7.5.5; the 1,024 bytes within which `%%EOF` must be are Acrobat's.
"""

from typing import Final

from server.media.forms import Data, Form, Pieces
from server.media.kinds import PDF, sniff_kind
from server.problems import AssetBroken

TAIL_BYTES: Final = 1024
END: Final = b"%%EOF"


def read_pdf(data: Data) -> Form:
    """The form of a PDF, which has no size in pixels. Raises AssetBroken."""
    if sniff_kind(data[:16]) != PDF:
        raise AssetBroken
    first = max(0, len(data) - TAIL_BYTES)
    at = data[first : len(data)].rfind(END)
    if at < 0 or b"startxref" not in data[max(0, first + at - TAIL_BYTES) : first + at]:
        raise AssetBroken
    end = first + at + len(END)
    after = data[end : end + 2]
    pieces = Pieces(data)
    pieces.keep(0, end + (2 if after == b"\r\n" else 1 if after[:1] in (b"\r", b"\n") else 0))
    return Form(pieces)
