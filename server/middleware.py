"""What every request passes through: an id, one log line, security headers, and a last net for bugs.

Owns: pure ASGI middleware (no task, no copy of the body). Does not own: routes, errors that are answers.
Rules: one line per request, with ids and without tokens; an unhandled error is logged once, with its
traceback, and answered 500 without it. Keeps rule N1.
Source: ECOSYSTEM's CSP for Excalidraw, which is strict but for inline styles and WebAssembly.
"""

import re
import time
from typing import Any, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from party.errors import KanvasError
from server.masks import MASK
from server.packs import takes_gzip
from server.problems import problem_response
from server.rates.addresses import is_forwarded

log = structlog.get_logger("kanvas.http")

CSP: Final = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def csp_with(storage: str) -> str:
    """The policy for pages whose images lie at another origin: it may be read from and stored to."""
    told = CSP.replace("connect-src 'self'", f"connect-src 'self' {storage}")
    told = told.replace("img-src 'self' data: blob:", f"img-src 'self' data: blob: {storage}")
    return f"{told}; media-src 'self' {storage}"


HSTS: Final = "max-age=31536000"
SANE_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
SECRET_QUERIES: Final = ("/blobs/", "/api/v1/auth/oidc/")
SECRET_PATHS: Final = re.compile(r"(/(?:signin|i|l)/).+")
"""Pages whose address is a secret: links to sign in with, invitations, share links."""

QUIET_PATHS: Final = frozenset({"/healthz", "/readyz"})


class RequestContext:
    """Gives the request an id, binds it for every log line within, and writes the access line."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SANE_REQUEST_ID.fullmatch(given) else str(ULID()).lower()
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            took_ms = round((time.perf_counter() - start) * 1000, 1)
            self._write(scope, status, took_ms)

    @staticmethod
    def _write(scope: Scope, status: int, took_ms: float) -> None:
        fields: dict[str, Any] = {
            "method": scope["method"],
            "path": shown_path(scope["path"]),
            "status": status or 499,  # nobody was there to answer
            "took_ms": took_ms,
        }
        # the query of a signed address is its permission, that of a way back a code
        if scope.get("query_string") and not scope["path"].startswith(SECRET_QUERIES):
            fields["query"] = scope["query_string"].decode("latin-1")
        if scope.get("client"):
            fields["client"] = scope["client"][0]
        write = log.debug if scope["path"] in QUIET_PATHS else log.info
        write("request", **fields)


def shown_path(path: str) -> str:
    """The path as a log may hold it."""
    return SECRET_PATHS.sub(rf"\1{MASK}", path)


class EndBehindProxy:
    """Lets no proxy use the connection of one request for the next, which may be for another worker's room:
    workers get whole connections, each by its first request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_forwarded(Headers(scope=scope)):
            await self.app(scope, receive, send)
            return

        async def send_as_the_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, send_as_the_last)


class SecurityHeaders:
    """Adds the security headers an answer does not set itself."""

    def __init__(self, app: ASGIApp, *, https: bool = False, storage: str | None = None) -> None:
        self.app = app
        self.headers = SECURITY_HEADERS | ({"Strict-Transport-Security": HSTS} if https else {})
        if storage:
            self.headers["Content-Security-Policy"] = csp_with(storage)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Gzip(GZipMiddleware):
    """Starlette's, for who refuses gzip in so many words (`gzip;q=0`), too.

    An answer that says `Content-Encoding: identity` stays as it is, and that header, which nobody should send
    (RFC 9110 section 8.4), goes no further.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not takes_gzip(Headers(scope=scope).get("accept-encoding")):
            kept = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            scope = {**scope, "headers": kept}
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return

        async def send_without_identity(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-encoding") == "identity":
                    del headers["content-encoding"]
            await send(message)

        await super().__call__(scope, receive, send_without_identity)


class LastNet:
    """Turns what nobody handled into one log line and a 500 without a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("unhandled error", method=scope["method"], path=shown_path(scope["path"]))
            if not started:
                request_id = scope.get("state", {}).get("request_id")
                await problem_response(KanvasError(), request_id)(scope, receive, send)
