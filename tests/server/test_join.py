"""Joins over HTTP: the base as it lies in memory, compressed once, the same copy for everybody."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc

from party.errors import RoomMoved
from server.packs import SLICE_BYTES, open_packs
from server.parties import SIZE
from tests.drawings import drawing
from tests.server.edge import Edge, Person, field_names, open_edge

PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "br, gzip"}


async def drawn(edge: Edge, size_bytes: int = 300_000) -> tuple[Person, str]:
    """Somebody and the address of a room of theirs with a drawing in it."""
    ada = await edge.guest()
    at = f"/parties/{(await ada.room())['id']}"
    for update in drawing(size_bytes):
        await send(ada, at, update)
    # loaded anew, so that all of it is in the base
    await edge.services.hub.evict(at.removeprefix("/parties/"), RoomMoved())
    return ada, at


async def send(person: Person, at: str, update: bytes) -> None:
    sent = await person.ask("POST", at, content=update, headers={"Content-Type": "application/octet-stream"})
    assert sent.status_code == 200, sent.text


def doc_of(*updates: bytes) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    for update in updates:
        doc.apply_update(update)
    return doc


async def test_a_base_and_the_difference_are_the_document(tmp_path: Path, empty_database: Path) -> None:
    """H9, R4: the base may be older than the room; what it lacks is what its state vector says."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await drawn(edge)
        await ada.ask("GET", at)
        late = doc_of(*drawing(20_000, seed=2)).get_update()
        await send(ada, at, late)
        found = await ada.ask("GET", f"{at}/base", headers=PLAIN)
        whole = await ada.ask("GET", at, headers=PLAIN | {"Accept": "application/octet-stream"})
    assert found.headers["content-type"] == "application/octet-stream"
    assert int(found.headers[SIZE]) == len(found.content) == int(found.headers["content-length"])
    assert found.headers["etag"] == 'W/"1-3"'
    assert whole.headers["etag"] == '"1-4"'
    base, full = doc_of(found.content), doc_of(whole.content)
    assert base.get_state() != full.get_state()
    base.apply_update(full.get_update(base.get_state()))
    assert base.get_state() == full.get_state()


async def test_a_base_comes_compressed_and_only_when_it_is_new(tmp_path: Path, empty_database: Path) -> None:
    """H9: the same bytes as without compression; a weak tag for both, and 304 for who has it."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await drawn(edge)
        plain = await ada.ask("GET", f"{at}/base", headers=PLAIN)
        async with ada.http.stream(
            "GET", f"{at}/base", headers=GZIP | {"Authorization": f"Bearer {ada.token}"}
        ) as packed:
            raw = b"".join([part async for part in packed.aiter_raw()])
        again = await ada.ask("GET", f"{at}/base", headers=GZIP | {"If-None-Match": packed.headers["etag"]})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["vary"] == "Accept-Encoding"
        for refused in ("gzip;q=0", "br, gzip; q=0.0", "identity"):
            bare = await ada.ask("GET", f"{at}/base", headers={"Accept-Encoding": refused})
            assert "content-encoding" not in bare.headers
            assert bare.headers.get_list("vary") == ["Accept-Encoding"]
        assert int(packed.headers["content-length"]) == len(raw) < len(plain.content) / 2
        assert int(packed.headers[SIZE]) == len(plain.content)
        assert gzip.decompress(raw) == plain.content
        assert packed.headers["etag"] == plain.headers["etag"]
        assert (again.status_code, again.content) == (304, b"")


async def test_a_base_is_for_whoever_may_enter(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await drawn(edge, 1)
        assert (await edge.http.get(f"{at}/base")).status_code == 401
        assert (await ada.ask("GET", "/parties/nowhere/base")).json()["code"] == "room_not_found"
        assert field_names(await ada.ask("GET", f"{at}/base?since=1")) == ["since"]
        room = at.removeprefix("/parties/")
        assert (await ada.ask("DELETE", f"/api/v1/rooms/{room}")).status_code == 204
        assert (await ada.ask("GET", f"{at}/base")).status_code == 404


async def test_an_empty_room_has_a_base_too(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        found = await ada.ask("GET", f"/parties/{(await ada.room())['id']}/base", headers=GZIP)
    assert (found.content, found.headers["etag"], found.headers[SIZE]) == (b"\x00\x00", 'W/"1-0"', "2")


async def test_a_storm_compresses_once_and_encodes_nothing(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H9: a hundred joins at once, and more later, while the base is the same."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await drawn(edge)
        await ada.ask("GET", f"{at}/base", headers=PLAIN)
        monkeypatch.setattr("party.document.Document.encode", None)
        for _ in range(2):
            answers = await asyncio.gather(*(ada.ask("GET", f"{at}/base", headers=GZIP) for _ in range(50)))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.content for answer in answers}) == 1
        assert edge.services.packs.made == 1


async def test_a_base_is_folded_when_its_tail_has_outgrown_it(tmp_path: Path, empty_database: Path) -> None:
    """H9: after an import nobody edits; a join must not get a small base and a large difference."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        at = f"/parties/{(await ada.room())['id']}"
        await ada.ask("GET", f"{at}/base")
        for update in drawing(300_000):
            await send(ada, at, update)
        async with asyncio.timeout(60):
            while True:
                found = await ada.ask("GET", f"{at}/base", headers=PLAIN)
                if len(found.content) > 200_000:
                    break
                await asyncio.sleep(0.02)


async def test_packs_are_one_object_each_until_the_state_is_another() -> None:
    """H9: no copy per request; one that hangs up takes nothing from the others."""
    first, second = b"a" * 100_000, b"b" * 100_000
    async with open_packs() as packs:
        impatient = asyncio.create_task(packs.gzip("r", first))
        await asyncio.sleep(0)
        impatient.cancel()
        made = await packs.gzip("r", first)
        assert impatient.cancelled()
        assert await packs.gzip("r", first) is made
        assert gzip.decompress(await packs.gzip("r", second)) == second
        assert gzip.decompress(await packs.gzip("other", first)) == first
        assert packs.made == 3
        packs.forget("r")
        await packs.gzip("r", second)
        assert packs.made == 4


async def test_a_base_goes_out_in_slices_of_the_one_buffer(tmp_path: Path, empty_database: Path) -> None:
    """H9: a slow reader holds a slice, not a copy: the next is made when the one before has left."""
    sent: list[dict[str, Any]] = []
    async with open_edge(tmp_path, empty_database) as edge:
        ada, at = await drawn(edge)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "path": f"{at}/base",
            "raw_path": f"{at}/base".encode(),
            "query_string": b"",
            "headers": [(b"host", b"kanvas.test"), (b"authorization", f"Bearer {ada.token}".encode())],
            "server": ("kanvas.test", 80),
            "client": ("127.0.0.1", 1),
            "scheme": "http",
            "root_path": "",
        }

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        await edge.app(scope, receive, send)
        base = (await edge.services.hub.read(at.removeprefix("/parties/"))).base
    slices = [message["body"] for message in sent[1:-1]]
    assert len(slices) > 3
    assert all(isinstance(part, memoryview) and part.obj is base for part in slices)
    assert all(len(part) <= SLICE_BYTES for part in slices)
