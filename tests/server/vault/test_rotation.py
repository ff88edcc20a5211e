"""The whole application with encryption on: what is on the disk, and keys that change while it serves."""

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from pycrdt import Doc, Text
from pydantic import SecretStr
from sqlalchemy import Connection, select, update

from db.cipher import list_keys, newest
from db.scopes import as_system
from db.tables import audit_events, canvas_states, room_updates
from party.document import make_checkpoint
from party.errors import Unavailable
from server.services import Services
from server.settings import Settings, SettingsError
from server.vault import commands, rotation
from tests.server.assets.pictures import png, sha256
from tests.server.assets.sending import Sender, enter
from tests.server.edge import Edge, Person, open_edge

MARK = "a word that nobody else may read"
PICTURE = png(30, 20)


def keys(*numbers: int) -> dict[str, Any]:
    """Settings with these master keys, called k1 and so on."""
    told = ",".join(f"k{one}:{base64.b64encode(bytes([one]) * 32).decode()}" for one in numbers)
    return {"encryption_keys": SecretStr(told)} if numbers else {}


class Writer:
    """Somebody who types into an open room over HTTP, from a document of his own."""

    def __init__(self, person: Person, room_id: str) -> None:
        self.person = person
        self.at = f"/parties/{room_id}"
        self.room_id = room_id
        self.doc: Doc[Any] = Doc()
        self.text = self.doc.get("notes", type=Text)

    async def write(self, words: str) -> None:
        before = self.doc.get_state()
        self.text += words
        sent = await self.person.ask(
            "POST",
            self.at,
            content=self.doc.get_update(before),
            headers={"Content-Type": "application/octet-stream"},
        )
        assert sent.status_code == 200, sent.text

    async def read(self, person: Person | None = None) -> str:
        found = await (person or self.person).ask("GET", self.at, {"Accept": "application/octet-stream"})
        assert found.status_code == 200, found.text
        doc: Doc[Any] = Doc()
        doc.apply_update(found.content)
        return str(doc.get("notes", type=Text))


async def start(edge: Edge) -> tuple[Writer, Sender]:
    sender = await enter(edge)
    room = await sender.person.room(schema="open")
    return Writer(sender.person, room["id"]), sender


async def store(sender: Sender) -> dict[str, Any]:
    """A picture and its thumbnail, which would come some time later."""
    return await sender.with_renditions((await sender.stored(PICTURE))["id"], "thumb")


async def checkpoint(services: Services, room_id: str) -> None:
    stored = await services.journal.load(room_id)
    made = make_checkpoint(stored)
    assert await services.journal.checkpoint(
        room_id, stored.epoch, after_seq=stored.checkpoint_seq, seq=stored.seq, state=made.state
    )


async def stored_bytes(services: Services) -> bytes:
    """All that the database and the folder hold of drawings and files."""

    def read(conn: Connection) -> list[bytes]:
        rows = [*conn.execute(select(room_updates.c.update_bytes)).scalars()]
        return [*rows, *conn.execute(select(canvas_states.c.state)).scalars()]

    found = await as_system(services.database).read(read)
    folder = services.settings.data_dir / "blobs"
    return b"".join([*found, *(one.read_bytes() for one in folder.rglob("*") if one.is_file())])


async def key_ids(services: Services) -> set[str | None]:
    """Under which keys rows, states and files are."""

    def read(conn: Connection) -> set[str | None]:
        rows = {*conn.execute(select(room_updates.c.key_id)).scalars()}
        return rows | {*conn.execute(select(canvas_states.c.key_id)).scalars()}

    folder = services.settings.data_dir / "blobs"
    names = [one.relative_to(folder).parts for one in folder.rglob("*") if one.is_file()]
    files = {name[1] if name[0] == "kanvas-sealed" else None for name in names}
    return files | await as_system(services.database).read(read)


async def in_use(services: Services) -> str | None:
    found = newest(await as_system(services.database).read(list_keys))
    return None if found is None else found.id


