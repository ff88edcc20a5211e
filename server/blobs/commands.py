"""`kanvas blobs check` and `kanvas blobs cors`.

Owns: what they do and say. Does not own: the trials (`trial.py`), options and exit codes (`cli.py`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import httpx2

from server.blobs.base import Blobs
from server.blobs.files import FileBlobs
from server.blobs.open import open_blobs
from server.blobs.routes import signed_app
from server.blobs.trial import try_blobs
from server.secret import load_secret
from server.settings import Settings

Say = Callable[[str], None]

ANSWER_S: Final = 30.0
NO_CORS: Final = "Files are served by Kanvas itself; there is no bucket, so nothing has to be allowed."
ENCRYPTED: Final = "Files are encrypted and served by Kanvas itself, so nothing has to be allowed."
NO_ORIGIN: Final = "Set KANVAS_PUBLIC_URL to the address people use, so that the bucket can be told about it."


async def check_storage(settings: Settings, say: Say) -> bool:
    """Try everything, one line each; True when all of it works. Raises SettingsError, Unavailable."""
    say(f"Storage: {settings.effective_blobs_url}")
    async with open_blobs(settings, load_secret(settings)) as blobs, _reach(blobs) as http:
        lines = await try_blobs(blobs, http)
    for line in lines:
        say(f"{line.part:<16} {'ok' if line.passed else 'failed':<7} {line.told}")
    return all(line.passed for line in lines)


@asynccontextmanager
async def _reach(blobs: Blobs) -> AsyncIterator[httpx2.AsyncClient]:
    """A client for signed addresses; ours are answered here, without a server."""
    if isinstance(blobs, FileBlobs):
        transport = httpx2.ASGITransport(app=signed_app(blobs))
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield http
        return
    # no proxy from the environment: browsers of this machine would not use it for us either
    async with httpx2.AsyncClient(timeout=ANSWER_S, trust_env=False) as http:
        yield http


async def allow_pages(settings: Settings, say: Say) -> bool:
    """Tell the bucket which pages may use it; False when nothing could be done."""
    if settings.encryption_keys is not None:
        say(ENCRYPTED)
        return True
    async with open_blobs(settings, load_secret(settings)) as blobs:
        origins = page_origins(settings)
        if not origins:
            say(NO_ORIGIN)
            return False
        if not await blobs.allow_origins(origins):
            say(NO_CORS)
            return True
    say(f"The bucket takes PUT, GET and HEAD from pages of {', '.join(origins)}.")
    return True


def page_origins(settings: Settings) -> list[str]:
    """The origins whose pages read and store: where people reach the server, and those of KANVAS_ORIGINS."""
    given = [settings.public_url] if settings.public_url else []
    if not given and settings.is_loopback and settings.port:
        given = [f"http://{host}:{settings.port}" for host in ("127.0.0.1", "localhost")]
    return list(dict.fromkeys([*given, *settings.origins]))
