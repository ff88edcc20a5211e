"""Pages: the built client, the caches, and nothing outside its folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException

from party.errors import KanvasError
from server import pages
from server.pages import Pages, find_client
from server.problems import http_exception_handler, kanvas_error_handler
from tests.server.edge import HOST


@pytest.fixture
def client(tmp_path: Path) -> Path:
    """A client as Vite leaves it."""
    root = tmp_path / "dist"
    for name, content in {
        "index.html": "<!doctype html><title>Kanvas</title>" + " " * 2000,
        "static/index-Ab3.js": "export {};" * 500,
        "static/index-Ab3.css": "a{}",
        "fonts/Virgil.woff2": "font",
        "sw.js": "self",
        "favicon.svg": "<svg/>",
        "manifest.webmanifest": "{}",
    }.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret")
    return root


@asynccontextmanager
async def browse(client: Path | None) -> AsyncIterator[httpx2.AsyncClient]:
    handlers = {KanvasError: kanvas_error_handler, HTTPException: http_exception_handler}
    app = Starlette(routes=Pages(client).routes(), exception_handlers=handlers)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=HOST) as http:
        yield http


@pytest.mark.parametrize("path", ["/", "/r/abc", "/r/%F0%9F%8E%A8", "/l/kl_x", "/i/ki_x", "/account"])
async def test_the_pages_are_one_file_that_is_asked_for_again(client: Path, path: str) -> None:
    async with browse(client) as http:
        answer = await http.get(path)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        assert "<title>Kanvas</title>" in answer.text
        known = await http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (known.status_code, known.content) == (304, b"")
        (client / "index.html").write_text("<!doctype html>new")
        changed = await http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (changed.status_code, changed.text) == (200, "<!doctype html>new")


@pytest.mark.parametrize(
    ("path", "kind", "cache"),
    [
        ("/static/index-Ab3.js", "text/javascript; charset=utf-8", "immutable"),
        ("/static/index-Ab3.css", "text/css; charset=utf-8", "immutable"),
        ("/fonts/Virgil.woff2", "font/woff2", "max-age=2592000"),
        ("/sw.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/favicon.svg", "image/svg+xml", "no-cache"),
        ("/manifest.webmanifest", "application/manifest+json", "no-cache"),
    ],
)
async def test_every_file_has_its_type_and_cache(client: Path, path: str, kind: str, cache: str) -> None:
    async with browse(client) as http:
        answer = await http.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == kind
        assert cache in answer.headers["cache-control"]
        head = await http.head(path)
        assert head.headers["content-length"] == answer.headers["content-length"]


async def test_text_is_compressed(client: Path) -> None:
    async with browse(client) as http:
        packed = await http.get("/static/index-Ab3.js", headers={"Accept-Encoding": "br, gzip"})
        plain = await http.get("/static/index-Ab3.js", headers={"Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept-Encoding"
        assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
        assert packed.content == plain.content


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../secret",
        "/static/%2e%2e/%2e%2e/secret",
        "/static/..%2f..%2fsecret",
        "/static//etc/passwd",
        "/fonts/%00",
        "/static/",
        "/static",
        "/link",
        "/secret",
        "/static/" + "x" * 5000,
        "/static/a\\b",
    ],
)
async def test_nothing_outside_is_served(client: Path, path: str) -> None:
    async with browse(client) as http:
        answer = await http.get(httpx2.URL(HOST).copy_with(raw_path=path.encode()))
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_without_a_build_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pages, "find_client", lambda: None)
    async with browse(None) as http:
        answer = await http.get("/")
        assert answer.status_code == 503
        assert "<code>make setup</code>" in answer.text
        assert (await http.get("/static/x.js")).status_code == 404
        # once it is built, the next load shows it
        (tmp_path / "index.html").write_text("built")
        monkeypatch.setattr(pages, "find_client", lambda: tmp_path)
        assert (await http.get("/")).text == "built"


def test_the_packaged_client_comes_first(tmp_path: Path) -> None:
    packaged, built = tmp_path / "a", tmp_path / "b"
    assert find_client(packaged, built) is None
    for folder in (built, packaged):
        folder.mkdir()
        (folder / "index.html").write_text("x")
        assert find_client(packaged, built) == folder
