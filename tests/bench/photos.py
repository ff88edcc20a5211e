"""Files to upload: pictures that no two times are the same, and a large film. Made up, and valid."""

import io
import os
from typing import Final

from PIL import Image

PHOTO_PX: Final = (4000, 3000)


def picture() -> bytes:
    """A PNG of 12 KB that there was not before."""
    out = io.BytesIO()
    Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3)).save(out, "png")
    return out.getvalue()


class Camera:
    """Photos of 12 megapixels as a telephone takes them: about 5 MB, light, shade and grain."""

    def __init__(self) -> None:
        grain = Image.effect_noise(PHOTO_PX, 24)
        light = Image.linear_gradient("L").resize(PHOTO_PX)
        shade = Image.radial_gradient("L").resize(PHOTO_PX)
        self._photo = Image.merge("RGB", [Image.blend(one, grain, 0.35) for one in (light, shade, grain)])
        out = io.BytesIO()
        self._photo.save(out, "jpeg", quality=85)
        self._jpeg = out.getvalue()

    def take(self) -> bytes:
        """A new one: the same view, and a comment that there was not before."""
        comment = os.urandom(8).hex().encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment
        return self._jpeg[:2] + segment + self._jpeg[2:]


def film(size_bytes: int) -> bytes:
    """An MP4 by its boxes: the type, a movie with one track, and a box of data that is no video."""
    picture = b"".join((length << 16).to_bytes(4) for length in (1920, 1080))
    head = box(b"ftyp", b"isom" + bytes(4) + b"isommp42") + box(
        b"moov", box(b"trak", box(b"tkhd", bytes(76) + picture))
    )
    block = os.urandom(1 << 20)
    missing = size_bytes - len(head) - 8
    return head + box(b"mdat", (block * (missing // len(block) + 1))[:missing])


def box(name: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + name + body
