"""Trouble: errors with a traceback, told to Sentry as they are logged.

Owns: the way from a log line to an event. Does not own: what is logged (whoever logs it), redaction
(logs.py). The library is imported only when KANVAS_SENTRY_DSN is set. Rules: only lines with an exception
become events; no local variable, header or body is sent, and every text passes the same redaction as the
logs; sending happens in the library's own thread. Keeps rule M10.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import structlog

from server.logs import redact_value
from server.settings import Settings, SettingsError

FLUSH_S: Final = 2.0
TOLD: Final = ("request_id", "trace_id", "room_id", "user_id", "operation", "job_id", "kind")
"""Fields of a line that become tags: ids, never words of people."""


class SentryHandler(logging.Handler):
    """Hands the exception of a log line on."""

    def __init__(self, sentry: Any) -> None:
        super().__init__(logging.ERROR)
        self._sentry = sentry

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.msg if isinstance(record.msg, dict) else record.__dict__
        given = fields.get("exc_info") or record.exc_info
        found = sys.exc_info() if given is True else given
        error = found if isinstance(found, BaseException) else found[1] if isinstance(found, tuple) else None
        if error is None:
            return
        known = {**structlog.contextvars.get_contextvars(), **fields}
        with self._sentry.new_scope() as scope:
            for name in TOLD:
                if known.get(name) is not None:
                    scope.set_tag(name, str(known[name]))
            scope.set_tag("logger", record.name)
            scope.set_context("log", {"event": str(fields.get("event", record.getMessage()))})
            self._sentry.capture_exception(error, scope=scope)


@asynccontextmanager
async def open_trouble(settings: Settings) -> AsyncIterator[None]:
    """Tell Sentry of errors until the end of it, when a DSN is set. Raises SettingsError."""
    if settings.sentry_dsn is None:
        yield
        return
    try:
        import sentry_sdk  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            ["KANVAS_SENTRY_DSN needs the Sentry library; type: pip install 'kanvas[sentry]'"]
        ) from error
    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        server_name=socket.gethostname(),
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        max_breadcrumbs=0,
        shutdown_timeout=FLUSH_S,
        before_send=lambda event, _hint: redact_value(event),
    )
    handler = SentryHandler(sentry_sdk)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        closing = partial(sentry_sdk.get_client().close, timeout=FLUSH_S)
        await asyncio.get_running_loop().run_in_executor(None, closing)
