"""Images: in, out, and what is refused on the way."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from server.images import sniff_image
from tests.server.edge import ROOMS, Edge, Person, open_edge

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 40
SVG = (
    b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>'
)

IMAGES = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "image/avif": b"\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00mif1avifmiaf",
    "image/bmp": b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00\x02",
    "image/x-icon": b"\x00\x00\x01\x00\x01\x00\x10\x10",
    "image/svg+xml": SVG,
}

UNPACKED = ("image/svg+xml", "image/bmp", "image/x-icon")
"""Kinds that are not compressed in themselves, so it pays on the way."""


def asset_id(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def start(edge: Edge) -> tuple[Person, str]:
    """Somebody and the address of the images of a room of theirs."""
    ada = await edge.guest()
    return ada, f"{ROOMS}/{(await ada.room())['id']}/assets"


async def put(person: Person, at: str, data: bytes, kind: str = "image/png") -> httpx2.Response:
    return await person.ask("PUT", f"{at}/{asset_id(data)}", content=data, headers={"Content-Type": kind})


@pytest.mark.parametrize("kind", IMAGES)
async def test_every_kind_goes_in_and_out(tmp_path: Path, empty_database: Path, kind: str) -> None:
    data = IMAGES[kind]
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await start(edge)
        stored = await put(ada, at, data, "application/octet-stream")
        assert stored.status_code == 201
        url = f"{at}/{asset_id(data)}"
        assert stored.json() == {
            "id": asset_id(data),
            "url": url,
            "content_type": kind,
            "size_bytes": len(data),
        }
        assert (await put(ada, at, data)).status_code == 200
        # any who is signed in may read, also by the cookie that an <img> sends
        await edge.http.post("/api/v1/auth/guest", json={"name": "Ben"})
        read = await edge.http.get(url)
        assert (read.content, read.headers["content-type"]) == (data, kind)
        assert read.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert read.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in read.headers["content-security-policy"]
        assert "script-src" not in read.headers["content-security-policy"]
        assert "content-encoding" not in read.headers or kind in UNPACKED
        known = await edge.http.get(url, headers={"If-None-Match": read.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        head = await edge.http.head(url)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(data)))


async def test_a_wrong_hash_stores_nothing(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await start(edge)
        url = f"{at}/{asset_id(b'other')}"
        answer = await ada.ask("PUT", url, content=PNG, headers={"Content-Type": "image/png"})
        assert (answer.status_code, answer.json()["code"]) == (422, "asset_hash_mismatch")
        missing = await ada.ask("GET", url)
        assert (missing.status_code, missing.json()["code"]) == (404, "asset_not_found")
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"<!doctype html><svg>", b"%PDF-1.7", b"\x00" * 10_000, b"GIF", b"BM not a bitmap at all"],
)
async def test_what_is_no_image_is_refused_whatever_it_claims(
    tmp_path: Path, empty_database: Path, data: bytes
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await start(edge)
        answer = await put(ada, at, data)
        assert (answer.status_code, answer.json()["code"]) == (415, "asset_type_refused")


async def test_a_body_of_another_type_is_refused(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await start(edge)
        for kind in ("text/html", "application/json", "images/png", ""):
            answer = await put(ada, at, PNG, kind)
            assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_too_large_is_refused_announced_or_not(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, max_asset_bytes=10_000) as edge:
        ada, at = await start(edge)
        data = PNG + b"\x00" * 10_000
        announced = await put(ada, at, data)
        assert (announced.status_code, announced.json()["code"]) == (413, "asset_too_large")

        read_bytes = 0

        async def trickle() -> AsyncIterator[bytes]:
            nonlocal read_bytes
            for _ in range(100):
                read_bytes += len(PNG)
                yield PNG * 100

        streamed = await ada.ask(
            "PUT", f"{at}/{asset_id(data)}", content=trickle(), headers={"Content-Type": "image/png"}
        )
        assert streamed.status_code == 413
        assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_a_room_that_is_not_there_takes_and_gives_nothing(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await start(edge)
        await put(ada, at, PNG)
        url = f"{at}/{asset_id(PNG)}"
        assert (await edge.http.get(url)).status_code == 401
        await ada.ask("DELETE", at.removesuffix("/assets"))
        assert (await ada.ask("GET", url)).json()["code"] == "room_not_found"
        assert (await put(ada, at, PNG)).status_code == 404
        await ada.ask("POST", f"{at.removesuffix('/assets')}/restore")
        assert (await ada.ask("GET", url)).content == PNG


@pytest.mark.parametrize("name", ["x", "A" * 64, "a" * 63, "../secret", "%2e%2e%2fsecret", "a" * 64 + ".png"])
async def test_what_is_no_hash_is_not_found(tmp_path: Path, empty_database: Path, name: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await start(edge)
        assert (await ada.ask("GET", f"{at}/{name}")).status_code == 404


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xef\xbb\xbf  <svg>", "image/svg+xml"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'x'>\n<svg:svg xmlns:svg='x'>", "image/svg+xml"),
        (b"<!DOCTYPE svg [<!ENTITY a 'b'>]><svg/>", "image/svg+xml"),
        (b"<!-- a --><!-- b --><svg>", "image/svg+xml"),
        (b"<svgx>", None),
        (b"<html><svg>", None),
        (b"text <svg>", None),
        (b"<!--" * 1000, None),
        (b"<!-- -->" * 500, None),
        (b"<?xml " + b" " * 4000, None),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1", None),
        (b"\x00\x00\x00\x08ftypavif", None),
        (b"", None),
    ],
)
def test_only_the_bytes_decide(head: bytes, kind: str | None) -> None:
    assert sniff_image(head[:4096]) == kind
