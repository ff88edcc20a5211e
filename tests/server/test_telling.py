"""Traces and events, told to a receiver on this machine."""

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from party.ports import Principal
from server import tracing, trouble
from server.logs import configure_logs
from server.settings import Settings
from server.tracing import NoTracer, OtlpTracer
from tests.party.peers import Peer
from tests.party.test_restraints import update
from tests.server.edge import open_edge
from tests.server.receiver import Receiver

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def _told_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a busy machine takes to tell the receiver what is left at the end."""
    monkeypatch.setattr(tracing, "EXPORT_S", 60.0)
    monkeypatch.setattr(tracing, "END_S", 60.0)
    monkeypatch.setattr(trouble, "FLUSH_S", 60.0)


def spans(receiver: Receiver) -> list[Any]:
    found = []
    for path, body in receiver.got:
        assert path == "/v1/traces"
        told = ExportTraceServiceRequest.FromString(body)
        found += [span for one in told.resource_spans for scope in one.scope_spans for span in scope.spans]
    return found


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


@pytest.mark.usefixtures("_told_to_the_end")
async def test_requests_and_commits_are_traced(tmp_path: Path, empty_database: Path) -> None:
    """M10: below the caller's trace, by the declared path; no token, title or drawing is told."""
    with Receiver() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/v1/traces"
        async with open_edge(tmp_path, empty_database, otlp_url=url) as edge:
            assert isinstance(edge.services.tracer, OtlpTracer)
            ada = await edge.guest("Ada Secretname")
            room = await ada.room(title="Secret plans", schema="open")
            parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
            with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
                await ada.ask("GET", f"/api/v1/rooms/{room['id']}?token={ada.token}", headers=parent)
            await edge.services.hub.submit(room["id"], Principal("u", "U"), update("secretkey"))
            await edge.services.hub.submit(room["id"], Principal("u", "U"), update("more"))
        found = spans(receiver)
    by_name = {span.name: span for span in found}
    assert {"POST /api/v1/auth/guest", "POST /api/v1/rooms", "commit"} <= by_name.keys()
    read = by_name["GET /api/v1/rooms/{room_id}"]
    assert read.trace_id.hex() == TRACE
    assert attributes(read)["http.response.status_code"] in (200, 422)
    assert attributes(by_name["commit"]) == {"room_id": room["id"], "rows": 1}
    assert by_name["commit"].end_time_unix_nano > by_name["commit"].start_time_unix_nano
    [line] = [one for one in logs if one["event"] == "request"]
    assert line["trace_id"] == TRACE
    told = receiver.everything()
    for secret in (ada.token, "Secret", "secretkey"):
        assert secret.encode() not in told


@pytest.mark.usefixtures("_told_to_the_end")
async def test_a_failed_span_tells_what_failed_and_no_words(tmp_path: Path, empty_database: Path) -> None:
    """M10: messages of errors quote what people sent."""
    with Receiver() as receiver:
        url = f"http://127.0.0.1:{receiver.port}/v1/traces"
        async with open_edge(tmp_path, empty_database, otlp_url=url) as edge:
            tracer = edge.services.tracer
            assert isinstance(tracer, OtlpTracer)
            for span in (tracer.span("join", room_id="r"), tracer.request("GET", {})):
                with pytest.raises(ValueError, match="Secret"), span:
                    raise ValueError("Secret plans")
        found = spans(receiver)
        assert [(span.status.code, span.status.message) for span in found] == [(2, "ValueError")] * 2
        assert b"Secret" not in receiver.everything()


async def test_a_collector_that_hangs_costs_nobody_anything(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M10: not a request, and not the end of the process."""
    assert tracing.END_S < 5
    monkeypatch.setattr(tracing, "EXPORT_S", 600.0)
    with Receiver() as receiver:
        receiver.pause()
        url = f"http://127.0.0.1:{receiver.port}/v1/traces"
        async with open_edge(tmp_path, empty_database, otlp_url=url) as edge:
            ada = await edge.guest()
            assert await asyncio.to_thread(receiver.is_asked.wait, 60)
            await ada.room()
            assert receiver.got == []
        # who waited for the collector, there or here, would have waited until it had answered
        assert receiver.got == []
        receiver.answers.set()
        await asyncio.get_running_loop().shutdown_default_executor()


@pytest.mark.usefixtures("_told_to_the_end")
async def test_an_error_is_told_with_ids_and_without_secrets(tmp_path: Path, empty_database: Path) -> None:
    """M10: once, with the request's id; tokens are taken out, local variables are not there."""
    token = "eyJhbGciOi.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    with Receiver() as receiver:
        dsn = f"http://key@127.0.0.1:{receiver.port}/1"
        configure_logs(Settings(data_dir=tmp_path, log_format="json"))
        try:
            async with open_edge(tmp_path, empty_database, sentry_dsn=dsn):
                structlog.contextvars.bind_contextvars(request_id="req-1", room_id="r-1")
                local_secret = "-".join(["s3cr3t", "local"])
                try:
                    raise RuntimeError(f"it failed for {token}")
                except RuntimeError:
                    structlog.get_logger("kanvas.test").exception("unhandled error")
                logging.getLogger("kanvas.test").error("without an exception")
                assert local_secret
        finally:
            structlog.contextvars.clear_contextvars()
            structlog.reset_defaults()
            logging.getLogger().handlers = []
    events = [
        json.loads(line) for _, body in receiver.got for line in body.split(b"\n") if b'"exception"' in line
    ]
    [event] = events
    assert event["exception"]["values"][-1]["type"] == "RuntimeError"
    assert (event["tags"]["request_id"], event["tags"]["room_id"]) == ("req-1", "r-1")
    assert b"s3cr3t-local" not in receiver.everything()
    assert token.encode() not in receiver.everything()


async def test_without_settings_nothing_of_it_is_there(tmp_path: Path, empty_database: Path) -> None:
    """M10: the libraries are not even imported."""
    async with open_edge(tmp_path, empty_database) as edge:
        assert isinstance(edge.services.tracer, NoTracer)
        assert edge.services.tally.on_commit is None
        await Peer(Principal("u", "U")).connect(edge.services.hub, (await (await edge.guest()).room())["id"])
    program = (
        "import sys, server.app, server.serve;"
        " print([one for one in ('opentelemetry', 'sentry_sdk', 'prometheus_client') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
