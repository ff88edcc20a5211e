"""Uploads: announced, sent, completed; repeated, interrupted, refused."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from server.assets import intake, uploads
from server.assets.uploads import MIB, count_parts, measure_part
from server.blobs.base import Part
from tests.server.assets.pictures import SVG, gif, pdf, photo, png, sha256
from tests.server.assets.sending import Sender, code, enter
from tests.server.edge import open_edge


def stored_files(folder: Path) -> list[Path]:
    """Everything below the folder of blobs that is a file, parts and temporary ones too."""
    # os.walk, for a folder may go while it is looked at
    return [Path(at) / name for at, _, names in os.walk(folder / "blobs") for name in names]


async def has_nothing(sender: Sender, folder: Path) -> None:
    """Nothing is listed, and in the end nothing is stored."""
    assert (await sender.person.ask("GET", sender.at)).json() == {"items": [], "next_cursor": None}
    async with asyncio.timeout(120):
        while stored_files(folder):
            await asyncio.sleep(0.02)


async def test_the_key_holds_user_id_and_name_and_is_safe(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png(), filename="Straße 7 (alt).PNG")
        assert asset["filename"] == "Straße 7 (alt).PNG"
        keys = [str(path.relative_to(tmp_path / "blobs")) for path in stored_files(tmp_path)]
        assert f"images/{ada.person.user_id}/{asset['id']}-Strae-7-alt.png" in keys


async def test_an_upload_goes_on_where_it_was(tmp_path: Path, empty_database: Path) -> None:
    data = png(9, 9)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        first = (await ada.announce(data)).json()["upload"]
        second = (await ada.announce(data)).json()["upload"]
        assert first["id"] == second["id"]
        other = (await ada.announce(data + b"x", sha256=sha256(data))).json()["upload"]
        assert other["id"] != first["id"], "not what was announced before"
    # also after the server was away
    async with open_edge(tmp_path, empty_database) as edge:
        ada.edge, ada.person.http = edge, edge.http
        assert (await ada.send(second["request"], data)).is_success
        assert (await ada.complete(first["id"])).status_code == 201


async def test_what_tells_where_a_photo_was_taken_is_gone(tmp_path: Path, empty_database: Path) -> None:
    """A4."""
    data = photo(orientation=6)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(data, "image/jpeg", filename="me.jpg")
        assert (asset["width"], asset["height"]) == (30, 40), "turned as it is looked at"
        assert asset["sha256"] == sha256(data), "the drawing knows it by what was uploaded"
        read = await ada.read(sha256(data))
        assert b"Camera of Ada" in data
        assert b"Camera of Ada" not in read.content
        assert b"Exif" not in read.content
        assert read.headers["etag"] == f'"{sha256(read.content)}"'
        assert asset["size_bytes"] == len(read.content)


async def test_canceled_it_takes_no_more_bytes(tmp_path: Path, empty_database: Path) -> None:
    """Or what counts in no quota any more could be stored all the same, again and again."""
    data = png()
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        upload = (await ada.announce(data)).json()["upload"]
        assert (await ada.person.ask("DELETE", f"{ada.at}/{upload['id']}")).status_code == 204
        assert code(await ada.send(upload["request"], data)) == (404, "blob_not_found")
        await has_nothing(ada, tmp_path)


async def test_canceled_while_it_is_completed(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stored for it in the meantime is removed at once, not by the sweep."""
    data = photo()
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        upload = (await ada.announce(data, "image/jpeg")).json()["upload"]
        assert (await ada.send(upload["request"], data)).is_success
        put = edge.services.blobs.put

        async def put_and_cancel(key: str, source: AsyncIterator[bytes], **more: Any) -> None:
            await put(key, source, **more)
            assert (await ada.person.ask("DELETE", f"{ada.at}/{upload['id']}")).status_code == 204

        monkeypatch.setattr(edge.services.blobs, "put", put_and_cancel)
        assert code(await ada.complete(upload["id"])) == (404, "upload_not_found")
        await has_nothing(ada, tmp_path)


