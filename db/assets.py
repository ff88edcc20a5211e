"""Queries on assets: what a room has stored, what is on its way, and the smaller forms of images.

Owns: `assets`, `uploads` and `renditions`. Does not own: bytes (the blobs; a row says where they are), who
may do what (the edge), when something is swept (the edge asks).

Rules kept: what is not in `assets` can't be read; the same bytes are in a room once; a row goes in the
transaction that enqueues the removal of its blobs, so that none is forgotten; a blob whose row was never
written is found by `find_unknown_keys`.
"""

# ruff: noqa: A002 - an asset's id is `id` everywhere

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Table,
    bindparam,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.selectable import ScalarSelect

from db.locks import lock_user
from db.scopes import as_server
from db.tables import UtcDateTime, assets, renditions, room_heads, rooms, uploads
from db.upsert import insert_into
from party.errors import RoomNotFound

RenditionName = Literal["thumb", "web"]

KEYS_AT_ONCE = 500
"""Values in one IN list (SQLite takes 32,766, from 3.32 on)."""


def _total(table: Table, owner: Column[str], value: str) -> ScalarSelect[int]:
    return (
        select(func.coalesce(func.sum(table.c.size_bytes), 0))
        .where(owner == bindparam(value))
        .scalar_subquery()
    )


# What every upload asks, built once: building costs more than SQLite does (1.5 ms an upload, now 0.5).
_LOCK = (
    select(rooms.c.id)
    .where(rooms.c.id == bindparam("id"), rooms.c.deleted_at.is_(None))
    # appends go on meanwhile: their rows point to the room's key only
    .with_for_update(key_share=True)
)
_USAGE = select(
    _total(assets, assets.c.room_id, "room") + _total(uploads, uploads.c.room_id, "room"),
    _total(assets, assets.c.user_id, "user") + _total(uploads, uploads.c.user_id, "user"),
    select(func.count()).select_from(uploads).where(uploads.c.user_id == bindparam("user")).scalar_subquery(),
)
_SAME = (
    select(uploads)
    .where(
        uploads.c.room_id == bindparam("room"),
        uploads.c.sha256 == bindparam("hash"),
        uploads.c.user_id == bindparam("user"),
    )
    .order_by(uploads.c.created_at.desc())
    .limit(1)
)
_BY_HASH = select(assets).where(assets.c.room_id == bindparam("room"), assets.c.sha256 == bindparam("hash"))
_ASSET = select(assets).where(assets.c.id == bindparam("asset"))
_UPLOAD = select(uploads).where(uploads.c.id == bindparam("upload"), uploads.c.room_id == bindparam("room"))
_AWAITED = select(uploads.c.id).where(uploads.c.key == bindparam("key"))
_NEW_UPLOAD = uploads.insert()
_RENDITIONS = (
    select(renditions).where(renditions.c.asset_id == bindparam("asset")).order_by(renditions.c.name)
)


@dataclass(frozen=True, slots=True)
class Rendition:
    """A smaller form of an image, and where its bytes are."""

    name: RenditionName
    key: str
    content_type: str
    width: int
    height: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Asset:
    """A checked file of a room. Times are aware, in UTC."""

    id: str
    room_id: str
    user_id: str
    sha256: str
    stored_sha256: str
    size_bytes: int
    content_type: str
    filename: str
    key: str
    width: int | None
    height: int | None
    frames: int
    color: str | None
    created_at: datetime
    unreferenced_at: datetime | None = None
    renditions: tuple[Rendition, ...] = ()

    def blob_keys(self) -> list[str]:
        """All its blobs."""
        return [self.key, *(one.key for one in self.renditions)]


@dataclass(frozen=True, slots=True)
class Upload:
    """An asset in the making: its bytes may be in storage, and nobody has looked at them."""

    id: str
    room_id: str
    user_id: str
    sha256: str
    size_bytes: int
    content_type: str
    filename: str
    key: str
    parts_id: str | None
    part_bytes: int | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """Bytes stored or announced, and uploads not finished."""

    room_bytes: int
    user_bytes: int
    user_uploads: int


def lock_room(connection: Connection, room_id: str) -> None:
    """Nobody else changes what the room has stored until the end of the transaction. Raises RoomNotFound."""
    if connection.execute(_LOCK, {"id": room_id}).one_or_none() is None:
        raise RoomNotFound


def lock_space(connection: Connection, room_id: str, user_id: str) -> None:
    """Nobody else takes space of the room or of the user until the end. Raises RoomNotFound."""
    lock_room(connection, room_id)
    lock_user(connection, user_id)


