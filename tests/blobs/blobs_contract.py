"""What every adapter of the port for blobs does: one suite, inherited by `test_files.py` and `test_s3.py`.

A subclass gives the fixture `rig`: the blobs and a client that reaches their signed addresses.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx2
import pytest

from server.blobs.base import MIN_PART_BYTES, Blobs, Part, Signed
from server.blobs.errors import BadKey, BlobExists, BlobMismatch, BlobNotFound
from server.blobs.trial import ask, read_whole, try_blobs

PNG = b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(1000)
KEY = "images/ada/01arz3ndektsv4rrffq69g5fav-photo.png"
LEGACY = "some-room/" + "0a" * 32
BAD_KEYS = (
    *("", "/", "/etc/passwd", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/./b", "..\\a"),
    *("a\\b", "C:\\a", "a:b", "a\0b", "a\nb", "a b", "ä", "a%2fb", "~root", ".parts/x", "a/.hidden", "a."),
    *("a" * 201, "a/" * 400 + "a", "a\n", "a?b", "a#b", "a*b"),
)
DEVICES = ("con", "images/NUL", "images/aux.png", "lpt1/a", "a/COM9.tar.gz")


@dataclass(frozen=True, slots=True)
class Rig:
    """One adapter, ready."""

    blobs: Blobs
    http: httpx2.AsyncClient


async def pieces(data: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    """Bytes as they come from a client."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def put(blobs: Blobs, key: str = KEY, data: bytes = PNG, **more: Any) -> None:
    await blobs.put(key, pieces(data), **{"size_bytes": len(data), "content_type": "image/png"} | more)


async def keys(blobs: Blobs, prefix: str = "") -> list[str]:
    return sorted([one.key async for one in blobs.list(prefix)])


def altered(signed: Signed, **params: str) -> Signed:
    """The same address with other parameters; "" takes one away."""
    parts = urlsplit(signed.url)
    told = {name: value for name, value in {**dict(parse_qsl(parts.query)), **params}.items() if value}
    return replace(signed, url=urlunsplit(parts._replace(query=urlencode(told))))


