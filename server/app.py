"""The application: routes, middleware and error handlers around the services.

Owns: putting them together. Does not own: opening services (`services.py`), running a process (`serve.py`).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import WebSocketRoute

from party.errors import KanvasError
from server import (
    active,
    admin,
    admin_rooms,
    docs,
    documents,
    health,
    invitations,
    links,
    members,
    metrics,
    parties,
    rooms,
    sign_in,
    signed_in,
    tokens,
)
from server.accounts import mailbox
from server.accounts import routes as accounts_routes
from server.assets import admin as assets_admin
from server.assets import reading, straight, uploads
from server.audit import routes as audit_routes
from server.blobs import routes as blob_routes
from server.blobs.open import storage_origin
from server.comments import routes as comments
from server.identity import routes as identity_routes
from server.jobs import routes as jobs
from server.middleware import EndBehindProxy, Gzip, LastNet, RequestContext, SecurityHeaders
from server.openapi import build_document
from server.pages import Pages
from server.problems import http_exception_handler, kanvas_error_handler
from server.rates.addresses import TrustedProxies
from server.rates.headers import POLICY, STATE
from server.registry import Api
from server.services import Services, open_services
from server.settings import Settings
from server.sign_in import app_version
from server.tracing import Traced


def all_operations() -> Api:
    """Every declared operation, in the order of the documentation."""
    api = Api()
    assets = (uploads, straight, reading, blob_routes)
    for module in (
        sign_in,
        identity_routes,
        signed_in,
        tokens,
        accounts_routes,
        mailbox,
        active,
        rooms,
        members,
        invitations,
        links,
        documents,
        *assets,
        audit_routes,
        comments,
        parties,
        jobs,
        admin,
        admin_rooms,
        assets_admin,
        health,
        metrics,
        docs,
    ):
        api.include(module.api)
    return api


def create_app(settings: Settings, services: Services | None = None) -> Starlette:
    """The ASGI application.

    With `services` it uses these, opened and closed by the caller (`kanvas serve` does). Without, its
    lifespan opens them; the database must be migrated already.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if services is not None:
            yield
            return
        async with open_services(settings) as opened:
            app.state.services = opened
            yield

    api = all_operations()
    app = Starlette(
        routes=[
            *api.routes(),
            WebSocketRoute("/parties/{room_id}", parties.party_socket),
            *Pages().routes(),
        ],
        middleware=_middleware(settings),
        exception_handlers={KanvasError: kanvas_error_handler, HTTPException: http_exception_handler},
        lifespan=lifespan,
    )
    # "/x/" is not "/x": a redirect would carry a body and a token to a place nobody asked for
    app.router.redirect_slashes = False
    app.state.openapi = cache(lambda: orjson.dumps(build_document(api, app_version())))
    if services is not None:
        app.state.services = services
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    """Outermost first."""
    https = (settings.public_url or "").startswith("https:")
    found = [
        Middleware(TrustedProxies, trusted=settings.trusted_proxies),
        Middleware(RequestContext),
        *([Middleware(EndBehindProxy)] if settings.workers > 1 else []),
        *([Middleware(Traced)] if settings.otlp_url is not None else []),
        Middleware(SecurityHeaders, https=https, storage=storage_origin(settings)),
        Middleware(LastNet),
    ]
    if settings.origins:
        # pages of other origins use bearer tokens; cookies are for our own pages only
        found.append(
            Middleware(
                CORSMiddleware,
                allow_origins=settings.origins,
                allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
                allow_headers=(
                    "Authorization",
                    "If-Match",
                    "If-None-Match",
                    "Idempotency-Key",
                    "X-Request-ID",
                ),
                expose_headers=(
                    "ETag",
                    parties.SIZE,
                    "Location",
                    POLICY,
                    STATE,
                    "Retry-After",
                    "X-Request-ID",
                ),
                max_age=3600,
            )
        )
    found.append(Middleware(Gzip, minimum_size=1024, compresslevel=5))
    return found
