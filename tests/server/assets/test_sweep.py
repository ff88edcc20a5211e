"""What is swept, what stays, and what a dry run says."""

import asyncio
import os
import time
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from pycrdt import Doc, Map
from sqlalchemy import Connection, select, update

from db.assets import find_asset, find_asset_by_hash, list_expired_uploads
from db.queue import list_jobs
from db.scopes import as_system
from db.tables import assets, rooms, uploads, users
from server.assets import sweep as sweep_module
from server.assets import uploads as uploads_module
from server.assets.keeping import REMOVE, keep
from server.assets.storing import new_id, space_of
from server.assets.sweep import UNKNOWN_KEPT, UNREFERENCED_KEPT, Report
from server.assets.sweep import sweep as sweep_now
from server.services import clean_up
from tests.server.assets.pictures import pdf, png, sha256
from tests.server.assets.sending import Sender, code, enter
from tests.server.assets.test_uploads import stored_files
from tests.server.edge import Edge, open_edge

DAY = timedelta(days=1)


async def age(edge: Edge, by: timedelta) -> None:
    """Everything that is dated happened so much earlier."""

    def shift(connection: Connection) -> None:
        for table, id_column, column in (
            (assets, assets.c.id, assets.c.unreferenced_at),
            (uploads, uploads.c.id, uploads.c.expires_at),
            (rooms, rooms.c.id, rooms.c.deleted_at),
            (users, users.c.id, users.c.created_at),
        ):
            for row_id, at in connection.execute(select(id_column, column).where(column.is_not(None))).all():
                connection.execute(update(table).where(id_column == row_id).values({column: at - by}))

    await as_system(edge.services.database).write(shift)


async def sweep(edge: Edge, *, is_dry: bool = False) -> Report:
    return await sweep_now(edge.services, is_dry=is_dry)


async def draw(sender: Sender, doc: Doc, element: str, file_id: str | None) -> None:
    """An image element with this file, or its deletion for good."""
    before = doc.get_state()
    elements = doc.get("elements", type=Map)
    if file_id is None:
        del elements[element]
    else:
        kind = {"type": "image", "seed": 1}
        geometry = {"x": 0, "y": 0, "width": 8, "height": 6, "angle": 0}
        elements[element] = Map({"kind": kind, "geometry": geometry, "image": {"fileId": file_id}, "z": "a0"})
    sent = await sender.person.ask(
        "POST",
        f"/parties/{sender.room_id}",
        content=doc.get_update(before),
        headers={"Content-Type": "application/octet-stream"},
    )
    assert sent.is_success, sent.text


def made_up_asset(sender: Sender, unreferenced_at: datetime) -> dict[str, object]:
    """A row of somebody's file; nothing is stored for it."""
    return {
        "room_id": sender.room_id,
        "user_id": sender.person.user_id,
        "stored_sha256": "0" * 64,
        "size_bytes": 1,
        "content_type": "application/pdf",
        "filename": "a.pdf",
        "frames": 1,
        "created_at": unreferenced_at,
        "unreferenced_at": unreferenced_at,
    }


async def is_kept(edge: Edge, asset_id: str) -> bool:
    return await as_system(edge.services.database).read(partial(find_asset, id=asset_id)) is not None


async def test_what_nobody_refers_to_goes_after_a_week(tmp_path: Path, empty_database: Path) -> None:
    """A8, A10."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        drawn, unused = await ada.stored(png(5, 5)), await ada.stored(png(6, 6))
        for one in (drawn, unused):
            await ada.with_renditions(one["id"], "thumb")
        doc: Doc = Doc()
        await draw(ada, doc, "a", drawn["sha256"])
        first = await sweep(edge)
        assert (first.asset_count, first.waiting_count) == (0, 1)
        await age(edge, UNREFERENCED_KEPT - DAY)
        soon = await sweep(edge)
        assert (soon.asset_count, soon.waiting_count) == (0, 1)
        await age(edge, 2 * DAY)
        dry = await sweep(edge, is_dry=True)
        assert [one["id"] for one in dry.assets] == [unused["id"]]
        assert dry.asset_bytes >= unused["size_bytes"]
        assert await is_kept(edge, unused["id"]), "a dry run changes nothing"
        real = await sweep(edge)
        assert real.assets == dry.assets
        assert not await is_kept(edge, unused["id"])
        assert code(await ada.read(unused["id"])) == (404, "asset_not_found")
        async with asyncio.timeout(120):
            while len(stored_files(tmp_path)) != 2:
                await asyncio.sleep(0.02)
        assert (await ada.read(drawn["id"])).status_code == 200


async def test_its_time_starts_anew(tmp_path: Path, empty_database: Path) -> None:
    """A8. When it is drawn again, and when somebody is about to."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        other = png(7, 5)
        drawn, announced = await ada.stored(png(5, 5)), await ada.stored(other)
        assert (await sweep(edge)).waiting_count == 2
        await age(edge, UNREFERENCED_KEPT + DAY)
        doc: Doc = Doc()
        await draw(ada, doc, "a", drawn["id"])
        assert (await ada.announce(other)).status_code == 200
        late = await sweep(edge)
        assert (late.asset_count, late.waiting_count) == (0, 1), "the announced one, from now on"
        await draw(ada, doc, "a", None)
        await age(edge, UNREFERENCED_KEPT - DAY)
        assert (await sweep(edge)).asset_count == 0
        await age(edge, 2 * DAY)
        assert [one["id"] for one in (await sweep(edge)).assets] == [announced["id"]]
        assert await is_kept(edge, drawn["id"])