@pytest.mark.parametrize(
    ("sent", "kind", "answer"),
    [
        (png() + b"x", "image/png", (413, "too_large")),
        (png()[:-1], "image/png", (422, "blob_mismatch")),
        (png(color="#204061"), "image/png", (422, "asset_hash_mismatch")),
    ],
    ids=["longer", "shorter", "other"],
)
async def test_other_bytes_than_were_announced(
    tmp_path: Path, empty_database: Path, sent: bytes, kind: str, answer: tuple[int, str]
) -> None:
    """A2."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        upload = (await ada.announce(png(), kind)).json()["upload"]
        refused = await ada.send(upload["request"], sent)
        if not refused.is_error:
            refused = await ada.complete(upload["id"])
        assert code(refused) == answer
        if answer[1] == "asset_hash_mismatch":
            assert code(await ada.complete(upload["id"])) == (404, "upload_not_found")
            await has_nothing(ada, tmp_path)
        else:
            assert code(await ada.complete(upload["id"])) == (409, "upload_incomplete")


BROKEN = {
    "another type": (png(), "image/jpeg", (422, "asset_type_mismatch")),
    "no picture": (b"<html><script>alert(1)</script>", "image/png", (415, "asset_type_refused")),
    "cut off": (photo()[:-200], "image/jpeg", (422, "asset_broken")),
    "many frames": (gif(200), "image/gif", (422, "asset_too_many_frames")),
    "html as pdf": (b"%PDF-1.7\n<html></html>", "application/pdf", (422, "asset_broken")),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_not_sound_is_refused_and_removed(
    tmp_path: Path, empty_database: Path, name: str
) -> None:
    """A2. Both ways in."""
    data, kind, answer = BROKEN[name]
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        assert code(await ada.upload(data, kind)) == answer
        if answer[1] != "asset_type_mismatch":
            assert code(await ada.put(data)) == answer
        await has_nothing(ada, tmp_path)
        assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"filename": "../../etc/passwd"}, "/filename"),
        ({"filename": "a\\b.png"}, "/filename"),
        ({"filename": ".."}, "/filename"),
        ({"filename": "a\x00.png"}, "/filename"),
        ({"filename": "\u202egnp.exe"}, "/filename"),
        ({"filename": "a" * 201}, "/filename"),
        ({"content_type": "text/html"}, "/content_type"),
        ({"content_type": "video/quicktime"}, "/content_type"),
        ({"size": 0}, "/size"),
        ({"size": -1}, "/size"),
        ({"size": 1.5}, "/size"),
        ({"sha256": "A" * 64}, "/sha256"),
        ({"sha256": "a" * 63}, "/sha256"),
        ({"user_id": "ben"}, "/user_id"),
    ],
)
async def test_an_announcement_that_can_not_be(
    tmp_path: Path, empty_database: Path, fields: dict[str, object], wrong: str
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        refused = await ada.announce(png(), **fields)
        assert refused.status_code == 422, refused.text
        assert [one["pointer"] for one in refused.json()["errors"]] == [wrong]


async def test_an_upload_of_another_room(tmp_path: Path, empty_database: Path) -> None:
    data = png()
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        other = Sender(edge, ada.person, (await ada.person.room())["id"])
        upload = (await ada.announce(data)).json()["upload"]
        await ada.send(upload["request"], data)
        assert code(await other.complete(upload["id"])) == (404, "upload_not_found")
        asset = (await ada.complete(upload["id"])).json()
        for name in (asset["id"], asset["sha256"]):
            assert code(await other.read(name)) == (404, "asset_not_found")


async def start_in_parts(sender: Sender, data: bytes) -> tuple[str, list[dict[str, Any]]]:
    """An announced upload of two parts and the requests for them."""
    upload = (await sender.announce(data, "application/pdf")).json()["upload"]
    at = f"{sender.at}/{upload['id']}/parts"
    return upload["id"], (await sender.person.ask("POST", at, json={"numbers": [1, 2]})).json()["parts"]


async def test_parts_that_were_joined_have_all_arrived(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed, or too busy, between joining the parts and the check: who asks how to go on can complete it."""
    data = pdf(6 * MIB)
    monkeypatch.setattr(uploads, "ONE_PIECE_MOST_BYTES", 1024)
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        upload_id, parts = await start_in_parts(ada, data)
        for part, piece in zip(parts, (data[: 5 * MIB], data[5 * MIB :]), strict=True):
            assert (await ada.send(part["request"], piece)).is_success
        with monkeypatch.context() as patched:
            patched.setattr(intake, "TURN_S", 0.0)
            patched.setattr(edge.services.intake, "checking", asyncio.Semaphore(0))
            assert code(await ada.complete(upload_id)) == (503, "busy")
        assert (await ada.announce(data, "application/pdf")).json()["upload"]["id"] == upload_id
        stored = (await ada.person.ask("GET", f"{ada.at}/{upload_id}/parts")).json()["stored"]
        assert stored == [
            {"number": 1, "size_bytes": 5 * MIB},
            {"number": 2, "size_bytes": len(data) - 5 * MIB},
        ]
        late = await ada.person.ask("POST", f"{ada.at}/{upload_id}/parts", json={"numbers": [2]})
        assert late.status_code == 200
        assert (await ada.complete(upload_id)).status_code == 201


