"""Smaller forms of an image, for previews and for screens.

Owns: which there are, how they are encoded. Does not own: where they are stored, when they are made.
Rules: a rendition is sRGB without metadata, turned as it is shown, keeps transparency, and is the first frame
of an animation.
"""

from pathlib import Path
from typing import IO, Final

from PIL import Image

from server.media import kinds
from server.media.base import THUMB_PX, WEB_PX, Rendered
from server.media.forms import Form
from server.media.orientation import ORIENTATION
from server.media.pictures import TURNS, eight_bits, open_picture, to_srgb

THUMB_QUALITY: Final = 75
WEB_QUALITY: Final = 80
METHOD: Final = 4
"""WebP, not AVIF. A 12-megapixel picture of noise at all scales, to 2,048 px, at the same PSNR (25.8 dB):
WebP 0.31 s, 849 kB; AVIF at speed 8 0.99 s, 779 kB; at speed 9 0.22 s, 774 kB, shown by fewer programs."""

WORTH_BYTES: Final = 256 * 1024
"""A file that is smaller, and not larger in pixels, is sent as it is."""

WORTH_SHARE: Final = 0.75
"""And so is one of which the web form would not save a quarter."""


def make_renditions(
    source: IO[bytes], kind: str, form: Form, size_bytes: int, folder: Path
) -> list[Rendered]:
    """`thumb` always; `web` of a still image that is larger, in pixels or for its pixels.

    `form` says how it must be turned, `size_bytes` what the image itself takes.
    """
    with open_picture(source, kind) as image:
        is_moving = getattr(image, "n_frames", 1) > 1
        is_large = max(image.size) > WEB_PX
        has_web = not is_moving and (is_large or size_bytes > WORTH_BYTES)
        side = WEB_PX if has_web else THUMB_PX
        profile = image.info.get("icc_profile")
        if kind == kinds.JPEG:
            # twice as large as needed, so that it is still resized well
            image.draft(None, (2 * side, 2 * side))
        image.load()
        plain = eight_bits(image)
        plain.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
        orientation = image.getexif().get(ORIENTATION, 1) if kind == kinds.AVIF else form.orientation
    shown = to_srgb(plain, profile)
    if orientation in TURNS and not is_moving:
        shown = shown.transpose(TURNS[orientation])
    made = []
    if has_web:
        web = _write(shown, "web", folder, WEB_QUALITY)
        if is_large or web.size_bytes < WORTH_SHARE * size_bytes:
            made.append(web)
        else:
            web.path.unlink()
    shown.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return [_write(shown, "thumb", folder, THUMB_QUALITY), *made]


def _write(image: Image.Image, name: str, folder: Path, quality: int) -> Rendered:
    path = folder / f"{name}.webp"
    image.info = {}
    with path.open("wb") as writer:
        image.save(writer, format="WEBP", quality=quality, method=METHOD)
    return Rendered(name, path, kinds.WEBP, image.width, image.height, path.stat().st_size)
