"""The API's own documentation: the document, and a page that shows it.

Owns: /api/v1/openapi.json and /api/v1/docs. Does not own: what is in the document (`openapi.py`).
Rule: the page is self-hosted and lives under the same CSP as all others.
"""

import asyncio
from pathlib import Path as FilePath
from typing import Final, Literal

from starlette.responses import Response

from server.files import REVALIDATE, Folder
from server.registry import JSON, Api, Call, Path, Reply

api = Api()

FOLDER: Final = Folder(FilePath(__file__).parent / "docs_page")


class DocsPath(Path):
    """A part of the page."""

    name: Literal["docs.css", "docs.js"]


@api.route(
    "GET",
    "/api/v1/openapi.json",
    summary="This document",
    tag="server",
    needs_user=False,
    replies=[Reply(200, "OpenAPI 3.1", media=(JSON,))],
)
async def read_document(call: Call) -> Response:
    """Needs no sign-in."""
    # made for who asks first, beside the loop: at every start it would be 0.1 s of processor time of 0.9
    document: bytes = await asyncio.to_thread(call.request.app.state.openapi)
    return Response(document, headers={"Cache-Control": REVALIDATE}, media_type=JSON)


@api.route(
    "GET",
    "/api/v1/docs",
    summary="This document as a page",
    tag="server",
    needs_user=False,
    replies=[Reply(200, "A page", media=("text/html",)), Reply(304, "You have it")],
)
async def read_docs(call: Call) -> Response:
    """Needs no sign-in, no network but this server, and no more than a browser."""
    return await FOLDER.answer(call.request, "index.html", REVALIDATE)


@api.route(
    "GET",
    "/api/v1/docs/{name}",
    summary="Style and script of the page",
    tag="server",
    needs_user=False,
    replies=[Reply(200, "The file", media=("text/css", "text/javascript")), Reply(304, "You have it")],
)
async def read_docs_part(call: Call, path: DocsPath) -> Response:
    """They have addresses of their own because the CSP forbids inline scripts."""
    return await FOLDER.answer(call.request, path.name, REVALIDATE)