async def test_from_plain_to_a_key_to_another_and_back(tmp_path: Path, place: Path | str) -> None:
    """Z1 Z6 Z7 Z8: every step while it serves, and nothing is lost on the way."""
    said: list[str] = []
    async with open_edge(tmp_path, place) as edge:
        writer, sender = await start(edge)
        await writer.write(MARK)
        asset = await store(sender)
        assert MARK.encode() in await stored_bytes(edge.services)
    async with open_edge(tmp_path, place, **keys(1)) as edge:
        writer.person.http = sender.person.http = edge.http
        assert await writer.read() == MARK
        # in this process the room is loaded anew, its document goes on
        await writer.write(" and more")
        assert None in await key_ids(edge.services)
        assert await in_use(edge.services) in await key_ids(edge.services)
        settings = edge.services.settings
        assert await commands.rotate(settings, said.append)
        assert said[0].startswith("Going on with data key")
        first = await in_use(edge.services)
        assert await key_ids(edge.services) == {first}
        found = await stored_bytes(edge.services)
        assert MARK.encode() not in found
        assert PICTURE not in found
        await checkpoint(edge.services, writer.room_id)
        await writer.write(".")
    async with open_edge(tmp_path, place, **keys(2, 1)) as edge:
        writer.person.http = sender.person.http = edge.http
        settings = edge.services.settings
        over = asyncio.Event()

        async def type_on() -> None:
            while not over.is_set():
                await writer.write("!")
                await asyncio.sleep(0.002)

        typing = asyncio.create_task(type_on())
        try:
            assert await commands.rotate(settings, said.append)
        finally:
            over.set()
            await typing
        second = await in_use(edge.services)
        assert second != first
        assert await key_ids(edge.services) == {second}
        assert await commands.retire(settings, said.append)
        assert "Master key k1 is not needed any more; take it out of KANVAS_ENCRYPTION_KEYS." in said
        assert await writer.read() == str(writer.text)
        read = await sender.read(sha256(PICTURE))
        assert (read.status_code, read.content) == (200, PICTURE)
    with pytest.raises(SettingsError, match="master key k2, which is not in"):
        async with open_edge(tmp_path, place, **keys(1)):
            raise AssertionError("it serves")
    with pytest.raises(SettingsError, match=r"its master keys \(k2\)"):
        async with open_edge(tmp_path, place):
            raise AssertionError("it serves")
    async with open_edge(tmp_path, place, **keys(2)) as edge:
        writer.person.http = edge.http
        assert await writer.read() == str(writer.text)
        settings = edge.services.settings
        assert await commands.rotate(settings, said.append, "plain")
        await writer.write("?")
        assert await key_ids(edge.services) == {None}
        assert await commands.retire(settings, said.append)
    async with open_edge(tmp_path, place) as edge:
        writer.person.http = sender.person.http = edge.http
        assert await writer.read() == str(writer.text)
        assert (await sender.read(asset["id"])).content == PICTURE
        recorded = select(audit_events.c.action).order_by(audit_events.c.seq)
        actions = await edge.database.read(lambda conn: list(conn.execute(recorded).scalars()))
        assert [one for one in actions if one.startswith("keys.")] == [
            *("keys.rotate", "keys.retire", "keys.rotate", "keys.retire")
        ]


