"""The sweep: assets that nobody refers to, uploads that were never completed, bytes that no row names.

Owns: the job `assets.sweep`, its rules and its report. Does not own: what a document refers to
(`references.py`), queries (`db/assets.py`).
Rules: an asset goes when it was found without a reference in every look for 7 days, and its room's journal
says at that moment what it said when it was read; rooms in the trash keep everything; a dry run changes
nothing and reports what would go. What fails for one room is left for the next sweep.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import orjson
import structlog
from sqlalchemy import Connection

from db.assets import (
    Asset,
    Upload,
    count_expired_uploads,
    delete_unreferenced,
    find_unknown_keys,
    is_in_parts,
    list_assets,
    list_expired_uploads,
    list_rooms_with_assets,
    mark_referenced,
    mark_unreferenced,
)
from db.audit import SERVER, Event, append
from db.scopes import as_system
from db.users import find_first_created
from party.errors import KanvasError, RoomNotFound
from server.assets.keeping import SIGNED_S, UPLOAD_KEPT, cancel, let_go
from server.assets.names import PREFIX
from server.assets.references import find_names
from server.blobs.base import NO_KEY, BlobInfo
from server.jobs.base import JobCall
from server.services import Services

log = structlog.get_logger("kanvas.assets")

UNREFERENCED_KEPT: Final = timedelta(days=7)
UNKNOWN_KEPT: Final = timedelta(seconds=SIGNED_S) + UPLOAD_KEPT
"""Bytes without a row: whoever is about to write it has done so by then."""

PAGE: Final = 500
WRITTEN_AT_ONCE: Final = 100
"""In one transaction: edits of all rooms wait for the same writer, and a row that goes takes it 0.1 ms."""

SHOWN_MOST: Final = 1000


@dataclass(slots=True)
class Report:
    """What a sweep took, or would take. The lists are cut at 1,000; the counts are not."""

    is_dry: bool
    assets: list[dict[str, Any]] = field(default_factory=list)
    asset_count: int = 0
    asset_bytes: int = 0
    waiting_count: int = 0
    """Without a reference, but not for long enough."""
    uploads: list[str] = field(default_factory=list)
    upload_count: int = 0
    unknown_keys: list[str] = field(default_factory=list)
    unknown_count: int = 0
    unknown_bytes: int = 0
    older_count: int = 0
    """Stored before this database had its first user: no files of ours, or of a database that was lost."""
    failed_rooms: list[str] = field(default_factory=list)

    def add(self, asset: Asset) -> None:
        self.asset_count += 1
        self.asset_bytes += asset.size_bytes + sum(one.size_bytes for one in asset.renditions)
        if len(self.assets) < SHOWN_MOST:
            self.assets.append(
                {
                    "id": asset.id,
                    "room_id": asset.room_id,
                    "filename": asset.filename,
                    "size_bytes": asset.size_bytes,
                    "unreferenced_at": asset.unreferenced_at.isoformat() if asset.unreferenced_at else None,
                }
            )


async def sweep_assets(call: JobCall) -> Mapping[str, Any]:
    """The job; its result is the report."""
    report = await sweep(call.services, is_dry=bool(call.job.payload.get("is_dry")), progress=call.progress)
    return asdict(report)


def _tell_nobody(done: float, words: str) -> None:
    """A sweep from the command line: its report tells all."""


async def sweep(
    services: Services, *, is_dry: bool, progress: Callable[[float, str], None] = _tell_nobody
) -> Report:
    """Look at everything, and remove what is due. Raises Unavailable when the database is not there."""
    report = Report(is_dry)
    now = services.now()
    # first, for what the rest takes has no row from then on, and its removal is on its way
    await _sweep_unknown(services, report, now)
    await _sweep_uploads(services, report, now)
    rooms = await as_system(services.database).read(list_rooms_with_assets)
    for number, room_id in enumerate(rooms):
        try:
            await _sweep_room(services, room_id, report, now)
        except RoomNotFound:
            continue
        except KanvasError as error:
            log.warning("sweep of a room failed; it is tried again", room_id=room_id, reason=error.message)
            report.failed_rooms.append(room_id)
        progress((number + 1) / (len(rooms) + 1), f"{number + 1} of {len(rooms)} rooms")
    if not is_dry:
        services.jobs.wake()
    log.info(
        "assets swept",
        is_dry=is_dry,
        assets=report.asset_count,
        uploads=report.upload_count,
        unknown=report.unknown_count,
    )
    return report


async def _sweep_uploads(services: Services, report: Report, now: datetime) -> None:
    most = SHOWN_MOST if report.is_dry else WRITTEN_AT_ONCE
    while due := await as_system(services.database).read(
        partial(list_expired_uploads, before=now, limit=most)
    ):
        report.uploads += [one.id for one in due[: SHOWN_MOST - len(report.uploads)]]
        if report.is_dry:
            report.upload_count = await as_system(services.database).read(
                partial(count_expired_uploads, before=now)
            )
            return
        report.upload_count += len(due)
        await as_system(services.database).write(partial(_cancel_all, uploads=due, now=now))


def _cancel_all(connection: Connection, uploads: list[Upload], now: datetime) -> None:
    for upload in uploads:
        cancel(connection, upload, now)


async def _sweep_room(services: Services, room_id: str, report: Report, now: datetime) -> None:
    assets = await _list_all(services, room_id)
    # read after the assets: whoever adds one refers to it later than that
    stored = await services.journal.load(room_id)
    documents = [*([stored.checkpoint] if stored.checkpoint else []), *stored.updates]
    wanted = [name for asset in assets for name in (asset.id, asset.sha256)]
    names = await asyncio.to_thread(find_names, documents, wanted)
    used = [one for one in assets if one.sha256 in names or one.id in names]
    unused = [one for one in assets if one.sha256 not in names and one.id not in names]
    due = [one for one in unused if one.unreferenced_at and one.unreferenced_at < now - UNREFERENCED_KEPT]
    if not report.is_dry:
        due = await _settle(services, room_id, used, unused, due, stored.seq, now)
    for asset in due:
        report.add(asset)
    report.waiting_count += len(unused) - len(due)


async def _list_all(services: Services, room_id: str) -> list[Asset]:
    found: list[Asset] = []
    before: tuple[datetime, str] | None = None
    while True:
        page = await as_system(services.database).read(
            partial(list_assets, room_id=room_id, before=before, limit=PAGE)
        )
        found += page
        if len(page) < PAGE:
            return found
        before = page[-1].created_at, page[-1].id


async def _settle(
    services: Services,
    room_id: str,
    used: list[Asset],
    unused: list[Asset],
    due: list[Asset],
    seq: int,
    now: datetime,
) -> list[Asset]:
    """Write down what changed, and remove what is due; returns what went."""
    write = as_system(services.database).write
    for ids in _slices([one.id for one in used if one.unreferenced_at is not None]):
        await write(partial(mark_referenced, ids=ids))
    for ids in _slices([one.id for one in unused if one.unreferenced_at is None]):
        await write(partial(mark_unreferenced, ids=ids, now=now))
    gone: list[Asset] = []
    for ids in _slices([one.id for one in due]):
        removed = await write(partial(_remove, room_id=room_id, ids=ids, seq=seq, now=now))
        if (cache := services.backplane.asset_cache) is not None:
            await cache.forget(*(one.id for one in removed))
        gone += removed
    return gone


def _slices(ids: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(ids), WRITTEN_AT_ONCE):
        yield ids[at : at + WRITTEN_AT_ONCE]


def _remove(connection: Connection, room_id: str, ids: list[str], seq: int, now: datetime) -> list[Asset]:
    gone = delete_unreferenced(connection, room_id, ids, now - UNREFERENCED_KEPT, seq)
    let_go(connection, [key for asset in gone for key in asset.blob_keys()], now)
    if gone:
        append(connection, _event_of(room_id, gone, now))
    return gone


def _event_of(room_id: str, gone: list[Asset], now: datetime) -> Event:
    told = {"files": len(gone), "size_bytes": sum(one.size_bytes for one in gone)}
    details = orjson.dumps(told).decode()
    return Event(now, *SERVER, "asset.expire", room_id, target=f"{len(gone)} files", details=details)


async def _sweep_unknown(services: Services, report: Report, now: datetime) -> None:
    """Bytes whose row was never written: the server was killed between the two."""
    old = now - UNKNOWN_KEPT
    # a new database beside the files of one that was lost knows none of them, and the old one may come back
    born = await as_system(services.database).read(find_first_created) or now
    async for started in services.blobs.list_started():
        if born <= started.started_at < old and (started.key == NO_KEY or started.key.startswith(PREFIX)):
            # its key may have a row all the same: joined, and killed before the parts were removed
            is_wanted = partial(is_in_parts, key=started.key, parts_id=started.parts_id)
            if not await as_system(services.database).read(is_wanted) and not report.is_dry:
                await services.blobs.abort_parts(started.key, started.parts_id)
    waiting: dict[str, BlobInfo] = {}
    async for info in services.blobs.list(PREFIX):
        # "images/{sha256}" is a picture of a room called images, from before there were rows
        if info.stored_at < old and info.key.count("/") == 2:
            waiting[info.key] = info
        if len(waiting) >= PAGE:
            await _remove_unknown(services, report, waiting, born, now)
            waiting = {}
    await _remove_unknown(services, report, waiting, born, now)
    if report.older_count:
        log.warning("stored files are older than this database; they stay", files=report.older_count)


async def _remove_unknown(
    services: Services, report: Report, found: dict[str, BlobInfo], born: datetime, now: datetime
) -> None:
    unknown = await as_system(services.database).read(partial(find_unknown_keys, keys=list(found)))
    due = [key for key in unknown if found[key].stored_at >= born]
    report.older_count += len(unknown) - len(due)
    report.unknown_count += len(due)
    report.unknown_bytes += sum(found[key].size_bytes for key in due)
    report.unknown_keys += due[: SHOWN_MOST - len(report.unknown_keys)]
    if due and not report.is_dry:
        await as_system(services.database).write(partial(let_go, keys=due, now=now))
