"""The child process in which files are examined: its limits, and what it is asked.

Owns: memory, CPU time and file sizes of the child, the errors that leave it. Does not own: the child's life
(`studio.py`), the work (`examination.py`), which is imported in the child alone: the server has no use for
Pillow in its own memory.
Rules: a limit that is hit is the fault of the file; a disk that is full is not; on an error no file stays.
"""

import sys
from collections.abc import Sequence
from errno import E2BIG, EFBIG, EINVAL, ENOMEM, EOVERFLOW
from math import ceil
from os import strerror
from pathlib import Path
from time import process_time
from typing import Final

from party.errors import Unavailable
from server.media.base import MIB, Rendered, Verdict
from server.problems import AssetBroken

MEMORY_BYTES: Final = 1536 * MIB
"""Address space. Measured at 64 megapixels: WebP with alpha 1,306 MB, AVIF 983, a turned JPEG 829, PNG with
alpha 654, a JPEG 173; Python and Pillow 40."""

CPU_S: Final = 30
"""For one file. Measured at 64 megapixels: a turned PNG of noise 12 s, WebP 4, AVIF 3, JPEG 1."""

FILE_BYTES: Final = 512 * MIB
"""No clean form is that large: it is at most the image, or a PNG of 64 megapixels."""

ITS_OWN_FAULT: Final = frozenset({E2BIG, EFBIG, EINVAL, ENOMEM, EOVERFLOW})
"""Errors of the system that a file can bring about; all others are the system's."""


def confine() -> None:
    """Once in the child, before any work."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on every platform

        limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: FILE_BYTES}
        if sys.platform == "linux":
            limits[resource.RLIMIT_AS] = MEMORY_BYTES
        for limit, value in limits.items():
            hard = resource.getrlimit(limit)[1]
            # both, so that it stays lowered; what an operator set lower stays too
            lower = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (lower, lower))
    from server.media.pictures import prepare  # noqa: PLC0415 - in the child alone

    prepare()


def _renew() -> None:
    """CPU time for the next piece of work; past it the kernel ends this process."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on every platform

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = ceil(process_time()) + CPU_S
        resource.setrlimit(
            resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)
        )


def examine(source: Path, kind: str, target: Path) -> Verdict:
    """See `Studio.examine`."""
    from server.media import examination  # noqa: PLC0415 - in the child alone

    try:
        _renew()
        return examination.examine(source, kind, target)
    except BaseException as error:
        remove([target, *spares(target)])
        raise _told(error) from error


def render(source: Path, folder: Path) -> list[Rendered]:
    """See `Studio.render`."""
    from server.media import examination  # noqa: PLC0415 - in the child alone

    try:
        _renew()
        return examination.render(source, folder)
    except BaseException as error:
        remove(renditions(folder))
        raise _told(error) from error


def spares(target: Path) -> list[Path]:
    """Files beside `target` that are there only while it is made."""
    return [target.with_name(target.name + ".clean"), target.with_name(target.name + ".turned")]


def renditions(folder: Path) -> list[Path]:
    """Every file that rendering may leave in a folder."""
    return [folder / "thumb.webp", folder / "web.webp", *spares(folder / "render")]


def remove(paths: Sequence[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _told(error: BaseException) -> BaseException:
    """As the caller should hear of it; what is nobody's fault but ours stays as it is."""
    if isinstance(error, MemoryError):
        return AssetBroken("The file needs more memory than one file may take here; make it smaller.")
    if isinstance(error, OSError):
        if error.errno in ITS_OWN_FAULT:
            return AssetBroken()
        reason = strerror(error.errno) if error.errno is not None else str(error)
        return Unavailable(f"The file can't be read or stored now ({reason}); try again later.")
    return error
