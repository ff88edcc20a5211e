"""Logs: one JSON object per line, with ids, without tokens."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from server.logs import REDACTED, configure_logs, redact
from server.settings import Settings
from tests.server.edge import ROOMS, open_edge


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What is logged, as JSON lines; the loggers are put back afterwards."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    root = logging.getLogger()
    before, level = root.handlers, root.level
    configure_logs(Settings(data_dir=tmp_path, log_format="json", log_level="debug"))
    yield stream
    root.handlers, root.level = before, level
    structlog.reset_defaults()


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/parties/a?token=abc&x=1", f"/parties/a?token={REDACTED}&x=1"),
        (
            '"WebSocket /parties/a?x=1&token=abc" [accepted]',
            f'"WebSocket /parties/a?x=1&token={REDACTED}" [accepted]',
        ),
        ("access_token=abc", f"access_token={REDACTED}"),
        ("tok%65n=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", f"tok%65n={REDACTED}"),
        ("kanvas, eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", f"kanvas, {REDACTED}"),
        (
            "connect to postgresql://ada:s3:c@ret@db/k failed",
            f"connect to postgresql://ada:{REDACTED}@db/k failed",
        ),
        ("redis://:s3cret@redis", f"redis://:{REDACTED}@redis"),
        ("http://127.0.0.1:8000/people/@ada", "http://127.0.0.1:8000/people/@ada"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_tokens_are_taken_out(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_nothing_breaks_a_line(lines: io.StringIO) -> None:
    nasty = "a\nb\r\x85\u2028\u2029\x1b[31m\x9b31m"
    structlog.get_logger("kanvas.test").info("request", path=nasty)
    (line,) = read(lines)
    assert line["path"] == nasty
    assert lines.getvalue().rstrip("\n").isprintable()


def test_every_logger_speaks_json_without_tokens(lines: io.StringIO) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln"
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "1.2.3.4", f"/p?token={token}")
    structlog.get_logger("kanvas.test").info("joined", query=f"token={token}", more={"list": [token]})
    try:
        raise ValueError(f"bad token={token}")
    except ValueError:
        logging.getLogger("kanvas.hub").exception("room failed", extra={"room_id": "abc"})
    told = read(lines)
    assert [one["level"] for one in told] == ["info", "info", "error"]
    assert token not in lines.getvalue()
    assert told[2]["room_id"] == "abc"
    assert "Traceback" in told[2]["exception"]
    assert all(one["at"].endswith("Z") for one in told)


async def test_a_request_is_one_line_with_ids(
    tmp_path: Path, empty_database: Path, lines: io.StringIO
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = await ada.room()
        answer = await ada.ask(
            "GET", f"{ROOMS}/{room['id']}?token={ada.token}", headers={"X-Request-ID": "abc"}
        )
        assert answer.status_code == 422
        (line,) = [one for one in read(lines) if one.get("request_id") == "abc" and one["event"] == "request"]
        assert (line["method"], line["status"], line["user_id"]) == ("GET", 422, ada.user_id)
        assert (line["path"], line["room_id"]) == (f"{ROOMS}/{room['id']}", room["id"])
        assert line["query"] == f"token={REDACTED}"
        assert line["took_ms"] >= 0
        assert ada.token not in lines.getvalue()
        # nothing of it sticks to the next request
        await edge.http.get("/healthz", headers={"X-Request-ID": "def"})
        (line,) = [one for one in read(lines) if one.get("request_id") == "def" and one["event"] == "request"]
        assert "user_id" not in line
        assert line["level"] == "debug"
