"""Two pages of one user that write under one Yjs client id at two nodes."""

import asyncio
from typing import Any

from party import wire
from party.contention import FORGIVEN_S, MOST, MOST_USERS, Contention
from party.errors import ClientIdTaken, KanvasError
from party.limits import Limits
from tests.party.contents import content
from tests.party.nodes import Cluster, Node
from tests.party.peers import ANNA, BERT, Peer, everything
from tests.party.updates import ANY, item, update
from tests.party.virtual_time import run_virtually

PAGE = 7


def test_a_few_are_forgiven_and_one_more_after_a_while() -> None:
    """B11."""
    refused = Contention()
    assert [refused.add("anna", 0.0) for _ in range(MOST + 2)] == [False] * MOST + [True, True]
    assert not refused.add("bert", 0.0)
    assert not refused.add("anna", FORGIVEN_S)
    assert refused.add("anna", FORGIVEN_S)
    assert not refused.add("anna", 10 * FORGIVEN_S)


def test_what_is_remembered_is_bounded() -> None:
    """B11."""
    refused = Contention()
    for number in range(MOST_USERS + 5):
        refused.add(f"u{number}", 0.0)
    assert len(refused._until_s) == MOST_USERS


def other_value(clock: int, value: int) -> bytes:
    return update((PAGE, clock, [item(ANY, b"\x01\x7d" + bytes([value]), parent="list")]))


def count_loads(node: Node) -> list[int]:
    """How often the node has to load the document anew for what was refused."""
    room = node.hub.rooms["r"]
    rebuild, loads = room._writer.rebuild, []

    def counted(view: Any) -> None:
        loads.append(view.seq)
        rebuild(view)

    room._writer.rebuild = counted  # type: ignore[method-assign]
    return loads


def play(game: Any) -> None:
    async def run() -> None:
        async with Cluster(Limits()) as cluster:
            cluster.shared.create("r", "open")
            one, other = await cluster.start("a"), await cluster.start("b")
            # neither hears of the other's rows before it has written its own
            one.bus.cut()
            await game(cluster, one, other)

    run_virtually(run())


def test_a_page_that_contradicts_another_node_again_and_again_has_to_go() -> None:
    """B11: it comes back under a fresh id; the others, and the other page, notice nothing."""

    async def game(cluster: Cluster, one: Node, other: Node) -> None:
        first, bert = await Peer(ANNA).connect(one.hub), await Peer(BERT).connect(other.hub)
        again = 0
        second = await Peer(ANNA).connect(other.hub)
        loads = count_loads(other)
        closed = []
        for clock in range(3 * MOST):
            first.send(wire.encode_update(other_value(clock, 1)))
            await asyncio.sleep(0.05)
            second.send(wire.encode_update(other_value(clock, 2)))
            await asyncio.sleep(1)
            if second.wire.closed is not None:
                closed.append(second.wire.closed)
                second = await Peer(ANNA).connect(other.hub)
                again += 1
        assert again == 3 * MOST - MOST
        assert {code for code, _ in closed} == {4509}
        assert "two places" in closed[0][1]
        assert len(loads) == 3 * MOST
        bert.read()
        bert.draw("a")
        bert.flush()
        await asyncio.sleep(1)
        bert.read()
        assert first.wire.code is bert.wire.code is None
        assert content(bert.doc)["list"] == [1.0] * (3 * MOST)
        assert cluster.shared.log["r"][0] == other_value(0, 1)
        one.bus.mend()
        await asyncio.sleep(1)
        first.read()
        assert everything(first.doc) == everything(bert.doc)

    play(game)


def test_whoever_writes_over_http_is_told() -> None:
    """B11, R9."""

    async def game(_cluster: Cluster, one: Node, other: Node) -> None:
        errors: list[KanvasError] = []
        for clock in range(MOST + 2):
            await one.hub.submit("r", ANNA, other_value(clock, 1))
            try:
                await other.hub.submit("r", ANNA, other_value(clock, 2))
            except KanvasError as error:
                errors.append(error)
        assert [type(error) for error in errors] == [ClientIdTaken]
        # another user's edits are let in as ever
        await other.hub.submit("r", BERT, update((9, 0, [item(ANY, b"\x01\x7d\x03", parent="list")])))

    play(game)
