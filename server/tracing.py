"""Traces: which part of a request, a join or a commit took how long, for an OpenTelemetry collector.

Owns: the spans, their export over OTLP/HTTP, the trace id in log lines. Does not own: what is measured in
numbers (party/tally.py). The library is imported only when KANVAS_OTLP_URL is set; without it a span is
nothing.
Rules: exporting happens in a thread of its own, and a collector that is away costs neither a request nor the
end of the process more than `END_S`; no token, title or drawing is in a span, and of an error only its kind.
Keeps rule M10.
Source: W3C Trace Context; OpenTelemetry specification 1.x.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.settings import Settings, SettingsError

END_S: Final = 3.0
EXPORT_S: Final = 2.0
PARENT: Final = b"traceparent"

Value = str | int | float | bool


class Tracer(Protocol):
    """Where spans go."""

    def span(self, name: str, **attributes: Value) -> Any:
        """A context manager around some work."""

    def record(self, name: str, took_s: float, **attributes: Value) -> None:
        """Work that has just ended, and took so long."""


class NoTracer:
    """Spans that go nowhere."""

    @contextmanager
    def span(self, name: str, **attributes: Value) -> Iterator[None]:  # noqa: ARG002 - the same shape
        yield

    def record(self, name: str, took_s: float, **attributes: Value) -> None:
        """Nothing."""


class OtlpTracer:
    """Spans for a collector. `provider` is opentelemetry.sdk's."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace import Status, StatusCode, format_trace_id  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._tracer = provider.get_tracer("kanvas")
        self._propagator = TraceContextTextMapPropagator()
        self._format = format_trace_id
        self._status: Any = Status
        self._error = StatusCode.ERROR

    @contextmanager
    def span(self, name: str, **attributes: Value) -> Iterator[None]:
        with self._start(name, None, attributes):
            yield

    @contextmanager
    def _start(self, name: str, parent: Any, attributes: Mapping[str, Value]) -> Iterator[Any]:
        # the library would tell an error's message and traceback, which may quote what somebody sent
        with self._tracer.start_as_current_span(
            name, context=parent, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_status(self._status(self._error, type(error).__name__))
                raise

    @contextmanager
    def request(self, name: str, headers: Mapping[str, str], **attributes: Value) -> Iterator[Any]:
        """The span of one request, below the caller's when it names one; its id is in the log lines
        within."""
        parent = self._propagator.extract(headers)
        with self._start(name, parent, attributes) as span:
            structlog.contextvars.bind_contextvars(trace_id=self._format(span.get_span_context().trace_id))
            yield span

    def record(self, name: str, took_s: float, **attributes: Value) -> None:
        now_ns = time.time_ns()
        span = self._tracer.start_span(name, start_time=now_ns - int(took_s * 1e9), attributes=attributes)
        span.end(now_ns)


class Traced:
    """ASGI middleware: a span for each request and handshake."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tracer = scope["app"].state.services.tracer if scope["type"] in ("http", "websocket") else None
        if not isinstance(tracer, OtlpTracer):
            await self.app(scope, receive, send)
            return
        method = scope.get("method", "WEBSOCKET")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        parent = {name: value for name, value in headers.items() if name in ("traceparent", "tracestate")}
        request_id = scope.get("state", {}).get("request_id", "")
        with tracer.request(
            method, parent, **{"http.request.method": method, "request_id": request_id}
        ) as span:

            async def send_noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            try:
                await self.app(scope, receive, send_noting)
            finally:
                # the declared path, not the one with somebody's room in it
                route = getattr(scope.get("route"), "path", None)
                if route:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)


@asynccontextmanager
async def open_tracer(settings: Settings) -> AsyncIterator[Tracer]:
    """Spans to KANVAS_OTLP_URL, or to nowhere. Raises SettingsError when the library is missing."""
    if settings.otlp_url is None:
        yield NoTracer()
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise SettingsError(
            ["KANVAS_OTLP_URL needs the OpenTelemetry library; type: pip install 'kanvas[telemetry]'"]
        ) from error
    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": "kanvas", "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
        ),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=settings.otlp_url, timeout=EXPORT_S)
    provider.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=1000, export_timeout_millis=EXPORT_S * 1000)
    )
    try:
        yield OtlpTracer(provider)
    finally:
        # it joins its thread, which may be waiting for a collector that is away
        ending = asyncio.get_running_loop().run_in_executor(None, provider.shutdown)
        await asyncio.wait([ending], timeout=END_S)
