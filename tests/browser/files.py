"""Files for the browser tests: photos made by Pillow, and the ways in which a person hands them to the page.

Owns: the bytes (the same in every process), drop and paste as a browser does them, and holding back what a page sends.
"""

import base64
import io
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from PIL import Image, ImageDraw
from playwright.async_api import Page, Route

from tests.browser.people import Person

ORIENTATION = 0x0112
TURNED = 6
"""EXIF: the camera was held upright; what is stored lies on its side."""

# A file of a DataTransfer can't come from outside of the page.
_TRANSFER = """const data = new DataTransfer();
  for (const { name, type, base64 } of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], name, { type }));
  }"""
_DROP = f"""([files, x, y]) => {{ {_TRANSFER}
  const canvas = document.querySelector("canvas.interactive");
  const how = {{ bubbles: true, cancelable: true, clientX: x, clientY: y, dataTransfer: data }};
  canvas.dispatchEvent(new DragEvent("dragover", how));
  canvas.dispatchEvent(new DragEvent("drop", how)); }}"""
_PASTE = f"""([files]) => {{ {_TRANSFER}
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", {{ bubbles: true, cancelable: true, clipboardData: data }})); }}"""


@dataclass(frozen=True)
class Given:
    """A file as a browser sees it."""

    name: str
    type: str
    content: bytes

    def as_json(self) -> dict[str, str]:
        return {"name": self.name, "type": self.type, "base64": base64.b64encode(self.content).decode()}


def photo(
    name: str = "beach.jpg", size: tuple[int, int] = (3000, 2250), seed: int = 1, turned: bool = False
) -> Given:
    """A photo as a camera makes it: large, since noise can't be compressed; 3000 x 2250 pixels are over 6 MB."""
    width, height = size
    noise = random.Random(seed).randbytes(width * height * 3)
    picture = Image.blend(Image.frombytes("RGB", size, noise), sky(size), 0.55)
    exif = Image.Exif()
    if turned:
        exif[ORIENTATION] = TURNED
    return Given(name, "image/jpeg", encode(picture, "JPEG", quality=96, exif=exif))


def sketch(name: str = "sketch.png", size: tuple[int, int] = (640, 400), color: str = "#2f9e44") -> Given:
    """A small picture in one colour."""
    picture = Image.new("RGB", size, color)
    ImageDraw.Draw(picture).ellipse(
        (size[0] * 0.3, size[1] * 0.2, size[0] * 0.7, size[1] * 0.8), fill="#ffec99"
    )
    return Given(name, "image/png", encode(picture, "PNG"))


def sky(size: tuple[int, int]) -> Image.Image:
    """Something to look at: a sun over the sea."""
    width, height = size
    small = Image.new("RGB", (90, 60))
    for y in range(60):
        shade = (150 + y * 2, 190 + y, 235) if y < 38 else (30, 90 + y, 130 + y)
        for x in range(90):
            small.putpixel((x, y), shade)
    picture = small.resize((width, height), Image.Resampling.BICUBIC)
    ImageDraw.Draw(picture).ellipse(
        (width * 0.62, height * 0.12, width * 0.62 + height * 0.22, height * 0.34), fill="#fff3bf"
    )
    return picture


def encode(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def pdf(name: str = "Minutes of the spring meeting.pdf") -> Given:
    """One page with one picture on it."""
    return Given(name, "application/pdf", encode(Image.new("RGB", (300, 400), "#ffffff"), "PDF"))


async def drop(person: Person, files: Sequence[Given], at: tuple[float, float] = (550, 380)) -> None:
    """Drop files on the canvas at a point of the screen."""
    await person.ask(_DROP, [[file.as_json() for file in files], *at])


async def paste(person: Person, files: Sequence[Given]) -> None:
    await person.ask(_PASTE, [[file.as_json() for file in files]])


# A second of colours, as this very browser records it; more where it is too busy to draw.
_RECORD = """async () => { const canvas = document.createElement("canvas"); canvas.width = 320; canvas.height = 180;
  const context = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm" });
  const chunks = []; recorder.ondataavailable = ({ data }) => chunks.push(data);
  const stopped = new Promise((resolve) => (recorder.onstop = resolve)); recorder.start(100);
  const recorded = () => chunks.reduce((sum, { size }) => sum + size, 0);
  for (let frame = 0; frame < 20 || (recorded() < 2000 && frame < 600); frame++) {
    context.fillStyle = `hsl(${frame * 18} 70% 60%)`; context.fillRect(0, 0, 320, 180); await new Promise((resolve) => setTimeout(resolve, 50)); }
  recorder.stop(); await stopped;
  const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")); }"""


async def film(person: Person, name: str = "colours.webm") -> Given:
    """A short video."""
    return Given(name, "video/webm", base64.b64decode(await person.ask(_RECORD)))


class Held:
    """What a page sends and nobody gets yet."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.open = False

    async def take(self, route: Route) -> None:
        if self.open or route.request.method != "PUT":
            await route.continue_()
        else:
            self.routes.append(route)

    async def let_go(self) -> None:
        self.open = True
        for route in self.routes:
            await route.continue_()
        self.routes.clear()


@asynccontextmanager
async def holding(page: Page) -> AsyncIterator[Held]:
    """Holds back the bytes of uploads until told."""
    held = Held()
    await page.route("**/*", held.take)
    try:
        yield held
    finally:
        await page.unroute("**/*", held.take)