class BlobsContract:
    """The tests. Each gets an empty storage."""

    # -- put, find, read ------------------------------------------------------------------------

    @pytest.mark.parametrize("key", [KEY, LEGACY, "a"])
    async def test_what_is_put_is_found_and_read(self, rig: Rig, key: str) -> None:
        blobs = rig.blobs
        assert await blobs.find(key) is None
        await put(blobs, key)
        found = await blobs.find(key)
        assert found is not None
        assert (found.key, found.size_bytes) == (key, len(PNG))
        assert found.content_type in ("image/png", None)
        assert abs(found.stored_at - datetime.now(UTC)) < timedelta(minutes=1)
        assert await read_whole(blobs, key) == PNG
        path = blobs.local_path(key)
        assert path is None or path.read_bytes() == PNG

    async def test_an_empty_blob_is_a_blob(self, rig: Rig) -> None:
        await put(rig.blobs, data=b"")
        found = await rig.blobs.find(KEY)
        assert found is not None
        assert found.size_bytes == 0
        assert await read_whole(rig.blobs, KEY) == b""

    async def test_a_large_blob_comes_back_as_it_was_in_pieces_of_any_size(self, rig: Rig) -> None:
        data = random.Random(2).randbytes(3_000_001)
        await rig.blobs.put(KEY, pieces(data, 99_991), size_bytes=len(data), content_type="video/mp4")
        assert await read_whole(rig.blobs, KEY) == data

    @pytest.mark.parametrize(
        ("start", "end"), [(0, 1), (1, 3), (0, None), (1000, None), (1007, 2000), (7, 7)]
    )
    async def test_ranges(self, rig: Rig, start: int, end: int | None) -> None:
        await put(rig.blobs)
        assert await read_whole(rig.blobs, KEY, start, end) == PNG[start:end]

    async def test_a_range_behind_the_end_is_empty(self, rig: Rig) -> None:
        await put(rig.blobs)
        assert await read_whole(rig.blobs, KEY, len(PNG), len(PNG) + 5) == b""

    async def test_what_is_not_there_is_said_before_the_first_chunk(self, rig: Rig) -> None:
        with pytest.raises(BlobNotFound):
            await read_whole(rig.blobs, KEY)

    async def test_a_reader_may_stop(self, rig: Rig) -> None:
        data = bytes(2_000_000)
        await put(rig.blobs, data=data)
        async with aclosing(rig.blobs.read(KEY)) as chunks:
            assert len(await anext(chunks)) > 0
        assert await read_whole(rig.blobs, KEY, 1_999_999) == b"\0"

    # -- what must not be stored ----------------------------------------------------------------

    async def test_nothing_is_overwritten(self, rig: Rig) -> None:
        await put(rig.blobs)
        with pytest.raises(BlobExists):
            await put(rig.blobs, data=b"other")
        assert await read_whole(rig.blobs, KEY) == PNG

    async def test_of_many_that_put_one_key_exactly_one_does(self, rig: Rig) -> None:
        bodies = [bytes([number]) * 300_000 for number in range(8)]
        results = await asyncio.gather(
            *(put(rig.blobs, data=body) for body in bodies), return_exceptions=True
        )
        won = [number for number, result in enumerate(results) if result is None]
        assert len(won) == 1
        assert [type(one) for one in results if one is not None] == [BlobExists] * 7
        assert await read_whole(rig.blobs, KEY) == bodies[won[0]]

    @pytest.mark.parametrize("size_bytes", [0, 1, len(PNG) - 1, len(PNG) + 1, 10_000_000])
    async def test_another_length_than_announced_stores_nothing(self, rig: Rig, size_bytes: int) -> None:
        with pytest.raises(BlobMismatch):
            await rig.blobs.put(KEY, pieces(PNG, 100), size_bytes=size_bytes, content_type="image/png")
        assert await rig.blobs.find(KEY) is None
        assert await keys(rig.blobs) == []

    @pytest.mark.parametrize("after", [0, 3, 20])
    async def test_a_source_that_fails_even_after_its_end_stores_nothing(self, rig: Rig, after: int) -> None:
        class Broken(Exception):
            pass

        async def failing() -> AsyncIterator[bytes]:
            for _ in range(after):
                yield bytes(50_000)
            raise Broken

        with pytest.raises(Broken):
            await rig.blobs.put(KEY, failing(), size_bytes=1_000_000, content_type="image/png")
        assert await keys(rig.blobs) == []

    async def test_a_put_that_is_cancelled_stores_nothing(self, rig: Rig) -> None:
        reached = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(30):
                yield bytes(50_000)
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(
            rig.blobs.put(KEY, endless(), size_bytes=10_000_000, content_type="image/png")
        )
        await asyncio.wait_for(reached.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await keys(rig.blobs) == []
        await put(rig.blobs)

    async def test_a_put_cancelled_at_any_moment_is_whole_or_not_there(self, rig: Rig) -> None:
        data = bytes(400_000)
        for step in range(12):
            key = f"cancelled/{step}"
            task = asyncio.create_task(put(rig.blobs, key, data))
            await asyncio.sleep(0.0015 * step)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for key in await keys(rig.blobs):
            assert await read_whole(rig.blobs, key) == data

    @pytest.mark.parametrize("key", BAD_KEYS)
    async def test_what_is_no_key_is_refused_by_every_verb(self, rig: Rig, key: str) -> None:
        blobs = rig.blobs
        sign: dict[str, Any] = {"expires_s": 60}
        attempts = [
            put(blobs, key),
            blobs.find(key),
            read_whole(blobs, key),
            blobs.delete([key]),
            blobs.sign_get(key, content_type="image/png", disposition="inline", **sign),
            blobs.sign_put(key, size_bytes=1, content_type="image/png", **sign),
            blobs.start_parts(key, content_type="image/png"),
            blobs.sign_part(key, "01arz3ndektsv4rrffq69g5fav", 1, size_bytes=1, **sign),
            blobs.list_parts(key, "01arz3ndektsv4rrffq69g5fav"),
        ]
        for attempt in attempts:
            with pytest.raises(BadKey):
                await attempt
        with pytest.raises(BadKey):
            blobs.local_path(key)
        if key not in ("", "a/"):
            with pytest.raises(BadKey):
                await keys(blobs, key)

    @pytest.mark.parametrize("key", DEVICES)
    async def test_names_of_devices_are_for_reading_only(self, rig: Rig, key: str) -> None:
        for attempt in (
            put(rig.blobs, key),
            rig.blobs.sign_put(key, size_bytes=1, content_type="image/png", expires_s=60),
            rig.blobs.start_parts(key, content_type="image/png"),
        ):
            with pytest.raises(BadKey):
                await attempt
        assert await rig.blobs.find(key) is None

    # -- delete and list ------------------------------------------------------------------------

    async def test_delete_removes_what_is_there_and_minds_nothing_else(self, rig: Rig) -> None:
        blobs = rig.blobs
        names = [f"images/ada/{number}" for number in range(40)]
        await asyncio.gather(*(put(blobs, key) for key in names))
        await blobs.delete([*names[:30], "images/ada/none", "nobody/none"])
        assert await keys(blobs) == sorted(names[30:])
        await blobs.delete([*names, *names])
        await blobs.delete([])
        assert await keys(blobs) == []
        # the key is free again
        await put(blobs, names[0])

    async def test_a_list_has_what_is_below_a_folder(self, rig: Rig) -> None:
        blobs = rig.blobs
        assert await keys(blobs) == []
        for key in ("images/ada/1", "images/ada/2", "images/ada-2/3", "images/ben/4", "room/5", "images2/6"):
            await put(blobs, key)
        assert await keys(blobs, "images/ada/") == ["images/ada/1", "images/ada/2"]
        assert await keys(blobs, "images/") == [
            "images/ada-2/3",
            "images/ada/1",
            "images/ada/2",
            "images/ben/4",
        ]
        assert len(await keys(blobs)) == 6
        assert await keys(blobs, "nobody/") == []
        listed = [one async for one in blobs.list("room/")]
        assert (listed[0].size_bytes, listed[0].content_type) == (len(PNG), None)

    # -- signed addresses -----------------------------------------------------------------------

    async def sign(self, rig: Rig, key: str = KEY, data: bytes = PNG, expires_s: int = 60) -> Signed:
        return await rig.blobs.sign_put(
            key, size_bytes=len(data), content_type="image/png", expires_s=expires_s
        )

    async def test_a_signed_put_stores_exactly_once(self, rig: Rig) -> None:
        signed = await self.sign(rig)
        assert signed.method == "PUT"
        assert {name.lower() for name in signed.headers} == {"content-type", "if-none-match"}
        assert timedelta(seconds=50) < signed.expires_at - datetime.now(UTC) <= timedelta(seconds=60)
        answer = await ask(rig.http, signed, PNG)
        assert answer.is_success, answer.text
        assert await read_whole(rig.blobs, KEY) == PNG
        again = await ask(rig.http, signed, PNG)
        assert again.status_code == 412
        assert await read_whole(rig.blobs, KEY) == PNG

    async def test_a_signed_put_with_anything_changed_stores_nothing(self, rig: Rig) -> None:
        signed = await self.sign(rig)

        def told(**headers: str | None) -> Signed:
            kept = {
                **signed.headers,
                **{name.replace("_", "-").title(): value for name, value in headers.items()},
            }
            return replace(signed, headers={name: value for name, value in kept.items() if value is not None})

        query = dict(parse_qsl(urlsplit(signed.url).query))
        name = next(one for one in query if one.lower().endswith("signature"))
        turned = ("0" if query[name][0] != "0" else "1") + query[name][1:]
        attempts = [
            (signed, PNG + b"!"),
            (signed, PNG[:-1]),
            (signed, b""),
            (told(content_type="text/html"), PNG),
            (told(if_none_match=None), PNG),
            (altered(signed, **{name: turned}), PNG),
            (altered(signed, **{name: ""}), PNG),
            (replace(signed, url=signed.url.replace("photo", "other")), PNG),
            (replace(signed, url=signed.url.replace("images/ada", "images/ben")), PNG),
            *((altered(signed, **{one: query[one] + "0"}), PNG) for one in query),
            *((altered(signed, **{one: ""}), PNG) for one in query),
        ]
        for changed, body in attempts:
            answer = await ask(rig.http, changed, body)
            assert 400 <= answer.status_code < 500, (changed, answer.text)
        assert await keys(rig.blobs) == []
        for method in ("GET", "POST", "DELETE"):
            answer = await rig.http.request(method, signed.url, headers=dict(signed.headers), content=PNG)
            assert 400 <= answer.status_code <= 501, (method, answer.text)
        assert await keys(rig.blobs) == []
        assert (await ask(rig.http, signed, PNG)).is_success

    async def test_a_signed_put_of_unknown_length_stores_nothing(self, rig: Rig) -> None:
        signed = await self.sign(rig)
        answer = await rig.http.put(signed.url, headers=dict(signed.headers), content=pieces(PNG))
        assert 400 <= answer.status_code < 500
        assert await keys(rig.blobs) == []

    async def test_a_signed_get_answers_as_it_was_signed(self, rig: Rig) -> None:
        await put(rig.blobs)
        disposition = "attachment; filename=\"a b.pdf\"; filename*=UTF-8''%C3%A4.pdf"
        signed = await rig.blobs.sign_get(
            KEY, content_type="application/pdf", disposition=disposition, expires_s=60
        )
        assert (signed.method, dict(signed.headers)) == ("GET", {})
        answer = await ask(rig.http, signed)
        assert (answer.status_code, answer.content) == (200, PNG)
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["content-disposition"] == disposition
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        ranged = await rig.http.get(signed.url, headers={"Range": "bytes=2-5"})
        assert (ranged.status_code, ranged.content) == (206, PNG[2:6])
        known = await rig.http.get(signed.url, headers={"If-None-Match": answer.headers["etag"]})
        assert known.status_code == 304

    async def test_a_signed_get_with_anything_changed_reads_nothing(self, rig: Rig) -> None:
        await put(rig.blobs)
        await put(rig.blobs, "images/ben/secret", b"secret")
        signed = await rig.blobs.sign_get(KEY, content_type="image/png", disposition="inline", expires_s=60)
        query = dict(parse_qsl(urlsplit(signed.url).query))
        attempts = [
            replace(signed, url=signed.url.replace(KEY, "images/ben/secret")),
            *(altered(signed, **{one: query[one] + "0"}) for one in query),
            *(altered(signed, **{one: ""}) for one in query),
        ]
        for changed in attempts:
            answer = await ask(rig.http, changed)
            assert 400 <= answer.status_code < 500, (changed.url, answer.text)
        put_with_it = await rig.http.put(signed.url, content=PNG)
        assert 400 <= put_with_it.status_code < 500
        await rig.blobs.delete([KEY])
        assert (await ask(rig.http, signed)).status_code == 404

    @pytest.mark.parametrize("expires_s", [0, -1, 7 * 86_400 + 1])
    async def test_nothing_is_signed_for_ever(self, rig: Rig, expires_s: int) -> None:
        with pytest.raises(ValueError, match="signed for"):
            await self.sign(rig, expires_s=expires_s)

    # -- uploads in parts -----------------------------------------------------------------------

    async def send_part(self, rig: Rig, parts_id: str, number: int, body: bytes) -> None:
        signed = await rig.blobs.sign_part(KEY, parts_id, number, size_bytes=len(body), expires_s=60)
        answer = await ask(rig.http, signed, body)
        assert answer.is_success, answer.text

    async def test_parts_become_one_blob(self, rig: Rig) -> None:
        blobs = rig.blobs
        bodies = [bytes([number]) * MIN_PART_BYTES for number in (1, 2)] + [b"end"]
        parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
        assert await blobs.list_parts(KEY, parts_id) == []
        # in any order, and one of them twice
        await self.send_part(rig, parts_id, 3, b"end")
        for number in (2, 3, 1):
            await self.send_part(rig, parts_id, number, bodies[number - 1])
        assert await blobs.find(KEY) is None
        assert await keys(blobs) == []
        parts = await blobs.list_parts(KEY, parts_id)
        assert [(one.number, one.size_bytes) for one in parts] == [
            (1, MIN_PART_BYTES),
            (2, MIN_PART_BYTES),
            (3, 3),
        ]
        started = [one async for one in blobs.list_started()]
        assert [(one.key, one.parts_id) for one in started] == [(KEY, parts_id)]
        assert abs(started[0].started_at - datetime.now(UTC)) < timedelta(minutes=1)
        await blobs.finish_parts(KEY, parts_id, parts)
        assert await read_whole(blobs, KEY) == b"".join(bodies)
        assert [one async for one in blobs.list_started()] == []
        # over is over: to finish again is told in one way or the other, and changes nothing
        with pytest.raises((BlobNotFound, BlobExists)):
            await blobs.finish_parts(KEY, parts_id, parts)
        await blobs.abort_parts(KEY, parts_id)
        assert await keys(blobs) == [KEY]

    async def test_parts_that_are_not_what_was_said_make_nothing(self, rig: Rig) -> None:
        blobs = rig.blobs
        parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
        await self.send_part(rig, parts_id, 1, bytes(MIN_PART_BYTES))
        await self.send_part(rig, parts_id, 2, b"two")
        await self.send_part(rig, parts_id, 3, bytes(MIN_PART_BYTES + 1))
        one, two, three = await blobs.list_parts(KEY, parts_id)
        wrong: list[list[Part]] = [
            [],
            [two],
            [two, one],
            [one, one],
            [one, two, three],
            [one, three],
            [one, replace(three, number=2)],
            [one, two, replace(two, number=4)],
            [one, replace(two, size_bytes=4)],
            [replace(one, etag='"00000000000000000000000000000000"'), two],
        ]
        for parts in wrong:
            with pytest.raises(BlobMismatch):
                await blobs.finish_parts(KEY, parts_id, parts)
        assert await keys(blobs) == []

    async def test_parts_do_not_overwrite(self, rig: Rig) -> None:
        blobs = rig.blobs
        parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
        await self.send_part(rig, parts_id, 1, b"one")
        await put(blobs)
        with pytest.raises(BlobExists):
            await blobs.finish_parts(KEY, parts_id, await blobs.list_parts(KEY, parts_id))
        assert await read_whole(blobs, KEY) == PNG

    async def test_a_signed_part_with_anything_changed_stores_nothing(self, rig: Rig) -> None:
        blobs = rig.blobs
        parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
        other_id = await blobs.start_parts("images/ben/other", content_type="video/mp4")
        signed = await blobs.sign_part(KEY, parts_id, 1, size_bytes=3, expires_s=60)
        query = dict(parse_qsl(urlsplit(signed.url).query))
        number = next(one for one in query if one in ("part", "partNumber"))
        upload = next(one for one in query if one in ("upload", "uploadId"))
        for changed, body in [
            (signed, b"four"),
            (signed, b"ab"),
            (altered(signed, **{number: "2"}), b"abc"),
            (altered(signed, **{upload: other_id}), b"abc"),
            (replace(signed, url=signed.url.replace(KEY, "images/ben/other")), b"abc"),
        ]:
            answer = await ask(rig.http, changed, body)
            assert 400 <= answer.status_code < 500, answer.text
        assert await blobs.list_parts(KEY, parts_id) == []
        assert await blobs.list_parts("images/ben/other", other_id) == []

    async def test_an_aborted_upload_is_forgotten(self, rig: Rig) -> None:
        blobs = rig.blobs
        parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
        await self.send_part(rig, parts_id, 1, b"one")
        signed = await blobs.sign_part(KEY, parts_id, 2, size_bytes=3, expires_s=60)
        await blobs.abort_parts(KEY, parts_id)
        await blobs.abort_parts(KEY, parts_id)
        await blobs.abort_parts(KEY, "01arz3ndektsv4rrffq69g5fav")
        assert [one async for one in blobs.list_started()] == []
        with pytest.raises(BlobNotFound):
            await blobs.list_parts(KEY, parts_id)
        assert (await ask(rig.http, signed, b"two")).status_code == 404
        assert await keys(blobs) == []

    async def test_many_parts_at_once(self, rig: Rig) -> None:
        blobs = rig.blobs
        parts_id = await blobs.start_parts(KEY, content_type="video/mp4")
        await asyncio.gather(*(self.send_part(rig, parts_id, number, b"x") for number in range(1, 31)))
        assert [one.number for one in await blobs.list_parts(KEY, parts_id)] == list(range(1, 31))

    # -- trials ---------------------------------------------------------------------------------

    async def test_its_own_trials_pass_and_leave_nothing_while_addresses_expire(self, rig: Rig) -> None:
        blobs = rig.blobs
        await put(blobs, "there")
        signed = [
            await self.sign(rig, expires_s=2),
            await blobs.sign_get("there", content_type="image/png", disposition="inline", expires_s=2),
            await blobs.sign_part(
                KEY, await blobs.start_parts(KEY, content_type="video/mp4"), 1, size_bytes=3, expires_s=2
            ),
        ]
        await blobs.check()
        # they wait for an expiry of their own
        lines = await try_blobs(blobs, rig.http)
        assert [(line.part, line.told) for line in lines if not line.passed] == []
        assert len(lines) == 8
        for one, body in zip(signed, (PNG, None, b"one"), strict=True):
            answer = await ask(rig.http, one, body)
            assert answer.status_code == 403, answer.text
        assert await keys(blobs) == ["there"]
        started = [one async for one in blobs.list_started()]
        assert [one.key for one in started] == [KEY]
        assert await blobs.list_parts(KEY, started[0].parts_id) == []
