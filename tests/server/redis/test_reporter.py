"""server.reporter: what is told, when, and what becomes of it when telling fails."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from party.errors import RoomNotFound
from party.ports import Principal
from server import reporter
from server.directory import MemoryDirectory, News, PersonHere
from server.redis.address import RedisAway
from server.reporter import Reporter
from tests.party.peers import Wire
from tests.server.edge import Edge, open_edge

ADA, BEN = Principal("ada", "Ada"), Principal("ben", "Ben")


class Heard(MemoryDirectory):
    """A directory that writes down what it is told, and may be away."""

    def __init__(self) -> None:
        super().__init__("n1")
        self.told: list[News] = []
        self.is_away = False

    async def publish(self, news: News) -> list[str]:
        if self.is_away:
            raise RedisAway
        self.told.append(news)
        return await super().publish(news)


@asynccontextmanager
async def open_told(data_dir: Path, empty_database: Path) -> AsyncIterator[tuple[Edge, Reporter, Heard]]:
    async with open_edge(data_dir, empty_database) as edge:
        person = await edge.guest()
        for room_id in ("one", "two"):
            await person.room(id=room_id, visibility="public" if room_id == "one" else "unlisted")
        heard = Heard()
        yield edge, Reporter(edge.services.hub, edge.services.database, heard), heard


async def test_only_what_changed_is_told(tmp_path: Path, empty_database: Path) -> None:
    async with open_told(tmp_path, empty_database) as (edge, telling, heard):
        hub = edge.services.hub
        await telling.tell()
        assert (heard.told[-1].rooms, heard.told[-1].node.rooms) == ({}, 0)
        seat = await hub.join("one", ADA, Wire())
        await hub.join("two", ADA, Wire())
        await telling.tell()
        news = heard.told[-1]
        assert {one: (room.people, room.is_public) for one, room in news.rooms.items()} == {
            "one": ((PersonHere("ada", "Ada"),), True),
            "two": ((PersonHere("ada", "Ada"),), False),
        }
        assert news.rooms["one"].latest.version == await hub.version("one")
        assert (news.node.rooms, news.node.connections) == (2, 2)
        assert list(news.whereabouts) == ["ada"]
        await telling.tell()
        assert (heard.told[-1].rooms, heard.told[-1].whereabouts) == ({}, {})
        await hub.join("one", BEN, Wire())
        seat.leave()
        await telling.tell()
        news = heard.told[-1]
        assert list(news.rooms) == ["one"]
        assert news.rooms["one"].people == (PersonHere("ben", "Ben"),)
        assert news.rooms["one"].left == (PersonHere("ada", "Ada"),)
        assert news.whereabouts == {"ben": "one"}
        await hub.evict("one", RoomNotFound())
        await telling.tell()
        news = heard.told[-1]
        assert (news.rooms, news.empty) == ({}, {"one": (PersonHere("ben", "Ben"),)})
        assert news.whereabouts == {"ben": None}


async def test_what_is_still_so_is_repeated(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_told(tmp_path, empty_database) as (edge, telling, heard):
        await edge.services.hub.join("one", ADA, Wire())
        await telling.tell()
        monkeypatch.setattr(reporter, "REPEAT_S", 0.0)
        monkeypatch.setattr(reporter, "PRESENCE_REPEAT_S", 0.0)
        await telling.tell()
        assert list(heard.told[-1].rooms) == ["one"]
        assert heard.told[-1].whereabouts == {"ada": "one"}


async def test_after_a_failure_all_is_told(tmp_path: Path, empty_database: Path) -> None:
    async with open_told(tmp_path, empty_database) as (edge, telling, heard):
        await edge.services.hub.join("one", ADA, Wire())
        await telling.tell()
        heard.is_away = True
        with pytest.raises(RedisAway):
            await telling.tell()
        heard.is_away = False
        await telling.tell()
        assert list(heard.told[-1].rooms) == ["one"]
        assert heard.told[-1].whereabouts == {"ada": "one"}