def measure_usage(connection: Connection, room_id: str, user_id: str) -> Usage:
    """How much is taken, of a room and of a user: 0.1 us for each file they have."""
    # also what lies in rooms they may see no more
    with as_server(connection):
        found = connection.execute(_USAGE, {"room": room_id, "user": user_id}).one()
    return Usage(int(found[0]), int(found[1]), int(found[2]))


def insert_upload(connection: Connection, upload: Upload) -> None:
    connection.execute(_NEW_UPLOAD, _fields(upload))


def find_upload(connection: Connection, room_id: str, id: str) -> Upload | None:
    row = connection.execute(_UPLOAD, {"upload": id, "room": room_id}).first()
    return None if row is None else Upload(**row._mapping)


def find_same_upload(connection: Connection, room_id: str, user_id: str, sha256: str) -> Upload | None:
    """The newest unfinished upload of these bytes by this user."""
    row = connection.execute(_SAME, {"room": room_id, "user": user_id, "hash": sha256}).first()
    return None if row is None else Upload(**row._mapping)


def prolong_upload(connection: Connection, id: str, expires_at: datetime) -> None:
    connection.execute(update(uploads).where(uploads.c.id == id).values(expires_at=expires_at))


def set_parts(connection: Connection, id: str, parts_id: str) -> Upload | None:
    """Note where its parts go, unless somebody was faster; None when it is gone."""
    chosen = uploads.c.id == id
    connection.execute(update(uploads).where(chosen, uploads.c.parts_id.is_(None)).values(parts_id=parts_id))
    row = connection.execute(select(uploads).where(chosen)).first()
    return None if row is None else Upload(**row._mapping)


def is_awaited(connection: Connection, key: str) -> bool:
    """Whether an upload has this key: it is neither complete nor canceled."""
    return connection.execute(_AWAITED, {"key": key}).first() is not None


def is_in_parts(connection: Connection, key: str, parts_id: str) -> bool:
    """Whether an upload waits for these parts."""
    chosen = select(uploads.c.id).where(uploads.c.key == key, uploads.c.parts_id == parts_id)
    return connection.execute(chosen).first() is not None


def delete_upload(connection: Connection, id: str) -> bool:
    """Forget it; False when somebody else did. Its blob is the caller's to let go."""
    return connection.execute(delete(uploads).where(uploads.c.id == id)).rowcount == 1


def list_expired_uploads(connection: Connection, before: datetime, limit: int) -> list[Upload]:
    rows = connection.execute(
        select(uploads).where(uploads.c.expires_at < before).order_by(uploads.c.expires_at).limit(limit)
    )
    return [Upload(**row._mapping) for row in rows]


def count_expired_uploads(connection: Connection, before: datetime) -> int:
    expired = select(func.count()).select_from(uploads).where(uploads.c.expires_at < before)
    return int(connection.execute(expired).scalar_one())


def insert_asset(connection: Connection, asset: Asset) -> bool:
    """False when the room has these bytes by now."""
    fields = _fields(asset)
    del fields["renditions"]
    statement = insert_into(connection, assets).values(**fields)
    statement = statement.on_conflict_do_nothing(index_elements=[assets.c.room_id, assets.c.sha256])
    return connection.execute(statement).rowcount == 1


def find_asset(connection: Connection, id: str) -> Asset | None:
    """The asset, whatever became of its room."""
    return _one(connection, connection.execute(_ASSET, {"asset": id}).first())


def find_asset_by_hash(connection: Connection, room_id: str, sha256: str) -> Asset | None:
    return _one(connection, connection.execute(_BY_HASH, {"room": room_id, "hash": sha256}).first())