async def test_a_deleted_image_is_kept_as_long_as_an_undo_finds_it(
    tmp_path: Path, empty_database: Path
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png())
        doc: Doc = Doc()
        await draw(ada, doc, "a", asset["sha256"])
        before = doc.get_state()
        doc.get("elements", type=Map)["a"]["deleted"] = True
        sent = await ada.person.ask(
            "POST",
            f"/parties/{ada.room_id}",
            content=doc.get_update(before),
            headers={"Content-Type": "application/octet-stream"},
        )
        assert sent.is_success
        await sweep(edge)
        await age(edge, 2 * UNREFERENCED_KEPT)
        assert (await sweep(edge)).asset_count == 0


async def test_a_room_in_the_trash_keeps_everything(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png())
        await sweep(edge)
        await ada.person.ask("DELETE", ada.at.removesuffix("/assets"))
        await age(edge, 2 * UNREFERENCED_KEPT)
        assert (await sweep(edge)).asset_count == 0
        await ada.person.ask("POST", f"{ada.at.removesuffix('/assets')}/restore")
        assert (await ada.read(asset["id"])).status_code == 200


async def test_a_room_deleted_for_good_takes_its_assets_along(tmp_path: Path, empty_database: Path) -> None:
    """A10."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png())
        await ada.with_renditions(asset["id"], "thumb")
        upload = (await ada.announce(png(9, 9))).json()["upload"]
        await ada.send(upload["request"], png(9, 9))
        before = tmp_path / "blobs" / ada.room_id / ("ab" * 32)
        before.parent.mkdir()
        before.write_bytes(png())
        await ada.person.ask("DELETE", ada.at.removesuffix("/assets"))
        await age(edge, timedelta(days=31))
        await clean_up(edge.services)
        assert not await is_kept(edge, asset["id"])
        async with asyncio.timeout(120):
            while stored_files(tmp_path):
                await asyncio.sleep(0.02)


async def test_edits_do_not_wait_for_a_large_sweep(tmp_path: Path, empty_database: Path) -> None:
    """SQLite has one writer: what a sweep removes in one transaction is what every room waits for."""
    async with open_edge(tmp_path, empty_database, handlers={}) as edge:
        ada = await enter(edge)
        old = edge.services.now() - UNREFERENCED_KEPT - DAY
        row = made_up_asset(ada, old)
        rows = [row | {"id": new_id(), "sha256": f"{n:064x}", "key": f"images/ada/{n}"} for n in range(250)]
        await as_system(edge.services.database).write(lambda conn: conn.execute(assets.insert(), rows))
        upload = (await ada.announce(png())).json()["upload"]["id"]

        def copy(connection: Connection) -> None:
            one = dict(connection.execute(select(uploads).where(uploads.c.id == upload)).one()._mapping)
            copies = [
                one | {"id": new_id(), "key": f"images/ada/up-{n}", "expires_at": old} for n in range(600)
            ]
            connection.execute(uploads.insert(), copies)

        await as_system(edge.services.database).write(copy)
        assert (await sweep(edge, is_dry=True)).upload_count == 600
        sizes: list[int] = []
        write = edge.services.database.write

        async def counted(work):  # type: ignore[no-untyped-def]
            def change(connection: Connection) -> object:
                before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
                done = work(connection)
                sizes.append(connection.exec_driver_sql("SELECT total_changes()").scalar_one() - before)
                return done

            return await write(change)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(edge.services.database, "write", counted)
            report = await sweep(edge)
        assert (report.asset_count, report.upload_count) == (250, 600)
        assert max(sizes) <= 300, "an upload and its two removals"


async def test_what_somebody_names_by_now_is_not_removed(tmp_path: Path, empty_database: Path) -> None:
    """A removal that comes late finds an asset at its key: an image from before rows, asked for again, or a
    commit that was repeated because nobody knew how it had ended."""
    data = png(7, 7)
    async with open_edge(tmp_path, empty_database, handlers={}) as edge:
        ada = await enter(edge)
        key = f"{ada.room_id}/{sha256(data)}"
        path = tmp_path / "blobs" / key
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        assert (await ada.read(sha256(data))).content == data
        await sweep(edge)
        await age(edge, UNREFERENCED_KEPT + DAY)
        assert (await sweep(edge)).asset_count == 1
        # its removal waits for a worker
        assert (await ada.read(sha256(data))).content == data
        asset = await as_system(edge.services.database).read(
            partial(find_asset_by_hash, room_id=ada.room_id, sha256=sha256(data))
        )
        assert asset is not None
        space = space_of(edge.services)
        again = partial(keep, asset=asset, now=edge.services.now(), space=space)
        assert await as_system(edge.services.database).write(again) == (asset, False)
    async with open_edge(tmp_path, empty_database) as edge:
        async with asyncio.timeout(120):
            waiting = partial(list_jobs, state="queued", kind=REMOVE, limit=1)
            while await as_system(edge.services.database).read(waiting):
                await asyncio.sleep(0.02)
        assert path.read_bytes() == data


async def test_uploads_never_completed(tmp_path: Path, empty_database: Path) -> None:
    """A5, A10."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        upload = (await ada.announce(png())).json()["upload"]
        await ada.send(upload["request"], png())
        await age(edge, timedelta(hours=23))
        assert (await sweep(edge)).upload_count == 0
        await age(edge, timedelta(hours=2))
        assert (await sweep(edge, is_dry=True)).uploads == [upload["id"]]
        assert (await sweep(edge)).uploads == [upload["id"]]
        assert code(await ada.complete(upload["id"])) == (404, "upload_not_found")
        left = partial(list_expired_uploads, before=datetime.max.replace(tzinfo=edge.services.now().tzinfo))
        assert await as_system(edge.services.database).read(partial(left, limit=10)) == []


