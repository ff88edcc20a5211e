"""What every Directory must do, for its node alone; both adapters run it."""

from datetime import UTC, datetime, timedelta

from server.directory import Directory, Latest, News, NodeStats, PersonHere, RoomNews, RoomStats

ADA, BEN, CLEO = PersonHere("ada", "Ada"), PersonHere("ben", "Ben"), PersonHere("cleo", "Cléo ☕")
NODE = NodeStats(host="here", pid=7, started_at=1.5, rooms=2, connections=3)


def room(
    *people: PersonHere,
    is_public: bool = True,
    left: tuple[PersonHere, ...] = (),
    version: str = "1-1",
    digest: str = "d",
) -> RoomNews:
    stats = RoomStats(people=len(people), connections=len(people), version=version, size_bytes=10, rows=1)
    return RoomNews(tuple(people), is_public, stats, Latest(version, digest), left)


class DirectoryContract:
    """Mix in beside a fixture `directory`, fresh for each test, and `node`, its name."""

    async def test_nothing_was_told(self, directory: Directory) -> None:
        assert await directory.active(10) == []
        assert await directory.people(["r"]) == {}
        assert await directory.people([]) == {}
        assert await directory.whereabouts("ada") is None
        assert await directory.latest("r") is None
        assert await directory.nodes() == {}
        assert await directory.room_stats(["r"]) == {}
        assert directory.trouble is None

    async def test_people_come_and_go(self, directory: Directory, node: str) -> None:
        assert await directory.publish(News(NODE, {"r": room(ADA, BEN), "s": room(CLEO)})) == []
        found = await directory.people(["r", "s", "t"])
        assert {one: sorted(people) for one, people in found.items()} == {"r": [ADA, BEN], "s": [CLEO]}
        await directory.publish(News(NODE, {"r": room(BEN, CLEO, left=(ADA,))}, {"s": (CLEO,)}))
        found = await directory.people(["r", "s"])
        assert {one: sorted(people) for one, people in found.items()} == {"r": [BEN, CLEO]}
        assert await directory.people(["r"], others_only=True) == {}
        stats = await directory.room_stats(["r", "s", "t"])
        assert stats == {"r": {node: room(BEN, CLEO).stats}}

    async def test_a_new_name_replaces_the_old_one(self, directory: Directory) -> None:
        await directory.publish(News(NODE, {"r": room(ADA)}))
        renamed = PersonHere("ada", "Lovelace")
        await directory.publish(News(NODE, {"r": room(renamed, left=(ADA,))}))
        assert await directory.people(["r"]) == {"r": (renamed,)}

    async def test_public_rooms_with_most_people_first(self, directory: Directory) -> None:
        rooms = {
            "a": room(ADA),
            "b": room(ADA, BEN),
            "c": room(ADA, BEN, CLEO, is_public=False),
            "d": room(BEN),
        }
        await directory.publish(News(NODE, rooms))
        assert await directory.active(10) == [("b", 2), ("a", 1), ("d", 1)]
        assert await directory.active(2) == [("b", 2), ("a", 1)]

    async def test_whereabouts(self, directory: Directory) -> None:
        await directory.publish(News(NODE, whereabouts={"ada": "r", "ben": None}))
        ada, ben = await directory.whereabouts("ada"), await directory.whereabouts("ben")
        assert ada is not None
        assert ben is not None
        assert (ada.room_id, ben.room_id) == ("r", None)
        assert timedelta(0) <= datetime.now(UTC) - ada.seen_at < timedelta(minutes=1)
        await directory.publish(News(NODE, whereabouts={"ada": None, "ben": "s"}))
        ada, ben = await directory.whereabouts("ada"), await directory.whereabouts("ben")
        assert (ada and ada.room_id, ben and ben.room_id) == (None, "s")

    async def test_the_newest_version(self, directory: Directory) -> None:
        await directory.publish(News(NODE, {"r": room(ADA, version="1-7", digest="x")}))
        assert await directory.latest("r") == Latest("1-7", "x")
        assert await directory.publish(News(NODE, {"r": room(ADA, version="1-8", digest="y")})) == []
        assert await directory.latest("r") == Latest("1-8", "y")

    async def test_the_node_itself(self, directory: Directory, node: str) -> None:
        await directory.publish(News(NODE, {"r": room(ADA)}))
        assert await directory.nodes() == {node: NODE}
        await directory.leave()
        assert await directory.nodes() == {}
        assert await directory.people(["r"]) == {}
        assert await directory.active(10) == []

    async def test_many_rooms(self, directory: Directory) -> None:
        rooms = {f"room-{number}": room(*[ADA, BEN, CLEO][: number % 3 + 1]) for number in range(120)}
        await directory.publish(News(NODE, rooms))
        assert len(await directory.people(list(rooms))) == 120
        assert [count for _, count in await directory.active(50)] == [3] * 40 + [2] * 10
        await directory.publish(News(NODE, {}, {one: news.people for one, news in rooms.items()}))
        assert await directory.people(list(rooms)) == {}
