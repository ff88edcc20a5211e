"""What examining and rendering images costs, and what a room feels of it: `python -m tests.bench.media`.

Prints, for files of 12 megapixels, milliseconds in the child and its peak memory; then how late the ticks of
the parent's loop (one each millisecond) come while nothing is done, while the child renders without a pause,
and while both children work. On a machine with other things to do the first of these is the yardstick.
The files are made in the temporary folder: TMPDIR says whose disk it is.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import uvloop
from PIL import Image

from server.children import Child
from server.media.kinds import sniff_kind
from server.media.studio import Studio, open_studio

WIDTH, HEIGHT = 4000, 3000
TICK_S = 0.001
MEASURED_S = 10.0
ROUNDS = 5


def photo() -> Image.Image:
    """Noise of every size, the finest the weakest: as many bytes as a photo has, or more."""
    random = Random(3)
    image: Image.Image | None = None
    for power in range(9, -1, -1):
        width, height = max(2, WIDTH >> power), max(2, HEIGHT >> power)
        layer = Image.frombytes("RGB", (width, height), random.randbytes(width * height * 3))
        layer = layer.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        image = layer if image is None else Image.blend(image, layer, 0.30 if power else 0.18)
    assert image is not None
    return image


def make_files(folder: Path) -> dict[str, Path]:
    image = photo()
    turned = Image.Exif()
    turned[0x0112] = 6
    files = {
        name: folder / name.replace(" ", "-")
        for name in ("jpeg", "jpeg with Exif", "jpeg to turn", "png", "webp", "avif")
    }
    image.save(files["jpeg"], "JPEG", quality=93)
    described = Image.Exif()
    described[0x013B] = "somebody"
    image.save(files["jpeg with Exif"], "JPEG", quality=93, exif=described)
    image.save(files["jpeg to turn"], "JPEG", quality=93, exif=turned)
    image.save(files["png"], "PNG", compress_level=1)
    image.save(files["webp"], "WEBP", quality=80, method=2)
    image.save(files["avif"], "AVIF", quality=60, speed=9)
    return files


def peak_mb(child: Child) -> float:
    """The most memory its process ever had."""
    (process,) = child.processes()
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


async def time_files(files: dict[str, Path], folder: Path) -> None:
    for name, path in files.items():
        kind = sniff_kind(path.read_bytes()[:4096]) or ""
        # fresh children for each, because what is measured is the most they ever took
        async with open_studio() as studio:
            sound = folder / "sound.png"
            Image.new("RGB", (8, 8)).save(sound)
            await studio.examine(sound, "image/png", folder / "clean")
            await studio.render(sound, folder)
            examined_ms = await best_ms(lambda: studio.examine(path, kind, folder / "clean"))  # noqa: B023
            rendered_ms = await best_ms(lambda: studio.render(path, folder))  # noqa: B023
            made = ", ".join(
                f"{one.name} {one.size_bytes / 1e3:.0f} kB" for one in await studio.render(path, folder)
            )
            say(
                f"{name:15} {path.stat().st_size / 1e6:5.1f} MB: "
                f"examine {examined_ms:5.0f} ms, {peak_mb(studio.examining):4.0f} MB; "
                f"render {rendered_ms:5.0f} ms, {peak_mb(studio.rendering):4.0f} MB ({made})"
            )


async def best_ms(work: Callable[[], Awaitable[object]]) -> float:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1e3)
    return min(took)


async def late_ms() -> tuple[list[float], float]:
    """How late each tick came, for as long as is measured; the most CPU time the loop took between two."""
    found, most_ms = [], 0.0
    end = time.perf_counter() + MEASURED_S
    while (now := time.perf_counter()) < end:
        used = time.thread_time()
        await asyncio.sleep(TICK_S)
        most_ms = max(most_ms, (time.thread_time() - used) * 1e3)
        found.append((time.perf_counter() - now - TICK_S) * 1e3)
    return found, most_ms


async def keep_busy(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        await work()


async def measure_ticks(name: str, work: list[Callable[[], Awaitable[object]]]) -> None:
    for one in work:
        await one()
    busy = [asyncio.create_task(keep_busy(one)) for one in work]
    late, most_ms = await late_ms()
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    cuts = statistics.quantiles(late, n=1000)
    say(
        f"{name:26} {len(late):5} ticks, late by p50 {statistics.median(late):5.2f} ms, "
        f"p99 {cuts[989]:5.2f} ms, p99.9 {cuts[998]:5.2f} ms, most {max(late):5.2f} ms; "
        f"CPU time of the loop at most {most_ms:4.2f} ms"
    )


async def main(folder: Path) -> None:
    files = make_files(folder)
    await time_files(files, folder)
    jpeg, png = files["jpeg to turn"], files["png"]

    def on(studio: Studio) -> list[Callable[[], Awaitable[object]]]:
        return [
            lambda: studio.render(jpeg, folder),
            lambda: studio.examine(png, "image/png", folder / "clean"),
        ]

    await measure_ticks("nothing else to do:", [])
    async with open_studio() as studio:
        await measure_ticks("one child renders JPEGs:", on(studio)[:1])
    async with open_studio() as studio:
        await measure_ticks("both children work:", on(studio))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        uvloop.run(main(Path(made)))
