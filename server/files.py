"""Files to browsers: types, compression, caching, conditional answers.

Owns: one file of a folder as an answer. Does not own: which folder and address (`pages.py`, `docs.py`).
Rules: only files inside the folder; text is compressed once and kept; an ETag is the file's content.
"""

import asyncio
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from party.errors import NotFound
from server.conditions import is_known_to_client

TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
COMPRESSED: Final = frozenset(
    {".css", ".html", ".js", ".json", ".map", ".mjs", ".svg", ".txt", ".wasm", ".webmanifest"}
)
MAX_KEPT_BYTES: Final = 16 * 1024 * 1024
IMMUTABLE: Final = "public, max-age=31536000, immutable"
A_MONTH: Final = "public, max-age=2592000"
REVALIDATE: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A text file in memory, plain and compressed, and what it looked like on the disk."""

    stamp: tuple[int, int]
    plain: bytes
    packed: bytes
    etag: str


class Folder:
    """One folder whose files are served. A file that changes on the disk is read again."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._kept: dict[Path, KeptFile] = {}

    async def answer(self, request: Request, name: str, cache: str, *, status: int = 200) -> Response:
        """The file `name` of the folder. Raises NotFound."""
        path = await asyncio.to_thread(self.find, name)
        if path is None:
            raise NotFound
        kind = TYPES.get(path.suffix, "application/octet-stream")
        if path.suffix not in COMPRESSED:
            return FileResponse(path, headers={"Cache-Control": cache}, media_type=kind)
        kept = await asyncio.to_thread(self._keep, path)
        headers = {"Cache-Control": cache, "ETag": kept.etag, "Vary": "Accept-Encoding"}
        if status == 200 and is_known_to_client(request.headers.get("if-none-match"), kept.etag):
            return Response(status_code=304, headers=headers)
        body = kept.plain
        if "gzip" in request.headers.get("accept-encoding", "") and len(kept.packed) < len(kept.plain):
            headers["Content-Encoding"] = "gzip"
            body = kept.packed
        return Response(body, status_code=status, headers=headers, media_type=kind)

    def find(self, name: str) -> Path | None:
        """The file's path; None when there is none, or when it is outside the folder. Blocks."""
        if "\0" in name or "\\" in name:
            return None
        try:
            path = (self.root / name).resolve()
            return path if path.is_relative_to(self.root) and path.is_file() else None
        except OSError:
            return None

    def _keep(self, path: Path) -> KeptFile:
        state = path.stat()
        stamp = (state.st_mtime_ns, state.st_size)
        kept = self._kept.get(path)
        if kept is None or kept.stamp != stamp:
            plain = path.read_bytes()
            etag = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'
            kept = KeptFile(stamp, plain, gzip.compress(plain, 6, mtime=0), etag)
            if sum(len(one.plain) for one in self._kept.values()) + len(plain) <= MAX_KEPT_BYTES:
                self._kept[path] = kept
        return kept
