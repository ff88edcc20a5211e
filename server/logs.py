"""Structured logs: one JSON object per line on stderr, every line of every library included.

Owns: the shape of a line, and that no token and no password of an address is ever in one. Does not own: what
is worth a line.
Rules: request, user and room ids come from context variables; `token=` values and anything that looks like a
JWT are taken out of every string last of all, so no caller can forget it.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import orjson
import structlog
from structlog.typing import EventDict, Processor

from server.settings import Settings

REDACTED: Final = "[redacted]"
_QUERY_TOKEN: Final = re.compile(r"(?i)\b((?:access_)?token=)[^&\s\"'#]+")
_JWT: Final = re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")
_PASSWORD: Final = re.compile(r"(://[^\s:/@\"']{0,128}:)[^\s/\"']{1,512}@")
"""A driver's own words may repeat its address."""

_BREAKS: Final = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
"""What JSON need not escape but some readers take for the end of a line, or a terminal for a command."""


def redact(text: str) -> str:
    """The text without tokens, and addresses without their passwords."""
    text = _JWT.sub(REDACTED, _QUERY_TOKEN.sub(rf"\g<1>{REDACTED}", text))
    return _PASSWORD.sub(rf"\g<1>{REDACTED}@", text) if "://" in text else text


def redact_value(value: Any) -> Any:
    """Plain data of any depth without tokens."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: redact_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(one) for one in value]
    return value


def redact_event(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: no token leaves in any field."""
    return {key: redact_value(value) for key, value in event.items()}


def _drop_uvicorn_colors(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event.pop("color_message", None)
    return event


def _dumps(event: MutableMapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode().translate(_BREAKS)


def configure_logs(settings: Settings) -> bool:
    """Send structlog and the standard library's loggers through one chain; whether lines are JSON now.

    May be called again.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _drop_uvicorn_colors,
    ]
    console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    # tracebacks become text before tokens are taken out, and without local variables: those hold headers
    renderer: Processor = structlog.processors.JSONRenderer(serializer=_dumps)
    if console:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact_event,
            renderer,
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    # uvicorn says at every start and stop what our own lines already say
    quiet = logging.NOTSET if settings.log_level == "debug" else logging.WARNING
    for name in ("uvicorn.error", "alembic"):
        logging.getLogger(name).setLevel(quiet)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        cache_logger_on_first_use=False,
    )
    return not console
