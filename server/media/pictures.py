"""Raster images as Pillow sees them: opening, looking at every pixel, turning, encoding again.

Owns: the only use of Pillow and pi_heif to read. Does not own: structure and metadata (`jpeg.py` and the
others beside), smaller forms (`renditions.py`), the child this runs in (`workshop.py`).
Rules: only the plugin of the kind that was sniffed is asked, so no other parser can be reached; sizes are
checked before pixels are decoded; what Pillow warns of is an error.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Final

from PIL import AvifImagePlugin, Image, ImageCms, ImageFile, JpegImagePlugin, PngImagePlugin

from server.media import kinds
from server.media.base import MIB, MOST_FRAMES, MOST_PIXELS
from server.media.forms import Form, check_caps
from server.media.orientation import ORIENTATION
from server.problems import AssetBroken, HeicOff

FORMATS: Final = {
    kinds.PNG: ("PNG", "PngImagePlugin"),
    kinds.JPEG: ("JPEG", "JpegImagePlugin"),
    kinds.GIF: ("GIF", "GifImagePlugin"),
    kinds.WEBP: ("WEBP", "WebPImagePlugin"),
    kinds.AVIF: ("AVIF", "AvifImagePlugin"),
    kinds.BMP: ("BMP", "BmpImagePlugin"),
    kinds.ICO: ("ICO", "IcoImagePlugin"),
}
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation of Exif."""

TURNED_QUALITY: Final = 92
"""Of what has to be encoded again because it is turned: no difference that people see."""

MOST_TURNED_WEBP_PIXELS: Final = 16 * MIB
PNG_LEVEL: Final = 2
"""A tenth larger than at level 6, in a fifth of the time: 6 s for 64 megapixels of noise."""

DRAFT_PX: Final = 64
"""A JPEG is decoded this small, which reads all of its data and makes an eighth of its pixels."""

MOST_PROFILE_BYTES: Final = 4 * MIB
SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def prepare() -> None:
    """Once in the child: load the plugins that are used, and no others; set their limits."""
    for _, plugin in FORMATS.values():
        import_module(f"PIL.{plugin}")
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_CHUNK = MOST_PROFILE_BYTES
    # each thread takes address space, which is limited
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.simplefilter("error", UserWarning)
    warnings.simplefilter("error", RuntimeWarning)


@contextmanager
def open_picture(source: IO[bytes], kind: str) -> Iterator[Image.Image]:
    """The image, not decoded yet, its size checked.

    Raises AssetBroken and the caps' errors, and turns what Pillow raises in the block into AssetBroken.
    """
    try:
        if kind == kinds.HEIC:
            opened: Image.Image = _open_heic(source)
        else:
            opened = Image.open(source, formats=[FORMATS[kind][0]])
        with opened as image:
            check_caps(*image.size)
            if isinstance(image, PngImagePlugin.PngImageFile):
                _widen_clear(image)
            yield image
    except (ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, AttributeError) as exc:
        # whatever Pillow's parsers stumble over
        raise AssetBroken from exc
    except (ArithmeticError, AssertionError, RuntimeError, Warning, Image.DecompressionBombError) as exc:
        raise AssetBroken from exc
    except (struct.error, zlib.error) as exc:
        raise AssetBroken from exc
    except OSError as exc:
        if exc.errno is not None:
            # a disk that is full, and no fault of the image
            raise
        raise AssetBroken from exc


def _widen_clear(image: PngImagePlugin.PngImageFile) -> None:
    """The grey that is transparent, in the 8 bits that Pillow makes of 2 or 4; it widens only the pixels."""
    step = {"L;2": 85, "L;4": 17}.get(str(image.tile[0].args)) if image.tile else None
    clear = image.info.get("transparency")
    if step and isinstance(clear, int):
        image.info["transparency"] = clear * step


def _open_heic(source: IO[bytes]) -> Image.Image:
    if find_spec("pi_heif") is None:
        raise HeicOff
    heif: Any = import_module("pi_heif")
    heif.options.DECODE_THREADS = 1
    heif.options.THUMBNAILS = heif.options.DEPTH_IMAGES = heif.options.AUX_IMAGES = False
    heif.register_heif_opener()
    return Image.open(source, formats=["HEIF"])


def look(source: IO[bytes], kind: str, form: Form) -> tuple[Form, str | None]:
    """Decode every frame: the form with what only the decoder knows, the mean colour of the first frame."""
    with open_picture(source, kind) as image:
        if kind == kinds.JPEG:
            image.draft(None, (DRAFT_PX, DRAFT_PX))
        elif kind == kinds.AVIF:
            form.width, form.height = image.size
            form.frames = getattr(image, "n_frames", 1)
            if image.getexif().get(ORIENTATION, 1) >= 5:
                # it is turned by a property of its own, which stays
                form.width, form.height = form.height, form.width
        form.check_caps()
        image.load()
        color = mean_color(image)
        if kind == kinds.ICO:
            _look_at_icon(image)
        elif kind != kinds.JPEG:
            _look_at_rest(image)
    return form, color


