"""server.media.studio: work in real child processes, their limits, and whose fault it is when one ends."""

import asyncio
import errno
import os
import select
import signal
import sys
from pathlib import Path

import pytest

from party.errors import KanvasError, Unavailable
from server.media.base import MIB
from server.media.studio import MOST_WAITING, Studio, open_studio
from server.media.workshop import CPU_S, FILE_BYTES, MEMORY_BYTES
from server.problems import AssetBroken
from tests.media import corpus, work
from tests.server.test_compactor import until_gone


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def put(folder: Path, data: bytes) -> Path:
    source = folder / "source"
    source.write_bytes(data)
    return source


async def is_read(pipe: Path) -> int:
    """Wait until somebody has opened the pipe, which gets nothing from us; our end of it."""
    async with asyncio.timeout(120):
        while True:
            try:
                return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            await asyncio.sleep(0.01)


async def is_written(pipe: Path) -> int:
    """Wait until there is something in the pipe, of which we take nothing; our end of it."""
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    async with asyncio.timeout(120):
        while not select.select([end], [], [], 0)[0]:
            await asyncio.sleep(0.01)
    return end


async def test_a_photo_from_upload_to_thumbnail(tmp_path: Path) -> None:
    data = corpus.encode(corpus.noise(3000, 1500), "JPEG", exif=corpus.exif(6), quality=60)
    source, target = put(tmp_path, data), tmp_path / "target"
    async with open_studio() as studio:
        verdict = await studio.examine(source, "image/jpeg", target)
        assert (verdict.content_type, verdict.width, verdict.height) == ("image/jpeg", 1500, 3000)
        assert verdict.is_rewritten
        assert corpus.SECRET not in target.read_bytes()
        assert names(tmp_path) == {"source", "target"}
        folder = tmp_path / "renditions"
        folder.mkdir()
        thumb, web = await studio.render(target, folder)
        assert (thumb.name, thumb.content_type, thumb.width, thumb.height) == (
            "thumb",
            "image/webp",
            128,
            256,
        )
        assert (web.name, web.content_type, web.width, web.height) == ("web", "image/webp", 1024, 2048)
        assert {thumb.path, web.path} == set(folder.iterdir())
        assert web.size_bytes == web.path.stat().st_size


async def test_examining_does_not_wait_for_rendering(tmp_path: Path) -> None:
    source = put(tmp_path, corpus.encode(corpus.scene(), "PNG"))
    async with open_studio() as studio:
        await studio.examine(source, "image/png", tmp_path / "target")
        rendering = asyncio.create_task(studio.rendering.run(work.burn, 30.0))
        await studio.examine(source, "image/png", tmp_path / "target")
        assert not rendering.done()
        rendering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rendering


async def test_the_child_is_confined(tmp_path: Path) -> None:
    """Also in CPU time: for each piece of work anew, not for its life."""
    source = put(tmp_path, corpus.encode(corpus.scene(), "PNG"))
    async with open_studio() as studio:
        await studio.examine(source, "image/png", tmp_path / "target")
        limits = await studio.examining.run(work.limits)
        assert limits["memory"] == (MEMORY_BYTES, MEMORY_BYTES)
        assert limits["file"] == (FILE_BYTES, FILE_BYTES)
        assert limits["core"] == (0, 0)
        assert CPU_S - 1 <= limits["cpu"][0] <= CPU_S + 1
        await studio.examining.run(work.burn, 1.5)
        assert (await studio.examining.run(work.limits))["cpu"][0] < CPU_S
        await studio.examine(source, "image/png", tmp_path / "target")
        assert CPU_S - 1 <= (await studio.examining.run(work.limits))["cpu"][0] <= CPU_S + 1
        with pytest.raises(MemoryError):
            await studio.examining.run(work.take, MEMORY_BYTES)
        with pytest.raises(OSError, match="too large"):
            await studio.examining.run(work.fill, tmp_path / "target", FILE_BYTES + MIB)


async def test_no_other_parser_can_be_reached(tmp_path: Path) -> None:
    async with open_studio() as studio:
        for name in corpus.IMAGES:
            source = put(tmp_path, corpus.IMAGES[name]())
            kind = {"jpeg": "image/jpeg", "ico": "image/x-icon"}.get(name.split()[0].strip(","))
            kind = kind or f"image/{name.split()[0].strip(',')}"
            await studio.examine(source, kind, tmp_path / "target")
            await studio.render(source, tmp_path)
        found = await studio.examining.run(work.parsers) | await studio.rendering.run(work.parsers)
    assert not found & {
        "EPS",
        "PSD",
        "TIFF",
        "FLI",
        "PCX",
        "WMF",
        "ICNS",
        "MPO",
        "FITS",
        "GRIB",
        "HDF5",
        "JPEG2000",
    }