async def test_killed_in_the_middle_it_goes_on_with_what_is_left(
    tmp_path: Path, place: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Z6 Z7: and what is still needed stays."""
    monkeypatch.setattr(rotation, "BATCH_ROWS", 2)
    monkeypatch.setattr(rotation, "SAY_S", 0.0)
    said: list[str] = []
    async with open_edge(tmp_path, place, **keys(1)) as edge:
        services = edge.services
        writer, sender = await start(edge)
        for number in range(12):
            await writer.write(f"{number} ")
        await store(sender)
        first = await in_use(services)

        def stop_after(words: str) -> None:
            said.append(words)
            if words.startswith("4 of"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await commands.rotate(services.settings, stop_after)
        second = await in_use(services)
        assert await key_ids(services) == {first, second}
        assert not await commands.retire(services.settings, said.append)
        assert any(line.startswith(f"Data key {first} stays") for line in said)
        await commands.list_all(services.settings, said.append)
        assert any("in use: 4 rows" in line for line in said)
        await writer.write("end")
        await services.hub.evict(writer.room_id, Unavailable())
        assert await writer.read() == str(writer.text)
        assert await commands.rotate(services.settings, said.append)
        assert await in_use(services) == second
        assert await key_ids(services) == {second}
        # all is there: now it makes another one
        assert await commands.rotate(services.settings, said.append)
        assert await in_use(services) not in (first, second)


async def test_what_is_damaged_is_told_and_keeps_nothing_else(tmp_path: Path, empty_database: Path) -> None:
    """Z2 Z6: a row that was copied from another place, and a file that lost its end."""
    said: list[str] = []
    async with open_edge(tmp_path, empty_database, **keys(1)) as edge:
        services = edge.services
        writer, sender = await start(edge)
        for number in range(4):
            await writer.write(f"{number} ")
        await store(sender)
        path = next(one for one in (tmp_path / "blobs").rglob("*a.png") if one.is_file())
        path.write_bytes(path.read_bytes()[:-1])

        def swap(conn: Connection) -> None:
            table = room_updates.c
            other = select(table.update_bytes).where(table.seq == 1).scalar_subquery()
            conn.execute(update(room_updates).where(table.seq == 2).values(update_bytes=other))

        await as_system(services.database).write(swap)
        await services.hub.evict(writer.room_id, Unavailable())
        refused = await writer.person.ask("GET", writer.at)
        assert refused.status_code == 503
        assert "is not what was encrypted there" in refused.json()["detail"]
        assert not await commands.rotate(services.settings, said.append)
        broken = [line for line in said if line.startswith("Not changed:")]
        assert len(broken) == 2
        assert f"update 2 of {writer.room_id}" in broken[0]
        assert path.name in broken[1]
        assert not await commands.retire(services.settings, said.append)
        read = await sender.read(sha256(PICTURE))
        assert read.status_code == 503


async def test_files_of_another_database_stay_as_they_are(tmp_path: Path, empty_database: Path) -> None:
    """Z6: sealed with keys of this one, its own could never read them."""
    strange = tmp_path / "blobs" / "images" / "bob" / "01arz3ndektsv4rrffq69g5fav-photo.png"
    strange.parent.mkdir(parents=True)
    strange.write_bytes(b"strange")
    said: list[str] = []
    async with open_edge(tmp_path, empty_database, **keys(1)) as edge:
        assert await commands.rotate(edge.services.settings, said.append)
        assert await commands.rotate(edge.services.settings, said.append)
        assert not any(line.startswith("Going on") for line in said)
    assert strange.read_bytes() == b"strange"


async def test_a_rotation_without_its_keys_changes_nothing(tmp_path: Path, empty_database: Path) -> None:
    """Z8."""
    async with open_edge(tmp_path, empty_database, **keys(1)) as edge:
        before = await in_use(edge.services)
        for given, words in ((keys(), "must be set"), (keys(2), "master key k1")):
            settings = Settings(data_dir=tmp_path, **given)
            with pytest.raises(SettingsError, match=words):
                await commands.rotate(settings, lambda _: None)
        assert await in_use(edge.services) == before
        # to count and to forget needs none
        said: list[str] = []
        await commands.list_all(Settings(data_dir=tmp_path), said.append)
        assert any("its master key is missing" in line for line in said)


async def test_files_are_streamed_and_no_address_of_storage_is_given_out(
    tmp_path: Path, empty_database: Path
) -> None:
    """Z5."""
    bucket = "s3://bucket/kanvas?endpoint=https://storage.example.org"
    async with open_edge(tmp_path, empty_database, **keys(1)) as edge:
        sender = await enter(edge)
        asset = await store(sender)
        found = await sender.read(asset["id"], Range="bytes=3-9")
        assert (found.status_code, found.content) == (206, PICTURE[3:10])
        assert not edge.services.redirects_reads
        far = edge.services.settings.model_copy(update={"blobs_url": bucket})
        page = await edge.http.get("/")
        assert "storage.example.org" not in page.headers["content-security-policy"]
        from server.blobs.open import storage_origin

        assert storage_origin(far) is None
        assert storage_origin(far.model_copy(update={"encryption_keys": None})) is not None
