"""A file, looked through from end to end: is it sound, what is in it, what is its clean form.

Owns: the order of the checks for each kind. Does not own: formats (the modules beside), the child's limits
(`workshop.py`).
Rules: nothing is decoded before its structure was walked and its size checked; decoded is the clean form, so
no decoder sees what is dropped; a clean form that is examined is clean.
"""

import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from server.media import kinds
from server.media.avif import read_avif
from server.media.base import MOST_IMAGE_BYTES, MOST_SVG_BYTES, Rendered, Verdict
from server.media.bitmaps import read_bmp, read_ico
from server.media.forms import FileView, Form, Mapped
from server.media.gif import read_gif
from server.media.jpeg import read_jpeg
from server.media.pdf import read_pdf
from server.media.pictures import look, write_heic, write_turned
from server.media.png import read_png
from server.media.renditions import make_renditions
from server.media.svg import sanitise
from server.media.video import read_mp4, read_webm
from server.media.webp import read_webp
from server.media.workshop import remove, spares
from server.problems import AssetBroken, AssetTooLarge, AssetTypeRefused

READERS: Final[dict[str, Callable[[Mapped], Form]]] = {
    kinds.PNG: read_png,
    kinds.JPEG: read_jpeg,
    kinds.GIF: read_gif,
    kinds.WEBP: read_webp,
    kinds.AVIF: read_avif,
    kinds.BMP: read_bmp,
    kinds.ICO: read_ico,
}


def examine(source: Path, kind: str, target: Path) -> Verdict:
    """What is in `source`; its clean form at `target` where that is another. Raises as `Studio.examine`."""
    if sniff(source) != kind:
        raise AssetTypeRefused
    if kind in (kinds.MP4, kinds.WEBM):
        with source.open("rb") as file:
            size = (read_mp4 if kind == kinds.MP4 else read_webm)(FileView(file))
        return Verdict(kind, *size, frames=1, color=None, is_rewritten=False)
    if kind == kinds.PDF:
        with source.open("rb") as file:
            form = read_pdf(FileView(file))
            is_rewritten = _write(form, target)
        return Verdict(kind, None, None, frames=1, color=None, is_rewritten=is_rewritten)
    if kind == kinds.SVG:
        return _examine_svg(source, target)
    return _examine_image(source, kind, target)


def render(source: Path, folder: Path) -> list[Rendered]:
    """The renditions of a raster image; none of anything else."""
    kind = sniff(source)
    if kind not in READERS:
        return []
    clean, turned = spares(folder / "render")
    with _structure(source, READERS[kind]) as form:
        picture = clean if _write(form, clean) else source
    with picture.open("rb") as file:
        made = make_renditions(file, kind, form, source.stat().st_size, folder)
    remove([clean, turned])
    return made


def sniff(source: Path) -> str | None:
    with source.open("rb") as file:
        return kinds.sniff_kind(file.read(kinds.HEAD_BYTES))


def _examine_svg(source: Path, target: Path) -> Verdict:
    with source.open("rb") as file:
        data = file.read(MOST_SVG_BYTES + 1)
    clean, width, height = sanitise(data)
    if clean != data:
        target.write_bytes(clean)
    return Verdict(kinds.SVG, width, height, frames=1, color=None, is_rewritten=clean != data)


def _examine_image(source: Path, kind: str, target: Path) -> Verdict:
    clean, turned = spares(target)
    now = source
    if kind == kinds.HEIC:
        if source.stat().st_size > MOST_IMAGE_BYTES:
            raise AssetTooLarge
        with source.open("rb") as file:
            kind = write_heic(file, turned)
        now = turned
    with _structure(now, READERS[kind]) as form:
        if _write(form, clean):
            now = clean
    if form.orientation != 1 and form.frames == 1:
        # animations are not turned: cameras make none
        with now.open("rb") as file:
            kind = write_turned(file, kind, form, turned)
        with _structure(turned, READERS[kind]) as form:
            now = clean if _write(form, clean) else turned
    with now.open("rb") as file:
        form, color = look(file, kind, form)
    is_rewritten = now != source
    if is_rewritten:
        now.rename(target)
    remove([clean, turned])
    return Verdict(kind, form.width, form.height, form.frames, color, is_rewritten)


@contextmanager
def _structure(path: Path, read: Callable[[Mapped], Form]) -> Iterator[Form]:
    """The form of an image; its pieces can be read in the block."""
    size = path.stat().st_size
    if size > MOST_IMAGE_BYTES:
        raise AssetTooLarge
    if not size:
        raise AssetBroken
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield read(data)


def _write(form: Form, path: Path) -> bool:
    """Write the clean form when it is not what was read; True when it was written."""
    if form.pieces.is_all:
        return False
    with path.open("wb") as file:
        form.pieces.write(file)
    return True