async def test_a_file_that_kills_the_child_is_broken_and_the_next_one_is_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    os.mkfifo(source)
    async with open_studio() as studio:
        sound = tmp_path / "sound"
        sound.write_bytes(corpus.encode(corpus.scene(), "PNG"))
        await studio.examine(sound, "image/png", tmp_path / "target")
        (child,) = studio.examining.processes()
        asking = asyncio.create_task(studio.examine(source, "image/svg+xml", tmp_path / "target"))
        behind = asyncio.create_task(studio.examine(sound, "image/png", tmp_path / "target"))
        end = await is_read(source)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGXCPU)
        with pytest.raises(AssetBroken, match="memory and time"):
            await asking
        os.close(end)
        assert (await behind).width == corpus.WIDTH
        assert names(tmp_path) == {"source", "sound"}


async def test_a_file_that_makes_a_decoder_crash_is_broken(tmp_path: Path) -> None:
    """pi_heif 1.4.0 reads address zero when the kind of an item is no text; found by random files."""
    crashes = corpus.HEIC_WITH_EXIF.replace(b"Exif", b"\xff" * 4, 1)
    async with open_studio() as studio:
        assert (await refused(studio, tmp_path, crashes, "image/heic")).code == "asset_broken"
        sound = put(tmp_path, corpus.HEIC_WITH_EXIF)
        assert (await studio.examine(sound, "image/heic", tmp_path / "target")).content_type == "image/jpeg"


async def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    source = put(tmp_path, work.slow_svg())
    async with open_studio(deadline_s=0.3) as studio:
        with pytest.raises(Unavailable, match="too long"):
            await studio.examine(source, "image/svg+xml", tmp_path / "target")
        assert names(tmp_path) == {"source"}


async def test_who_gives_up_leaves_nothing(tmp_path: Path) -> None:
    """Cancelled while the clean form is being written: to a pipe that is full."""
    source = put(
        tmp_path, corpus.encode(corpus.noise(600, 600), "PNG", compress_level=1, exif=corpus.exif(6))
    )
    os.mkfifo(tmp_path / "target.clean")
    async with open_studio() as studio:
        asking = asyncio.create_task(studio.examine(source, "image/png", tmp_path / "target"))
        end = await is_written(tmp_path / "target.clean")
        (child,) = studio.examining.processes()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert names(tmp_path) == {"source"}
        assert child.pid is not None
        await asyncio.to_thread(until_gone, child.pid)
        os.close(end)


async def test_a_crowd_is_sent_away(tmp_path: Path) -> None:
    source = put(tmp_path, corpus.encode(corpus.scene(), "PNG"))
    async with open_studio() as studio:
        asking = [
            asyncio.create_task(studio.examine(source, "image/png", tmp_path / "target"))
            for _ in range(MOST_WAITING + 8)
        ]
        answers = await asyncio.gather(*asking, return_exceptions=True)
        refused = [one for one in answers if isinstance(one, Unavailable)]
        assert 0 < len(refused) < 9
        assert all("Too many" in one.message for one in refused)
        assert all(one in refused or not isinstance(one, BaseException) for one in answers)


async def test_a_file_that_can_not_be_read_or_written_is_not_the_files_fault(tmp_path: Path) -> None:
    source = put(tmp_path, corpus.encode(corpus.scene(), "PNG", exif=corpus.exif()))
    async with open_studio() as studio:
        for paths in ((tmp_path / "gone", tmp_path / "target"), (source, tmp_path / "gone" / "target")):
            with pytest.raises(Unavailable, match="No such file"):
                await studio.examine(paths[0], "image/png", paths[1])
        with pytest.raises(Unavailable, match="No such file"):
            await studio.render(source, tmp_path / "gone")
    assert names(tmp_path) == {"source"}


async def test_children_without_work_go(tmp_path: Path) -> None:
    source = put(tmp_path, corpus.encode(corpus.scene(), "PNG"))
    async with open_studio(idle_s=0.2) as studio:
        await studio.examine(source, "image/png", tmp_path / "target")
        (child,) = studio.examining.processes()
        assert child.pid is not None
        await asyncio.to_thread(until_gone, child.pid)
        assert studio.examining.processes() == []
        await studio.examine(source, "image/png", tmp_path / "target")


async def refused(studio: Studio, folder: Path, data: bytes, kind: str) -> KanvasError:
    source = put(folder, data)
    with pytest.raises(KanvasError) as caught:
        await studio.examine(source, kind, folder / "target")
    assert names(folder) == {"source"}
    return caught.value


async def test_errors_come_out_of_the_child_as_they_went_in(tmp_path: Path) -> None:
    async with open_studio() as studio:
        bomb = corpus.png(corpus.png_header(50_000, 50_000))
        assert (await refused(studio, tmp_path, bomb, "image/png")).code == "asset_too_many_pixels"
        error = await refused(studio, tmp_path, corpus.svg("<g>"), "image/svg+xml")
        assert (error.code, error.status) == ("svg_refused", 422)
        assert "cut off" in error.message
        cut = corpus.encode(corpus.scene(), "PNG", exif=corpus.exif())[:-40]
        assert (await refused(studio, tmp_path, cut, "image/png")).code == "asset_broken"


def test_the_server_has_no_pillow_in_its_memory() -> None:
    """It is imported in the child alone."""
    import subprocess

    code = "import sys, server.media.studio; print([one for one in sys.modules if one.startswith('PIL')])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
