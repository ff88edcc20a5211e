"""How the processes run, and what they tell.

Owns: these settings. Does not own: reading them, and checking them together (`reading.py`).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import BaseSettings

from server import setting_types as kinds
from server.setting_types import setting


class Running(BaseSettings):
    """How the processes run, and what they tell."""

    jobs: Annotated[bool, BeforeValidator(kinds.switch)] = setting(
        True,
        "on or off",
        "on or off",
        "Whether the serving process also does jobs; with off, run `kanvas worker` beside it.",
        shown="on",
    )
    jobs_at_once: int = setting(
        2,
        "integer",
        "a whole number from 1 to 64",
        "Most jobs that one process does at once.",
        shown="2",
        ge=1,
        le=64,
    )
    supervisor: Annotated[bool, BeforeValidator(kinds.switch)] = setting(
        True,
        "on or off",
        "on or off",
        "Whether a small process replaces the serving one when it hangs or crashes; not on Windows.",
        shown="on",
    )
    workers: int = setting(
        1,
        "integer",
        "a whole number from 1 to 64",
        "Serving processes behind the one port, each for its share of the rooms; more than one needs "
        "PostgreSQL and Redis.",
        shown="1",
        ge=1,
        le=64,
    )
    hung_after_s: int = setting(
        10,
        "integer",
        "a whole number of seconds from 2 to 600",
        "Seconds without a sign of life after which the serving process is replaced.",
        shown="10",
        ge=2,
        le=600,
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(kinds.lower)] = (
        setting(
            "info",
            "word",
            "debug, info, warning or error",
            "Least important log lines to write.",
            shown="info",
        )
    )
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(kinds.lower)] = setting(
        "auto",
        "word",
        "auto, json or console",
        "Shape of the log lines; auto is console on a terminal and json elsewhere.",
        shown="auto",
    )
    metrics_token: Annotated[SecretStr | None, AfterValidator(kinds.token)] = setting(
        None,
        "text",
        "at least 16 visible characters without spaces",
        "Bearer token that /metrics asks for; empty lets only this machine read them.",
        shown="",
    )
    otlp_url: Annotated[str | None, AfterValidator(kinds.collector)] = setting(
        None,
        "url",
        "http:// or https:// and what follows, such as http://127.0.0.1:4318/v1/traces",
        "OpenTelemetry collector that traces are sent to, over OTLP/HTTP, at /v1/traces unless it names a "
        "path; empty makes none.",
        shown="",
        # it may hold a password
        repr=False,
    )
    sentry_dsn: Annotated[SecretStr | None, AfterValidator(kinds.dsn)] = setting(
        None,
        "url",
        "the DSN of a Sentry project, such as https://key@sentry.example.org/1",
        "Sentry project that errors are sent to; empty sends none.",
        shown="",
    )
    audit_days: int = setting(
        365,
        "integer",
        "a whole number of days from 1 to 36500",
        "Days after which entries leave the audit log.",
        shown="365",
        ge=1,
        le=36_500,
    )