def list_assets(
    connection: Connection,
    *,
    room_id: str | None = None,
    user_id: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> list[Asset]:
    """Assets of a room, or of a user in rooms out of the trash; newest first, all older than `before`."""
    statement = select(assets)
    if room_id is not None:
        statement = statement.where(assets.c.room_id == room_id)
    if user_id is not None:
        statement = statement.join(rooms, rooms.c.id == assets.c.room_id).where(
            assets.c.user_id == user_id, rooms.c.deleted_at.is_(None)
        )
    if before is not None:
        cursor = tuple_(literal(before[0], UtcDateTime), literal(before[1], assets.c.id.type))
        statement = statement.where(tuple_(assets.c.created_at, assets.c.id) < cursor)
    statement = statement.order_by(assets.c.created_at.desc(), assets.c.id.desc()).limit(limit)
    return _with_renditions(connection, connection.execute(statement).all())


def list_rooms_with_assets(connection: Connection) -> list[str]:
    """Rooms that have any and are not in the trash."""
    statement = select(rooms.c.id).where(
        rooms.c.deleted_at.is_(None), select(assets.c.id).where(assets.c.room_id == rooms.c.id).exists()
    )
    return list(connection.execute(statement.order_by(rooms.c.id)).scalars())


def insert_rendition(connection: Connection, asset_id: str, rendition: Rendition) -> bool:
    """False when the asset has one of this name, or is gone."""
    if connection.execute(select(assets.c.id).where(assets.c.id == asset_id)).first() is None:
        return False
    statement = insert_into(connection, renditions).values(asset_id=asset_id, **_fields(rendition))
    statement = statement.on_conflict_do_nothing(index_elements=[renditions.c.asset_id, renditions.c.name])
    return connection.execute(statement).rowcount == 1


def mark_referenced(connection: Connection, ids: Collection[str]) -> None:
    """Somebody refers to them: their time does not run."""
    for some in _slices(ids):
        connection.execute(
            update(assets)
            .where(assets.c.id.in_(some), assets.c.unreferenced_at.is_not(None))
            .values(unreferenced_at=None)
        )


def mark_unreferenced(connection: Connection, ids: Collection[str], now: datetime) -> None:
    """Nobody refers to them, since `now` unless it was noticed before."""
    for some in _slices(ids):
        connection.execute(
            update(assets)
            .where(assets.c.id.in_(some), assets.c.unreferenced_at.is_(None))
            .values(unreferenced_at=now)
        )


def delete_unreferenced(
    connection: Connection, room_id: str, ids: Collection[str], before: datetime, seq: int
) -> list[Asset]:
    """Delete those of `ids` that nobody referred to since `before`; return them, for their blobs.

    Nothing, when the room's journal is not at `seq` any more: then somebody may have begun to.
    """
    head = connection.execute(
        select(room_heads.c.seq).where(room_heads.c.room_id == room_id).with_for_update()
    )
    if head.scalar_one_or_none() != seq:
        return []
    gone: list[Asset] = []
    for some in _slices(ids):
        chosen = (assets.c.room_id == room_id, assets.c.id.in_(some), assets.c.unreferenced_at < before)
        gone += _delete(connection, *chosen)
    return gone


def release_rooms(connection: Connection, room_ids: Sequence[str]) -> tuple[list[Asset], list[Upload]]:
    """Delete all that these rooms have stored, and what is on its way; return it, for the blobs."""
    gone: list[Asset] = []
    stopped: list[Upload] = []
    for some in _slices(room_ids):
        gone += _delete(connection, assets.c.room_id.in_(some))
        found = connection.execute(delete(uploads).where(uploads.c.room_id.in_(some)).returning(uploads))
        stopped += [Upload(**row._mapping) for row in found]
    return gone, stopped


def _delete(connection: Connection, *chosen: ColumnElement[bool]) -> list[Asset]:
    # Locked first: none of them may be wanted again, or get another rendition, before it is gone.
    rows = connection.execute(select(assets).where(*chosen).order_by(assets.c.id).with_for_update()).all()
    gone = _with_renditions(connection, rows)
    for some in _slices([one.id for one in gone]):
        connection.execute(delete(assets).where(assets.c.id.in_(some)))
    return gone


def find_unknown_keys(connection: Connection, keys: Collection[str]) -> list[str]:
    """Those of `keys` that no row names."""
    known: set[str] = set()
    for some in _slices(keys):
        for table in (assets, uploads, renditions):
            known.update(connection.execute(select(table.c.key).where(table.c.key.in_(some))).scalars())
    return [key for key in keys if key not in known]


def _slices(values: Collection[str]) -> list[list[str]]:
    listed = list(values)
    return [listed[at : at + KEYS_AT_ONCE] for at in range(0, len(listed), KEYS_AT_ONCE)]


def _fields(value: Asset | Upload | Rendition) -> dict[str, object]:
    return {name: getattr(value, name) for name in value.__slots__}


def _one(connection: Connection, row: Row[*tuple[object, ...]] | None) -> Asset | None:
    if row is None:
        return None
    found = connection.execute(_RENDITIONS, {"asset": row._mapping["id"]})
    return Asset(**row._mapping, renditions=tuple(_rendition(one) for one in found))


def _rendition(row: Row[*tuple[object, ...]]) -> Rendition:
    fields = dict(row._mapping)
    del fields["asset_id"]
    return Rendition(**fields)


def _with_renditions(connection: Connection, rows: Sequence[Row[*tuple[object, ...]]]) -> list[Asset]:
    ids = [cast("str", row._mapping["id"]) for row in rows]
    found: dict[str, list[Rendition]] = {}
    for some in _slices(ids):
        listed = select(renditions).where(renditions.c.asset_id.in_(some)).order_by(renditions.c.name)
        for one in connection.execute(listed):
            found.setdefault(one.asset_id, []).append(_rendition(one))
    return [
        Asset(**row._mapping, renditions=tuple(found.get(asset_id, ())))
        for asset_id, row in zip(ids, rows, strict=True)
    ]