async def test_parts_that_the_storage_forgot_are_announced_anew(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pdf(6 * MIB)
    monkeypatch.setattr(uploads, "ONE_PIECE_MOST_BYTES", 1024)
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        upload_id, _ = await start_in_parts(ada, data)
        shutil.rmtree(tmp_path / "blobs" / ".parts")
        at = f"{ada.at}/{upload_id}/parts"
        assert code(await ada.person.ask("GET", at)) == (404, "upload_not_found")
        again = (await ada.announce(data, "application/pdf")).json()["upload"]
        assert again["id"] != upload_id, "or nobody could ever send it"


async def test_a_part_sent_again_while_they_are_joined_does_not_end_the_upload(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pdf(6 * MIB)
    monkeypatch.setattr(uploads, "ONE_PIECE_MOST_BYTES", 1024)
    monkeypatch.setattr(uploads, "PART_BYTES", 5 * MIB)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        upload_id, parts = await start_in_parts(ada, data)
        pieces = (data[: 5 * MIB], data[5 * MIB :])
        for part, piece in zip(parts, pieces, strict=True):
            assert (await ada.send(part["request"], piece)).is_success
        finish = edge.services.blobs.finish_parts

        async def finish_after_another(key: str, parts_id: str, stored: Sequence[Part]) -> None:
            assert (await ada.send(parts[1]["request"], pieces[1])).is_success
            await finish(key, parts_id, stored)

        with monkeypatch.context() as patched:
            patched.setattr(edge.services.blobs, "finish_parts", finish_after_another)
            assert code(await ada.complete(upload_id)) == (409, "upload_incomplete")
        assert (await ada.complete(upload_id)).status_code == 201


@pytest.mark.parametrize("size", [1, 2**20, 100 * 2**20, 100 * 2**20 + 1, 5 * 2**30, 5 * 2**40])
def test_parts_make_the_whole(size: int) -> None:
    part_bytes, count = count_parts(size)
    assert sum(measure_part(size, part_bytes, number) for number in range(1, count + 1)) == size
    assert measure_part(size, part_bytes, count + 1) <= 0
    assert count <= 1000
    assert part_bytes >= 5 * 2**20, "the least that S3 takes"


async def test_an_svg_is_made_harmless_and_is_a_file(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(SVG, "image/svg+xml", filename="a.svg")
        read = await ada.read(asset["sha256"])
        assert read.headers["content-type"].startswith("image/svg+xml")
        assert b"script" not in read.content
        assert b"rect" in read.content
        assert read.headers["content-disposition"].startswith("attachment")
        assert read.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in read.headers["content-security-policy"]
