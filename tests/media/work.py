"""Work for the studio's children that tests need.

Apart from the tests, because a child imports the module its work comes from.
"""

import resource
import sys
from pathlib import Path
from time import process_time

from server.media.svg_tree import SVG_NAMESPACE


def slow_svg() -> bytes:
    """Takes a few seconds to examine: very many elements, and each has to be written, filtered and read."""
    return f'<svg xmlns="{SVG_NAMESPACE}">{"<g/>" * 240_000}</svg>'.encode()


def take(size_bytes: int) -> int:
    """As a decoder that needs so much memory."""
    return len(bytearray(size_bytes))


def limits() -> dict[str, tuple[int, int]]:
    """Of the child, in bytes; CPU seconds from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    return {
        "memory": resource.getrlimit(resource.RLIMIT_AS),
        "file": resource.getrlimit(resource.RLIMIT_FSIZE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "cpu": (round(soft - process_time()), hard),
    }


def burn(seconds: float) -> None:
    end = process_time() + seconds
    while process_time() < end:
        pass


def parsers() -> set[str]:
    """The formats that the child's Pillow could read."""
    image = sys.modules["PIL.Image"]
    return set(image.OPEN)


def fill(path: Path, size_bytes: int) -> None:
    """A file of that length, most of it a hole."""
    with path.open("wb") as file:
        file.seek(size_bytes - 1)
        file.write(b"x")
