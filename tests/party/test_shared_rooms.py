"""One room open at two and three nodes: what passes between them, and what does not."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from party import bus, wire
from party.errors import RoomNotFound
from party.limits import Limits
from party.ports import Principal
from tests.party.contents import content
from tests.party.nodes import Cluster, Node
from tests.party.peers import ANNA, BERT, Peer, everything
from tests.party.test_abuse import value
from tests.party.virtual_time import run_virtually

LIMITS = Limits()


async def two(cluster: Cluster) -> tuple[Node, Node]:
    cluster.shared.create("r")
    return await cluster.start("a"), await cluster.start("b")


async def settle(*peers: Peer, for_s: float = 0.4) -> None:
    for _ in range(20):
        await asyncio.sleep(for_s / 20)
        for peer in peers:
            if peer._send is not None and peer.wire.closed is None:
                peer.read()
                peer.flush()


def play(game: Callable[[Cluster], Any], poll_s: float | None = None) -> None:
    async def run() -> None:
        async with Cluster(LIMITS, poll_s=poll_s) as cluster:
            await game(cluster)

    run_virtually(run())


def test_an_edit_is_shown_at_both_nodes_and_journalled_once() -> None:
    """B3: the same bytes; and by the bus alone."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        anna, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
        await settle(anna, bert)
        anna.draw("a", x=None)
        await settle(anna, bert)
        bert.draw("b")
        await settle(anna, bert)
        assert content(bert.doc)["elements"].keys() == {"a", "b"}
        assert everything(anna.doc) == everything(bert.doc)
        # an edit and its repair, and an edit
        assert len(cluster.shared.log["r"]) == 3
        assert anna.wire.of(wire.Update) == bert.wire.of(wire.Update)
        assert one.hub.relay.gaps == other.hub.relay.gaps == 0

    play(game)


def test_an_unshared_room_says_nothing() -> None:
    """B2: rows and presence go to who has the room open, until it leaves or is silent."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        anna = await Peer(ANNA).connect(one.hub)
        await settle(anna)
        one.bus.keeps = True
        anna.draw("a")
        anna.say(anna.doc.client_id, 1, {})
        await settle(anna)
        codec = bus.Codec("b")
        said = [codec.decode(data, "a") for _, data in one.bus.sent]
        assert [message for message in said if not isinstance(message, bus.Beat)] == []
        bert = await Peer(BERT).connect(other.hub)
        await settle(anna, bert)
        assert one.hub.nodes() == ["a", "b"]
        anna.draw("b")
        one.bus.sent.clear()
        await settle(anna, bert)
        assert any(isinstance(codec.decode(data, "a"), bus.Rows) and to == "b" for to, data in one.bus.sent)
        await cluster.kill(other)
        await asyncio.sleep(5)
        assert one.hub.nodes() == ["a"]
        assert not one.hub.rooms["r"].is_shared

    play(game)


def test_a_lost_message_is_read_from_the_journal() -> None:
    """B4, B5: at the next one, or by the poll where there is no next one."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        anna, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
        await settle(anna, bert)
        one.bus.cut()
        anna.draw("a")
        await settle(anna, bert)
        assert content(bert.doc)["elements"] == {}
        await settle(anna, bert, for_s=1.5)
        assert content(bert.doc)["elements"].keys() == {"a"}
        anna.draw("b")
        await settle(anna, bert, for_s=0.1)
        one.bus.mend()
        await settle(anna, bert, for_s=0.1)
        assert everything(anna.doc) == everything(bert.doc)

    play(game, poll_s=1.0)


def test_rows_twice_late_and_wrong_change_nothing() -> None:
    """B7, B1: told again, told of rows that are not there, told nonsense with a right digest."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        anna, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
        one.bus.keeps = True
        for name in "abc":
            anna.draw(name)
            await settle(anna, bert, for_s=0.1)
        heard = len(bert.wire.of(wire.Update))
        relay, codec = one.hub.relay, bus.Codec("c")
        for to, message in [(to, codec.decode(data, "a")) for to, data in one.bus.sent] * 2:
            relay.say(message, to)
        for first_seq, frame in ((4, b"\xff"), (4, value(9) + b"\x00"), (2**40, value(9))):
            relay.say(bus.Rows("r", 1, first_seq, first_seq + 2, (frame,)), "b")
        # builds on what is not there
        relay.say(bus.Rows("r", 1, 4, 4, (b"\x01\x01\x07\x05\x00\x01\x00\x00",)), "b")
        relay.note("no such topic", b"")
        await settle(anna, bert)
        assert len(bert.wire.of(wire.Update)) == heard
        assert bert.wire.code is None
        assert other.hub.relay.ignored + other.hub.rooms["r"].ignored >= 3
        anna.draw("d")
        await settle(anna, bert)
        assert everything(anna.doc) == everything(bert.doc)

    play(game)


def test_who_comes_over_from_a_node_that_died_is_acknowledged_once() -> None:
    """B6: the edit is in the journal, its new node has not seen it, and the client brings it again."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        anna, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
        await settle(anna, bert)
        one.journal.dies_after_append = True
        one.bus.cut()
        anna.draw("a")
        anna.flush()
        await asyncio.sleep(0.05)
        assert len(cluster.shared.log["r"]) == 1
        anna.disconnect()
        await cluster.kill(one)
        anna.draw("b")
        anna.outgoing.clear()
        await anna.connect(other.hub)
        await settle(anna, bert)
        assert anna.wire.code is bert.wire.code is None
        assert content(bert.doc)["elements"].keys() == {"a", "b"}
        assert everything(anna.doc) == everything(bert.doc)
        assert len(cluster.shared.log["r"]) == 2

    play(game)


