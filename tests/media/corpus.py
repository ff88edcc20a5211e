"""Files of every kind, made here, and what can be done to them.

Owns: images by Pillow and by hand, videos and documents of the least bytes that make them one. Does not own:
what must become of them (the tests).
"""

import base64
import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from random import Random
from typing import Any, Final

from PIL import Image, ImageCms

SECRET: Final = b"52.3702N 4.8952E of Ada"
"""What no clean form may hold."""

WIDTH: Final = 96
HEIGHT: Final = 64


@cache
def scene(mode: str = "RGB") -> Image.Image:
    """A picture that looks different however it is turned."""
    image = Image.linear_gradient("L").resize((WIDTH, HEIGHT)).convert("RGB")
    image.paste((220, 30, 30), (0, 0, WIDTH // 3, HEIGHT // 4))
    image.paste((30, 30, 220), (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT * 3 // 4))
    if mode in ("RGBA", "LA"):
        image = image.convert("RGBA")
        image.putalpha(Image.radial_gradient("L").resize((WIDTH, HEIGHT)))
    return image.convert(mode)


def noise(width: int, height: int, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """A picture that can't be compressed."""
    return Image.frombytes(mode, (width, height), Random(seed).randbytes(width * height * len(mode)))


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    target = BytesIO()
    image.save(target, name, **options)
    return target.getvalue()


def decode(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


def exif(orientation: int = 1) -> Image.Exif:
    """Exif with a place on the earth, an author and a thumbnail's worth of secrets."""
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x013B] = SECRET.decode()
    made.get_ifd(0x8825).update(
        {1: "N", 2: (52.0, 22.0, 12.7), 3: "E", 4: (4.0, 53.0, 42.7), 29: SECRET.decode()}
    )
    return made


def animation(name: str, frames: int = 5, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any) -> bytes:
    pictures = [scene().resize(size) for _ in range(frames)]
    for number, picture in enumerate(pictures):
        # no two alike, or an encoder would make them one
        picture.paste((number * 97 % 256, number * 53 % 256, 80), (0, 0, size[0] // 2, size[1] // 2))
    return encode(pictures[0], name, save_all=True, append_images=pictures[1:], duration=50, **options)


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def jpeg_with(*segments: bytes, **options: Any) -> bytes:
    """A JPEG with segments right behind its start."""
    return b"\xff\xd8" + b"".join(segments) + encode(scene(), "JPEG", **options)[2:]


def png_chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def png_with(*chunks: bytes) -> bytes:
    """A PNG with chunks right behind its header."""
    whole = encode(scene(), "PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def riff_chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + b"\x00" * (len(body) & 1)


def webp_with(*chunks: bytes) -> bytes:
    """A WebP with chunks behind its picture."""
    whole = encode(scene("RGBA"), "WEBP")
    body = whole[12:] + b"".join(chunks)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return (8 + len(body)).to_bytes(4, "big") + name + body


def mp4(*extra: bytes, width: int = 320, height: int = 180, brand: bytes = b"isom") -> bytes:
    header = bytes(76) + struct.pack(">II", width << 16, height << 16)
    movie = box(b"moov", box(b"mvhd", bytes(100)), box(b"trak", box(b"tkhd", header)))
    return box(b"ftyp", brand, bytes(4), b"isomavc1") + movie + box(b"mdat", bytes(64)) + b"".join(extra)


def element(number: int, body: bytes, length: bytes | None = None) -> bytes:
    """An EBML element; `length` instead of the right one."""
    told = length if length is not None else (len(body) | 1 << 56).to_bytes(8, "big")
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + told + body


UNKNOWN: Final = b"\x01" + b"\xff" * 7


def webm(*extra: bytes, is_live: bool = False, doc_type: bytes = b"webm") -> bytes:
    header = element(0x1A45DFA3, b"\x42\x82" + bytes([0x80 | len(doc_type)]) + doc_type)
    video = element(0xE0, element(0xB0, b"\x01\x40") + element(0xBA, b"\xb4"))
    tracks = element(0x1654AE6B, element(0xAE, video))
    clusters = b"".join(
        element(0x1F43B675, element(0xE7, b"\x00") + element(0xA3, bytes(40)), UNKNOWN if is_live else None)
        for _ in range(3)
    )
    return header + element(0x18538067, tracks + clusters + b"".join(extra), UNKNOWN if is_live else None)


def pdf() -> bytes:
    return encode(scene(), "PDF")


@cache
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def svg(inside: str, attributes: str = "") -> bytes:
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {names} {attributes}>{inside}</svg>".encode()


IMAGES: Final[dict[str, Callable[[], bytes]]] = {
    "png": lambda: encode(scene(), "PNG"),
    "png with alpha": lambda: encode(scene("RGBA"), "PNG"),
    "png of grey and alpha": lambda: encode(scene("LA"), "PNG"),
    "png of 1 bit": lambda: encode(scene("1"), "PNG"),
    "png of 16 bits": lambda: encode(Image.new("I;16", (WIDTH, HEIGHT), 40_000), "PNG"),
    "png with a palette": lambda: encode(scene("P"), "PNG", transparency=3),
    "png with a profile": lambda: encode(scene(), "PNG", icc_profile=profile()),
    "png, moving": lambda: animation("PNG"),
    "jpeg": lambda: encode(scene(), "JPEG"),
    "jpeg of grey": lambda: encode(scene("L"), "JPEG"),
    "jpeg of inks": lambda: encode(scene("CMYK"), "JPEG"),
    "jpeg, progressive": lambda: encode(scene(), "JPEG", progressive=True, subsampling=0),
    "jpeg with a profile": lambda: encode(scene(), "JPEG", icc_profile=profile()),
    "gif": lambda: encode(scene(), "GIF"),
    "gif with transparency": lambda: encode(scene("P"), "GIF", transparency=3),
    "gif, moving": lambda: animation("GIF", loop=0),
    "webp": lambda: encode(scene(), "WEBP"),
    "webp with alpha": lambda: encode(scene("RGBA"), "WEBP"),
    "webp, lossless": lambda: encode(scene("RGBA"), "WEBP", lossless=True),
    "webp, moving": lambda: animation("WEBP"),
    "avif": lambda: encode(scene(), "AVIF", speed=9),
    "avif with alpha": lambda: encode(scene("RGBA"), "AVIF", speed=9),
    "avif, moving": lambda: animation("AVIF", frames=3, speed=9),
    "bmp": lambda: encode(scene(), "BMP"),
    "bmp with a palette": lambda: encode(scene("P"), "BMP"),
    "ico": lambda: encode(scene("RGBA").resize((64, 64)), "ICO", sizes=[(16, 16), (32, 32), (64, 64)]),
    "ico of bitmaps": lambda: encode(
        scene("RGBA").resize((64, 64)), "ICO", sizes=[(16, 16), (32, 32)], bitmap_format="bmp"
    ),
}
"""Sound images of every kind a browser shows, without anything to clean."""

FRAMES: Final = {"png, moving": 5, "gif, moving": 5, "webp, moving": 5, "avif, moving": 3}

# 64 x 64, left half red, right half blue; no encoder of HEVC may be asked for in a test
HEIC_WITH_EXIF: Final = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAYNtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "AA5waXRtAAAAAAABAAAANGlsb2MAAAAAREAAAgABAAAAAAGnAAEAAAAAAAAAKwACAAAAAAHSAAEAAAAAAAAAHgAAADhpaW5mAAAA"
    "AAACAAAAFWluZmUCAAAAAAEAAGh2YzEAAAAAFWluZmUCAAABAAIAAEV4aWYAAAAAwmlwcnAAAACkaXBjbwAAAHhodmNDAQNwAAAA"
    "AAAAAAAAHvAA/P34+AAADwMgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQCEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "SSmubgQEDAgAAAMACAAAAwAIQCIAAQAHRAHBcrAiQAAAABRpc3BlAAAAAAAAAEAAAABAAAAAEHBpeGkAAAAAAwgICAAAABZpcG1h"
    "AAAAAAAAAAEAAQOBAoMAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAFFtZGF0AAAAJygBrxOA5TPAn//sSo//bnzw+7sQqv/3"
    "J10fzg+P/w+M3KRX/9KK8AAAAAZFeGlmAABNTQAqAAAACAAAAAAAAHNlY3JldA=="
)
"""With Exif that says `secret`."""

HEIC_WITH_ALPHA: Final = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAkVtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "AA5waXRtAAAAAAABAAAANGlsb2MAAAAAREAAAgABAAAAAAJpAAEAAAAAAAAAKwACAAAAAAKUAAEAAAAAAAAAGAAAADhpaW5mAAAA"
    "AAACAAAAFWluZmUCAAAAAAEAAGh2YzEAAAAAFWluZmUCAAAAAAIAAGh2YzEAAAABhGlwcnAAAAFfaXBjbwAAAHhodmNDAQNwAAAA"
    "AAAAAAAAHvAA/P34+AAADwMgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQCEAAQArQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq"
    "SSmubgQEDAgAAAMACAAAAwAIQCIAAQAHRAHBcrAiQAAAABRpc3BlAAAAAAAAAEAAAABAAAAAEHBpeGkAAAAAAwgICAAAAHJodmND"
    "AQQIAAAAAAAAAAAAHvAA/Pz4+AAADwMgAAEAF0ABDAH//wQIAAADAJ/4AAADAAAeugJAIQABACZCAQEECAAAAwCf+AAAAwAAHsCC"
    "BBZbqSSmubAgAAADACAAAAMAISIAAQAHRAHBcrAiQAAAABRpc3BlAAAAAAAAAEAAAABAAAAADnBpeGkAAAAAAQgAAAAnYXV4QwAA"
    "AAB1cm46bXBlZzpoZXZjOjIwMTU6YXV4aWQ6MQAAAAAdaXBtYQAAAAAAAAACAAEDgQKDAAIEhAWGhwAAABppcmVmAAAAAAAAAA5h"
    "dXhsAAIAAQABAAAAS21kYXQAAAAnKAGvE4DlM8Cf/+xKj/9ufPD7uxCq//cnXR/OD4//D4zcpFf/0orwAAAAFCgBrifD9Cn1D90y"
    "9n1//70O79+A"
)
"""The lower half is not there."""