def _look_at_rest(image: Image.Image) -> None:
    for number in range(1, MOST_FRAMES + 2):
        try:
            image.seek(number)
        except EOFError:
            return
        check_caps(*image.size, number)
        image.load()


def _look_at_icon(image: Image.Image) -> None:
    icon: Any = getattr(image, "ico", None)
    for number in range(len(icon.entry)):
        icon.frame(number).load()


def mean_color(image: Image.Image) -> str | None:
    """`#rrggbb`, each pixel counted as far as it is opaque; None when none is."""
    small = eight_bits(image)
    factor = max(1, min(small.size) // 64)
    if factor > 1:
        small = small.reduce(factor)
    small = to_srgb(small, image.info.get("icc_profile")).convert("RGBA")
    red, green, blue, alpha = small.convert("RGBa").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))  # type: ignore[misc]
    if not alpha:
        return None
    return "#" + "".join(f"{min(255, round(one * 255 / alpha)):02x}" for one in (red, green, blue))


def eight_bits(image: Image.Image) -> Image.Image:
    """The same in a mode that can be resized and encoded: L, LA, RGB, RGBA or CMYK."""
    if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK"):
        if image.mode in ("L", "RGB") and "transparency" in image.info:
            return image.convert("RGBA")
        return image
    if image.mode.startswith("I"):
        # 16 bits a pixel, whatever the number of its mode
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode == "F":
        return image.convert("L")
    is_clear = "transparency" in image.info or image.mode in ("PA", "RGBa", "La")
    return image.convert("RGBA" if is_clear else "RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB or RGBA (of what has alpha) as browsers show it: from `profile` (ICC), or taken for sRGB."""
    mode = "RGBA" if image.mode in ("LA", "RGBA") else "RGB"
    if not profile or len(profile) > MOST_PROFILE_BYTES:
        return image.convert(mode)
    try:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = own.profile.xcolor_space.strip()
        plain = {"GRAY": "L", "RGB": mode, "CMYK": "CMYK"}.get(space)
        if plain is None or (space == "CMYK") != (image.mode == "CMYK"):
            return image.convert(mode)
        if plain == "L" and image.mode != "L":
            return image.convert(mode)
        if image.mode != plain:
            image = image.convert(plain)
        return ImageCms.profileToProfile(image, own, SRGB, outputMode=mode) or image.convert(mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        # a profile nobody can read changes nothing, as in browsers
        return image.convert(mode)


def write_turned(source: IO[bytes], kind: str, form: Form, target: Path) -> str:
    """The first frame, turned as `form` says, encoded again without metadata; returns its kind.

    It stays of its kind, but for a large WebP, which would take 4 GB and a minute to encode. A PNG of 16 bits
    a channel comes out with 8, because Pillow has no more.
    """
    with open_picture(source, kind) as image:
        options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile")}
        if kind == kinds.WEBP and form.width * form.height > MOST_TURNED_WEBP_PIXELS:
            kind = kinds.PNG if form.is_lossless or image.mode == "RGBA" else kinds.JPEG
        if kind == kinds.JPEG:
            sampling = JpegImagePlugin.get_sampling(image) if image.format == "JPEG" else 0
            # not "optimize": libjpeg then needs the whole file in one buffer, which Pillow makes too small
            options |= {"quality": TURNED_QUALITY, "subsampling": max(sampling, 0)}
        elif kind == kinds.PNG:
            options |= {"compress_level": PNG_LEVEL}
        elif form.is_lossless:
            options |= {"lossless": True, "quality": 10, "method": 1, "exact": True}
        else:
            options |= {"quality": TURNED_QUALITY, "method": 2, "exact": True}
        image.load()
        turned = image.transpose(TURNS[form.orientation])
        turned.info = {name: value for name, value in image.info.items() if name == "transparency"}
        # what its decoder holds is as large as the image
        image.close()
        _save(turned, target, FORMATS[kind][0], options)
        return kind


def write_heic(source: IO[bytes], target: Path) -> str:
    """A HEIC as JPEG, or as WebP when it has alpha; returns its new kind."""
    with open_picture(source, kinds.HEIC) as image:
        image.load()
        kind = kinds.WEBP if "A" in image.mode else kinds.JPEG
        options: dict[str, Any] = {"icc_profile": image.info.get("icc_profile"), "quality": TURNED_QUALITY}
        plain = eight_bits(image)
        plain.info = {}
        _save(plain, target, FORMATS[kind][0], options)
        return kind


def _save(image: Image.Image, target: Path, name: str, options: dict[str, Any]) -> None:
    with target.open("wb") as writer:
        image.save(writer, format=name, **{key: value for key, value in options.items() if value is not None})
