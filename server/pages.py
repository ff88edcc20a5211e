"""Pages: the built browser client.

Owns: `/`, `/r/{room_id}`, `/l/{token}`, `/i/{token}`, `/signin/{token}`, `/mailbox`, `/account`, `/admin` and
every file of the client's build. Does not own: the client (`static/`).
Rules: hashed files are kept by browsers for good, fonts for a month, all else is asked for again; without a
build there is one plain page that says what to type.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from party.errors import NotFound
from server.files import A_MONTH, IMMUTABLE, REVALIDATE, Folder
from server.problems import MethodNotAllowed, problem_response, request_id_of

PACKAGED: Final = Path(__file__).parent / "static"
IN_REPOSITORY: Final = Path(__file__).parent.parent / "static" / "dist"
INDEX: Final = "index.html"

NameOf = Callable[[Request], str]

NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Kanvas</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem }
code { font-size: 1.1em }
</style></head><body>
<h1>The browser client is not built</h1>
<p>The server runs. To build its pages, type in the folder of Kanvas:</p>
<p><code>make setup</code></p>
<p>Then load this page again. The API is described in <a href="/api/v1/docs">its documentation</a>.</p>
</body></html>
"""


def find_client(packaged: Path = PACKAGED, in_repository: Path = IN_REPOSITORY) -> Path | None:
    """The folder of the built client: the one in the package, else the one in the repository."""
    return next((one for one in (packaged, in_repository) if (one / INDEX).is_file()), None)


class Pages:
    """The client's files. It looks for a build until there is one."""

    def __init__(self, client: Path | None = None) -> None:
        self._folder = Folder(client) if client is not None else None

    @property
    def folder(self) -> Folder | None:
        """The build; None while there is none."""
        if self._folder is None:
            found = find_client()
            self._folder = Folder(found) if found is not None else None
        return self._folder

    def routes(self) -> list[Route]:
        """To be put after all others: the last one takes every name at the root."""
        return [
            Route("/", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/r/{room_id}", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/l/{token}", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/i/{token}", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/account", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/admin", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/signin/{token}", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/mailbox", _Page(self, lambda _: INDEX, REVALIDATE)),
            Route("/static/{name:path}", _Page(self, lambda request: request.url.path, IMMUTABLE)),
            Route("/fonts/{name:path}", _Page(self, lambda request: request.url.path, A_MONTH)),
            Route("/{name}", _Page(self, lambda request: request.url.path, REVALIDATE)),
        ]


class _Page:
    """The ASGI application of one route; it takes every method so that a wrong one is told apart from a
    file that does not exist."""

    def __init__(self, pages: Pages, name_of: NameOf, cache: str) -> None:
        self.pages = pages
        self.name_of = name_of
        self.cache = cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        name = self.name_of(request).removeprefix("/")
        folder = self.pages.folder
        if folder is None and name != INDEX:
            raise NotFound
        if folder is not None and folder.find(name) is None:
            raise NotFound
        if request.method not in ("GET", "HEAD"):
            return problem_response(MethodNotAllowed(), request_id_of(request), {"Allow": "GET, HEAD"})
        if folder is None:
            return HTMLResponse(NOT_BUILT, status_code=503, headers={"Cache-Control": "no-store"})
        return await folder.answer(request, name, self.cache)