async def test_bytes_whose_row_was_never_written(tmp_path: Path, empty_database: Path) -> None:
    """A10. The server was killed between the two."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png())

        async def chunks():  # type: ignore[no-untyped-def]
            yield png()

        key = f"images/{ada.person.user_id}/01kf3w9d2rj4x0v7c8m5qh6t1b-lost.png"
        await edge.services.blobs.put(key, chunks(), size_bytes=len(png()), content_type="image/png")
        assert (await sweep(edge)).unknown_count == 0, "it may be about to be written"
        old = time.time() - UNKNOWN_KEPT.total_seconds() - 60
        for path in stored_files(tmp_path):
            os.utime(path, (old, old))
        new = await sweep(edge)
        assert (new.unknown_count, new.older_count) == (0, 1), (
            "of a database that was lost, and may come back"
        )
        await age(edge, 2 * DAY)
        dry = await sweep(edge, is_dry=True)
        assert dry.unknown_keys == [key]
        assert (await sweep(edge)).unknown_keys == [key]
        async with asyncio.timeout(120):
            while await edge.services.blobs.find(key) is not None:
                await asyncio.sleep(0.02)
        assert (await ada.read(asset["id"])).content == png()


async def test_parts_that_no_upload_waits_for(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when they were joined and not yet removed, or before anybody was told of them."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        await ada.stored(png())
        (key,) = [
            str(one.relative_to(tmp_path / "blobs")) for one in stored_files(tmp_path) if one.suffix == ".png"
        ]
        blobs = edge.services.blobs
        left = await blobs.start_parts(key, content_type="image/png")
        nameless = tmp_path / "blobs" / ".parts" / "01kf3w9d2rj4x0v7c8m5qh6t1b"
        nameless.mkdir()
        monkeypatch.setattr(uploads_module, "ONE_PIECE_MOST_BYTES", 1024)
        wanted = (await ada.announce(pdf(4096), "application/pdf")).json()["upload"]["id"]
        await sweep(edge)
        assert len([one async for one in blobs.list_started()]) == 3, "they may be about to be written"
        monkeypatch.setattr(sweep_module, "UNKNOWN_KEPT", -DAY)
        await sweep(edge, is_dry=True)
        assert len([one async for one in blobs.list_started()]) == 3
        await sweep(edge)
        (kept,) = [one async for one in blobs.list_started()]
        assert kept.parts_id != left
        assert wanted in kept.key


async def test_nothing_goes_while_the_room_changes(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A8. An edit that comes between the reading and the deletion may be the one that names it."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await enter(edge)
        asset = await ada.stored(png())
        await sweep(edge)
        real = edge.services.journal.load

        async def load_then_edit(room_id: str):  # type: ignore[no-untyped-def]
            monkeypatch.undo()
            stored = await real(room_id)
            await draw(ada, Doc(), "a", asset["sha256"])
            return stored

        monkeypatch.setattr(edge.services.journal, "load", load_then_edit)
        await age(edge, 2 * UNREFERENCED_KEPT)
        assert (await sweep(edge)).asset_count == 0
        assert await is_kept(edge, asset["id"])
