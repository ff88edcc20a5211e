"""The words of media and what one file may cost.

Owns: `Verdict`, `Rendered`, every cap. Does not own: who keeps them (`pictures.py`, `workshop.py`).
Rule: pixels and frames are counted from the structure of a file, before anything is decoded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024

MOST_PIXELS: Final = 64 * MIB
"""Of one image or frame. 2^26, because a camera's 64 megapixels are a little more than 64 million."""

MOST_SIDE_PX: Final = 32_768
MOST_FRAMES: Final = 100
MOST_FRAME_PIXELS: Final = 256 * MIB
"""Frames times the pixels of the canvas they are drawn on: about 3 s of decoding."""

MOST_IMAGE_BYTES: Final = 256 * MIB
"""An image is mapped into the child's memory, which is limited. Videos and PDFs are not."""

MOST_SVG_BYTES: Final = 10 * MIB

THUMB_PX: Final = 256
WEB_PX: Final = 2048
"""Longest sides of the renditions."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a file that is sound."""

    content_type: str
    """Of the clean form."""

    width: int | None
    height: int | None
    """As it is shown, in pixels; None where a file has no such measure."""

    frames: int
    """1 unless it is an animation."""

    color: str | None
    """Mean colour `#rrggbb`, weighted by opacity; None for what is no raster image, or invisible."""

    is_rewritten: bool
    """The clean form is not the source: it lies at the target."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A smaller form of an image, in a file."""

    name: str
    path: Path
    content_type: str
    width: int
    height: int
    size_bytes: int