def test_presence_and_people_cross_and_go_with_their_node() -> None:
    """B8, B9."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        anna, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
        await settle(anna, bert)
        anna.say(7, 1, {"cursor": 1})
        await settle(anna, bert)
        assert bert.states[7].state["cursor"] == 1
        assert bert.states[7].state["user"]["id"] == ANNA.user_id
        for node in (one, other):
            assert {person.user_id for person in node.hub.present("r")} == {ANNA.user_id, BERT.user_id}
        late = await Peer(BERT).connect(other.hub)
        await settle(late)
        assert late.states[7].state["cursor"] == 1
        # she goes over with a higher clock, and then her old socket dies
        again = await Peer(ANNA).connect(other.hub)
        again.say(7, 2, {"cursor": 2})
        await settle(anna, bert, again)
        anna.disconnect()
        await settle(bert, again)
        assert bert.states[7].state["cursor"] == 2
        # somebody else's is not hers to show
        eve = await Peer(Principal("eve", "Eve")).connect(one.hub)
        eve.say(7, 9, {"cursor": 3})
        eve.say(8, 1, {})
        await settle(bert, eve)
        assert bert.states[7].state["cursor"] == 2
        assert bert.states[8].state["user"]["id"] == "eve"
        await cluster.kill(one)
        await settle(bert, for_s=5)
        assert bert.states[8].state is None
        assert {person.user_id for person in other.hub.present("r")} == {ANNA.user_id, BERT.user_id}

    play(game)


def test_a_deleted_room_is_closed_everywhere() -> None:
    """B10, H5; and a note that its handler fails on harms nobody."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        heard: list[tuple[str, bytes]] = []
        other.hub.on_note("words", lambda sender, data: heard.append((sender, data)))
        other.hub.on_note("bad", lambda *_: 1 / 0)  # type: ignore[arg-type,return-value]
        bert = await Peer(BERT).connect(other.hub)
        one.hub.note("bad", b"")
        one.hub.note("words", b"hello")
        one.hub.note("words", b"nobody", to="c")
        await settle(bert)
        assert heard == [("a", b"hello")]
        await one.hub.evict("r", RoomNotFound("It is in the trash."))
        await asyncio.sleep(0.01)
        assert bert.wire.closed == (4404, "It is in the trash.")

    play(game)


def test_a_node_that_is_not_understood_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """B1: an operator who gave two machines two secrets learns of it, and not once a second."""

    async def game(cluster: Cluster) -> None:
        _, other = await two(cluster)
        await settle(for_s=2)

        def strangers() -> list[str]:
            lines = [line for line in caplog.records if "not understood" in line.getMessage()]
            assert all(vars(line)["reason"].startswith("The message is damaged") for line in lines)
            return [str(vars(line)["node"]) for line in lines]

        beat = bus.Codec("c", b"another secret").encode(bus.Beat(1))
        # damage on the way is not a matter of settings
        other.bus._hear("a", beat)
        assert strangers() == []
        for name in ("c", "c", "d"):
            other.bus._hear(name, beat)
        assert strangers() == ["c"]
        await settle(for_s=60)
        other.bus._hear("c", beat)
        assert strangers() == ["c", "c"]

    play(game)


def test_what_somebody_recorded_and_sends_again_does_nothing() -> None:
    """B12: a room that was deleted, and restored, is not closed by the words of that time."""

    async def game(cluster: Cluster) -> None:
        one, other = await two(cluster)
        bert = await Peer(BERT).connect(other.hub)
        one.bus.keeps = True
        await one.hub.evict("r", RoomNotFound("It is in the trash."))
        await settle(bert)
        assert bert.wire.code == 4404
        recorded = list(one.bus.sent)
        await bert.connect(other.hub)
        await settle(bert)
        ignored = other.hub.relay.ignored
        for _ in range(2):
            for to, data in recorded:
                one.bus.send(data, to)
            await settle(bert)
        assert bert.wire.closed is None
        assert other.hub.relay.ignored - ignored >= 2
        # nor when it comes as somebody else's, or when its sender was forgotten
        for _, data in recorded:
            other.bus._hear("c", data)
        await cluster.kill(one)
        await settle(bert, for_s=5)
        assert other.hub.nodes() == ["b"]
        for _, data in recorded:
            other.bus._hear("a", data)
        await settle(bert)
        assert bert.wire.closed is None
        assert other.hub.nodes() == ["b"]

    play(game)
