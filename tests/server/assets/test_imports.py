"""Files fetched from an address, by the route."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import httpx2

from tests.server.assets.pictures import noise, photo, png, sha256
from tests.server.assets.sending import Sender, code, enter
from tests.server.edge import open_edge

LOOPBACK = (ip_network("127.0.0.0/8"),)


@asynccontextmanager
async def open_site(**files: bytes) -> AsyncIterator[str]:
    """A web server with these files; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        data = files.get(head.split()[1].decode().rpartition("/")[2].partition(".")[0])
        status = b"200 OK" if data is not None else b"404 Not Found"
        body = data or b"secret words of this site"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def ask(sender: Sender, url: str, **more: str) -> httpx2.Response:
    return await sender.person.ask("POST", f"{sender.at}/import", json={"url": url} | more)


async def test_an_import_is_checked_like_any_other_file(tmp_path: Path, empty_database: Path) -> None:
    """A11, A2, A3, A4."""
    data = photo()
    async with (
        open_site(photo=data, page=b"<html>", cut=noise(90, 90)[:-50]) as site,
        open_edge(tmp_path, empty_database, import_networks=LOOPBACK) as edge,
    ):
        ada = await enter(edge)
        done = await ask(ada, f"{site}/a/photo.jpeg?x=1")
        assert done.status_code == 201, done.text
        asset = done.json()
        assert (asset["filename"], asset["sha256"]) == ("photo.jpeg", sha256(data))
        assert b"Camera of Ada" not in (await ada.read(asset["id"])).content
        again = await ask(ada, f"{site}/photo", filename="other.jpg")
        assert (again.status_code, again.json()["id"]) == (200, asset["id"])
        assert code(await ask(ada, f"{site}/page.png")) == (415, "asset_type_refused")
        assert code(await ask(ada, f"{site}/cut.jpg")) == (422, "asset_broken")
        missing = await ask(ada, f"{site}/none.png")
        assert code(missing) == (422, "import_failed")
        assert "404" in missing.json()["detail"]
        assert "secret" not in missing.text
        async with asyncio.timeout(120):
            # the job that makes the smaller forms has a folder there, too
            while list((tmp_path / "incoming").iterdir()):
                await asyncio.sleep(0.02)


async def test_only_public_addresses(tmp_path: Path, empty_database: Path) -> None:
    """A11. The same words whether something listens there or not."""
    async with open_site(photo=png()) as site, open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        told = set()
        for url in (
            f"{site}/photo",
            "http://127.0.0.1:4567/x",
            "http://[::1]/",
            "http://169.254.169.254/latest",
        ):
            refused = await ask(ada, url)
            assert code(refused) == (422, "import_address_refused")
            told.add(refused.json()["detail"])
        assert len(told) == 1
        for url in ("ftp://127.0.0.1/x.png", "file:///etc/passwd", "http://ada:secret@127.0.0.1/", "http://"):
            assert (await ask(ada, url)).status_code == 422


async def test_too_large(tmp_path: Path, empty_database: Path) -> None:
    async with (
        open_site(photo=noise(200, 200)) as site,
        open_edge(tmp_path, empty_database, import_networks=LOOPBACK, max_asset_bytes=10_000) as edge,
    ):
        ada = await enter(edge)
        assert code(await ask(ada, f"{site}/photo")) == (413, "asset_too_large")
