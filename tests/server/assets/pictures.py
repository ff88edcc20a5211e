"""Files to upload, made here: small, and each of its kind in truth."""

import hashlib
import io
import random
from typing import Any

from PIL import Image

GPS = 0x8825


def png(width: int = 8, height: int = 6, color: str = "#204060") -> bytes:
    return _save(Image.new("RGB", (width, height), color), "PNG")


def noise(width: int, height: int, seed: int = 1) -> bytes:
    """A JPEG that compresses badly: about a byte for each pixel."""
    image = Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))
    return _save(image, "JPEG", quality=92)


def photo(width: int = 40, height: int = 30, orientation: int = 1) -> bytes:
    """A JPEG that tells where it was taken."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera of Ada"
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
    return _save(Image.new("RGB", (width, height), "#c02020"), "JPEG", exif=exif, quality=95)


def gif(frames: int = 3) -> bytes:
    images = [Image.new("RGB", (8, 8), (n % 2 * 255, n % 256, 90)) for n in range(frames)]
    return _save(images[0], "GIF", save_all=True, append_images=images[1:])


SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>1</script><rect width="9"/></svg>'
)
PDF = b"%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\ntrailer\n<</Root 1 0 R>>\nstartxref\n9\n%%EOF\n"


def pdf(size_bytes: int) -> bytes:
    """A PDF of about this size: one long comment at its beginning."""
    head, rest = PDF[:9], PDF[9:]
    return head + b"%" + b"-" * size_bytes + b"\n" + rest


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _save(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()
