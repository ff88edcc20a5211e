"""Signed addresses of the whole application: what comes in, what goes out, what is refused and how."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from server import patience
from server.assets.names import make_disposition
from server.blobs.base import Signed
from server.blobs.trial import ask, read_whole
from tests.blobs.blobs_contract import PNG, altered, keys, pieces, put
from tests.server.edge import Edge, open_edge

PDF = "application/pdf"
KEY = "trial/01arz3ndektsv4rrffq69g5fav-photo.png"
"""Below images/ there has to be an upload."""


@pytest.fixture
async def edge(tmp_path: Path, empty_database: Path) -> AsyncIterator[Edge]:
    async with open_edge(tmp_path, empty_database) as edge:
        yield edge


async def sign_put(edge: Edge, data: bytes = PNG) -> Signed:
    return await edge.services.blobs.sign_put(
        KEY, size_bytes=len(data), content_type="image/png", expires_s=60
    )


async def sign_get(edge: Edge, kind: str = "image/png") -> Signed:
    return await edge.services.blobs.sign_get(KEY, content_type=kind, disposition="inline", expires_s=60)


def told(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_what_is_stored_at_a_signed_address_is_read_at_another(edge: Edge) -> None:
    # nobody signs in
    stored = await ask(edge.http, await sign_put(edge), PNG)
    assert (stored.status_code, stored.content) == (201, b"")
    assert await read_whole(edge.services.blobs, KEY) == PNG
    answer = await ask(edge.http, await sign_get(edge))
    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "inline"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]


async def test_every_refusal_says_why(edge: Edge) -> None:
    signed = await sign_put(edge)

    def without(name: str) -> Signed:
        return replace(signed, headers={one: value for one, value in signed.headers.items() if one != name})

    typed = replace(signed, headers={**signed.headers, "Content-Type": "text/html"})
    for changed, body, expected in [
        (signed, PNG + b"!", (413, "too_large")),
        (signed, PNG[:-1], (422, "blob_mismatch")),
        (typed, PNG, (415, "blob_type_refused")),
        (without("Content-Type"), PNG, (415, "blob_type_refused")),
        (without("If-None-Match"), PNG, (428, "if_none_match_missing")),
        (altered(signed, size="9999"), PNG, (403, "blob_url_refused")),
        (altered(signed, expires="99999999999"), PNG, (403, "blob_url_refused")),
        (altered(signed, signature=""), PNG, (422, "invalid")),
        (altered(signed, more="1"), PNG, (422, "invalid")),
        (replace(signed, url=signed.url.replace(KEY, "images/../secret")), PNG, (403, "blob_url_refused")),
        (replace(signed, url=signed.url.replace(KEY, "%2e%2e/secret")), PNG, (404, "blob_not_found")),
        (replace(signed, url=signed.url.replace(KEY, "a%00b")), PNG, (404, "blob_not_found")),
    ]:
        assert told(await ask(edge.http, changed, body)) == expected, changed
    chunked = await edge.http.put(signed.url, headers=dict(signed.headers), content=pieces(PNG))
    assert told(chunked) == (411, "length_missing")
    assert told(await edge.http.post(signed.url, content=PNG)) == (405, "method_not_allowed")
    assert await keys(edge.services.blobs) == []
    assert (await ask(edge.http, signed, PNG)).status_code == 201
    assert told(await ask(edge.http, signed, PNG)) == (412, "blob_exists")
    assert told(await ask(edge.http, replace(signed, method="GET"))) == (403, "blob_url_refused")


async def test_a_body_that_is_longer_or_shorter_than_it_says_stores_nothing(edge: Edge) -> None:
    signed = await sign_put(edge)
    for body in (PNG + b"!", PNG[:-1]):
        headers = {**signed.headers, "Content-Length": str(len(PNG))}
        answer = await edge.http.put(signed.url, headers=headers, content=pieces(body))
        assert answer.status_code in (413, 422)
    assert await keys(edge.services.blobs) == []


async def test_ranges_of_a_blob(edge: Edge) -> None:
    await put(edge.services.blobs, KEY)
    url = (await sign_get(edge, PDF)).url

    async def get(**headers: str) -> httpx2.Response:
        return await edge.http.get(
            url, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    whole = await get()
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    # compressed, a range of it would be other bytes
    assert "content-encoding" not in whole.headers
    assert whole.headers["content-length"] == str(len(PNG))
    etag = whole.headers["etag"]
    part = await get(Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, PNG[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(PNG)}"
    assert part.headers["content-length"] == "10"
    assert part.headers["etag"] == etag
    assert (await get(Range="bytes=-5")).content == PNG[-5:]
    assert (await get(Range="bytes=0-1,4-5")).status_code == 200
    assert (await get(Range="bytes=10-19", If_Range=etag)).status_code == 206
    assert (await get(Range="bytes=10-19", If_Range='"other"')).content == PNG
    beyond = await get(Range=f"bytes={len(PNG)}-")
    assert told(beyond) == (416, "range_refused")
    assert beyond.headers["content-range"] == f"bytes */{len(PNG)}"
    known = await get(If_None_Match=f'"a", {etag}', Range="bytes=0-1")
    assert (known.status_code, known.content) == (304, b"")
    head = await edge.http.head(url, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(PNG))
    assert head.headers["content-type"] == PDF


async def test_an_empty_blob_is_an_answer(edge: Edge) -> None:
    await put(edge.services.blobs, KEY, b"")
    answer = await ask(edge.http, await sign_get(edge))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


async def test_what_fails_before_the_first_byte_is_still_an_answer(edge: Edge, tmp_path: Path) -> None:
    await put(edge.services.blobs, KEY)
    signed = await sign_get(edge)
    path = tmp_path / "blobs" / KEY
    path.unlink()
    path.mkdir()
    assert told(await ask(edge.http, signed)) == (404, "blob_not_found")


async def test_parts_have_exactly_their_length(edge: Edge) -> None:
    blobs = edge.services.blobs
    parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
    signed = await blobs.sign_part(KEY, parts_id, 1, size_bytes=3, expires_s=60)
    assert told(await ask(edge.http, signed, b"four")) == (413, "too_large")
    assert told(await ask(edge.http, signed, b"ab")) == (422, "blob_mismatch")
    assert (await ask(edge.http, signed, b"one")).status_code == 201
    await blobs.finish_parts(KEY, parts_id, await blobs.list_parts(KEY, parts_id))
    assert told(await ask(edge.http, signed, b"one")) == (404, "blob_not_found")


async def test_a_sender_that_stops_is_given_up_and_leaves_nothing(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed = await sign_put(edge)

    async def stops() -> AsyncIterator[bytes]:
        yield PNG[:-1]
        await asyncio.sleep(60)

    headers = {**signed.headers, "Content-Length": str(len(PNG))}
    with monkeypatch.context() as patch:
        patch.setattr(patience, "WINDOW_S", 0.2)
        answer = await asyncio.wait_for(edge.http.put(signed.url, headers=headers, content=stops()), 50)
    assert told(answer) == (408, "upload_stalled")
    assert list((tmp_path / "blobs" / ".incoming").iterdir()) == []
    assert (await ask(edge.http, signed, PNG)).status_code == 201


async def test_one_address_takes_one_sender_at_a_time(edge: Edge, tmp_path: Path) -> None:
    """Or each of a thousand would fill the disk with as many bytes as the address is for."""
    blobs = edge.services.blobs
    parts_id = await blobs.start_parts(KEY, content_type="image/png")
    part = await blobs.sign_part(KEY, parts_id, 1, size_bytes=len(PNG), expires_s=60)
    for signed in (await sign_put(edge), part):
        has_begun, goes_on = asyncio.Event(), asyncio.Event()

        async def waits(
            has_begun: asyncio.Event = has_begun, goes_on: asyncio.Event = goes_on
        ) -> AsyncIterator[bytes]:
            yield PNG[:-1]
            has_begun.set()
            await goes_on.wait()
            yield PNG[-1:]

        headers = {**signed.headers, "Content-Length": str(len(PNG))}
        first = asyncio.create_task(edge.http.put(signed.url, headers=headers, content=waits()))
        await has_begun.wait()
        assert told(await ask(edge.http, signed, PNG)) == (503, "busy")
        assert len(list((tmp_path / "blobs" / ".incoming").iterdir())) == 1
        goes_on.set()
        assert (await first).status_code == 201


async def test_the_longest_name_fits_into_an_address(edge: Edge) -> None:
    await put(edge.services.blobs, KEY)
    disposition = make_disposition("\U0001f5ff" * 196 + ".png", is_inline=True)
    signed = await edge.services.blobs.sign_get(
        KEY, content_type="image/png", disposition=disposition, expires_s=60
    )
    answer = await ask(edge.http, signed)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"] == disposition


async def test_permissions_do_not_get_into_the_log(edge: Edge, capsys: pytest.CaptureFixture[str]) -> None:
    signed = await sign_put(edge)
    await ask(edge.http, signed, PNG)
    written = capsys.readouterr()
    assert f"/blobs/{KEY}" in written.out + written.err
    assert "signature=" not in written.out + written.err


async def test_with_a_bucket_there_is_nothing_here_and_pages_may_use_it(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    url = "s3://bucket/prefix?endpoint=http://127.0.0.1:9&public_endpoint=https://images.example.org"
    async with open_edge(tmp_path, empty_database, blobs_url=url) as edge:
        policy = (await edge.http.get("/healthz")).headers["content-security-policy"]
        for name in ("connect-src 'self'", "img-src 'self' data: blob:", "media-src 'self'"):
            assert f"{name} https://images.example.org;" in f"{policy};"
        signed = await sign_put(edge)
        assert signed.url.startswith("https://images.example.org/bucket/prefix/trial/")
        ours = f"/blobs/{KEY}?signature={'0' * 64}&expires=99999999999"
        assert told(await edge.http.get(ours)) == (404, "blob_not_found")
