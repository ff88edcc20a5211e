"""Errors: one shape for all, and nothing a client sends is the server's fault."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from db.database import Database
from server.middleware import LastNet, RequestContext, SecurityHeaders
from tests.server.edge import HOST, ROOMS, Edge, field_names, open_edge

GUEST = "/api/v1/auth/guest"
JSON = {"Content-Type": "application/json"}


def check_shape(answer: httpx2.Response, code: str) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["status"] == answer.status_code
    assert told["code"] == code
    assert told["type"] == f"urn:kanvas:problem:{code}"
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["title"]
    assert told["detail"].endswith(".")
    return told


@pytest.mark.parametrize("path", ["/nope", "/api/v1/nope", "/api/v1/rooms/", "/r/a/b", "/static/x.js", "//"])
async def test_what_is_not_there(tmp_path: Path, empty_database: Path, path: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        for method in ("GET", "POST", "DELETE"):
            answer = await edge.http.request(method, HOST + path)
            assert answer.status_code == 404
            check_shape(answer, "not_found")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (ROOMS, "GET, HEAD, POST"),
        (f"{ROOMS}/abc", "DELETE, GET, HEAD, PATCH"),
        (f"{ROOMS}/abc/restore", "POST"),
        (f"{ROOMS}/abc/assets/{'0' * 64}", "DELETE, GET, HEAD, PUT"),
        (f"{ROOMS}/abc/assets/import", "POST"),
        ("/api/v1/me", "GET, HEAD, PATCH"),
        (GUEST, "POST"),
        ("/healthz", "GET, HEAD"),
        ("/parties/abc", "GET, HEAD, POST"),
        ("/", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_all_right_ones(
    tmp_path: Path, empty_database: Path, path: str, allowed: str
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        for method in ("TRACE", "OPTIONS", "PROPFIND"):
            answer = await edge.http.request(method, path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == allowed
            check_shape(answer, "method_not_allowed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null x",
        b"\xff\xfe{}",
        b'{"name":"\xff"}',
        b'{"name":"\\ud800"}',
        b"[" * 10_000,
        b'{"name":' + b"9" * 10_000 + b"}",
        b'\xef\xbb\xbf{"name":"Ada"}',
        "{}".encode("utf-16"),
    ],
)
async def test_what_is_no_json(tmp_path: Path, empty_database: Path, body: bytes) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.post(GUEST, content=body, headers=JSON)
        assert answer.status_code == 400
        assert "JSON" in check_shape(answer, "bad_request")["detail"]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (b"[]", [""]),
        (b"null", [""]),
        (b"7", [""]),
        (b"{}", ["/name"]),
        (b'{"name":null}', ["/name"]),
        (b'{"name":7}', ["/name"]),
        (b'{"name":["Ada"]}', ["/name"]),
        (b'{"name":"Ada\\u0000"}', ["/name"]),
        (b'{"name":"Ada","admin":true}', ["/admin"]),
        (b'{"name":"Ada","a/b~c":1}', ["/a~1b~0c"]),
    ],
)
async def test_what_is_wrong_json(
    tmp_path: Path, empty_database: Path, body: bytes, wrong: list[str]
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.post(GUEST, content=body, headers=JSON)
        assert field_names(answer) == wrong
        check_shape(answer, "invalid")


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_another_content_type(tmp_path: Path, empty_database: Path, kind: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.post(GUEST, content=b'{"name":"Ada"}', headers={"Content-Type": kind})
        assert answer.status_code == 415
        check_shape(answer, "unsupported_media_type")


async def test_a_charset_is_fine(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        headers = {"Content-Type": "Application/JSON; charset=utf-8"}
        assert (await edge.http.post(GUEST, content=b'{"name":"Ada"}', headers=headers)).status_code == 201


async def test_a_body_that_is_too_large(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.post(GUEST, json={"name": "x" * 100_000})
        assert answer.status_code == 413
        check_shape(answer, "too_large")


async def test_a_body_nobody_asked_for(tmp_path: Path, empty_database: Path) -> None:
    """V7: refused by its first bytes, however many would come; none at all is fine, and one of a GET."""
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 100:
            given += 1
            yield b"x" * 1000

    async def nothing() -> AsyncIterator[bytes]:
        yield b""

    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        room = f"/api/v1/rooms/{(await ada.room())['id']}"
        for method, path in (("POST", f"{room}/restore"), ("DELETE", room), ("POST", "/api/v1/auth/refresh")):
            for body in (b"{}", b" ", b"null", b"x" * 100_000):
                answer = await ada.ask(method, path, JSON, content=body)
                assert field_names(answer) == [""]
                told = check_shape(answer, "invalid")["errors"][0]
                assert told["message"] == "This address takes no body."
        assert field_names(await ada.ask("DELETE", room, content=endless())) == [""]
        assert given <= 2
        assert (await ada.ask("GET", room, JSON, content=b"{}")).status_code == 200
        assert (await ada.ask("DELETE", room, JSON, content=b"")).status_code == 204
        assert (await ada.ask("POST", f"{room}/restore", content=nothing())).status_code == 200


async def test_a_query_nobody_asked_for(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        for path in ("/healthz?x=1", "/api/v1/config?verbose=&verbose="):
            answer = await edge.http.get(path)
            assert set(field_names(answer)) <= {"x", "verbose"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-1.2:3_4", True), ("a b", False), ("x" * 65, False), ("", False), ('"><script>', False)],
)
async def test_a_sane_request_id_is_kept(
    tmp_path: Path, empty_database: Path, given: str, kept: bool
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        answer = await edge.http.get("/nope", headers={"X-Request-ID": given})
        assert (answer.headers["x-request-id"] == given) is kept
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_every_answer_carries_the_security_headers(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        for path in ("/nope", "/healthz", "/api/v1/docs", "/"):
            headers = (await edge.http.get(path)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; ")
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"


async def test_a_database_that_is_gone_is_unavailable(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        await close_database(edge.services.database)
        for method, path in [("GET", ROOMS), ("GET", f"{ROOMS}/abc")]:
            answer = await ada.ask(method, path)
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            check_shape(answer, "unavailable")
        ready = await edge.http.get("/readyz")
        assert ready.status_code == 503
        assert "database" in check_shape(ready, "not_ready")["detail"]


async def close_database(database: Database) -> None:
    """The way the database ends with the process; what asks it afterwards is told."""
    await database.close()  # type: ignore[attr-defined]


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("a secret detail")


async def broken_half_way(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError


async def test_a_bug_is_a_500_without_details() -> None:
    app = RequestContext(SecurityHeaders(LastNet(broken)))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=HOST) as http:
        answer = await http.get("/x?token=hush")
    assert answer.status_code == 500
    check_shape(answer, "internal")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "content-security-policy" in answer.headers


async def test_a_bug_after_the_first_byte_adds_nothing_to_the_answer() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": []}
    await RequestContext(LastNet(broken_half_way))(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_an_answer_is_compressed_when_it_pays(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        document = await edge.http.get("/api/v1/openapi.json", headers={"Accept-Encoding": "gzip"})
        assert document.headers["content-encoding"] == "gzip"
        assert json.loads(document.content)["openapi"] == "3.1.0"
        plain = await edge.http.get("/api/v1/openapi.json", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        small = await edge.http.get("/healthz", headers={"Accept-Encoding": "gzip"})
        assert "content-encoding" not in small.headers


async def test_head_is_get_without_a_body(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        await check_head(edge, "/healthz")
        await check_head(edge, "/api/v1/config")
        await check_head(edge, "/api/v1/docs")


async def check_head(edge: Edge, path: str) -> None:
    got, head = await edge.http.get(path), await edge.http.head(path)
    assert head.status_code == got.status_code
    for name in ("content-length", "content-type", "cache-control"):
        assert head.headers.get(name) == got.headers.get(name)
