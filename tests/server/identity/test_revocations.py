"""Revocation in several processes: two copies of one table, told by notes, and by the table without them."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from db.database import open_database
from party.errors import Unauthenticated, Unavailable
from server.auth import Identity
from server.identity import revocations
from server.identity.revocations import WIDE_EVERY, Revocations, open_revocations
from tests.server.edge import copy_database


class Wires:
    """Notes between processes, which may be lost: what the hub does."""

    def __init__(self) -> None:
        self.handlers: list[Callable[[str, bytes], None]] = []
        self.is_cut = False

    def end(self) -> "WireEnd":
        return WireEnd(self)


class WireEnd:
    """One process's."""

    def __init__(self, wires: Wires) -> None:
        self.wires = wires
        self.own: Callable[[str, bytes], None] | None = None

    def note(self, topic: str, data: bytes, to: str | None = None) -> None:
        assert topic == "revoke"
        for handler in self.wires.handlers:
            if handler is not self.own and not self.wires.is_cut:
                handler("elsewhere", data)

    def on_note(self, topic: str, handler: Callable[[str, bytes], None]) -> None:
        self.own = handler
        self.wires.handlers.append(handler)


def somebody(user_id: str = "ada", session_id: str = "s", age_s: float = 60.0) -> Identity:
    issued = datetime.now(UTC) - timedelta(seconds=age_s)
    return Identity(
        user_id,
        user_id.title(),
        False,
        issued,
        issued + timedelta(hours=1),
        token_id="t" + session_id,
        session_id=session_id,
    )


class Pair:
    """Two processes on one database."""

    def __init__(self, first: Revocations, second: Revocations, wires: Wires) -> None:
        self.first, self.second, self.wires = first, second, wires
        self.news: list[Collection[str]] = []
        second.on_news = self.news.append

    async def heard(self, one: Identity) -> None:
        """Wait until the second process knows."""
        async with asyncio.timeout(120):
            while not self.second.is_void(one):
                await asyncio.sleep(0.005)


@pytest.fixture
async def both(tmp_path: Path, empty_database: Path) -> Any:
    path = copy_database(tmp_path, empty_database)
    async with AsyncExitStack() as stack:
        wires = Wires()
        made = []
        for _ in range(2):
            database = await stack.enter_async_context(open_database(f"sqlite:///{path}"))
            one = await stack.enter_async_context(open_revocations(database, lambda: datetime.now(UTC)))
            one.connect(wires.end())
            made.append(one)
        yield Pair(made[0], made[1], wires)


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes look into the table once a minute: what is known sooner was told."""
    monkeypatch.setattr(revocations, "POLL_S", 60)


@pytest.mark.usefixtures("no_looks")
async def test_another_process_is_told_at_once(both: Pair) -> None:
    """I7."""
    ada, bea = somebody(), somebody("bea", "s2")
    await both.first.check(ada)
    await both.first.end_session(ada)
    with pytest.raises(Unauthenticated, match="sign in again"):
        await both.first.check(ada)
    await both.heard(ada)
    await both.first.end_user("bea")
    await both.heard(bea)
    assert [set(one) for one in both.news] == [{"ada"}, {"bea"}]
    await both.second.check(somebody("bea", "s3", age_s=-1))


async def test_a_lost_note_costs_half_a_second(both: Pair) -> None:
    """I7: the table is the truth."""
    both.wires.is_cut = True
    await both.first.end_session(somebody())
    await both.heard(somebody())
    assert revocations.POLL_S == 0.5


@pytest.mark.parametrize("off_s", [-200, 200])
async def test_clocks_that_differ(tmp_path: Path, empty_database: Path, off_s: float) -> None:
    """I7: what is written by a clock that is ahead or behind is found, and hides nothing of the others."""
    path = copy_database(tmp_path, empty_database)
    async with open_database(f"sqlite:///{path}") as database:
        here = Revocations(database, lambda: datetime.now(UTC))
        there = Revocations(database, lambda: datetime.now(UTC) + timedelta(seconds=off_s))
        third = Revocations(database, lambda: datetime.now(UTC))
        for one in (here, there, third):
            await one.look()
        await there.end_session(somebody("ada", "s1"))
        await third.end_session(somebody("bea", "s2"))
        for _ in range(WIDE_EVERY):
            await here.look()
        assert here.is_void(somebody("ada", "s1"))
        assert here.is_void(somebody("bea", "s2"))
        await third.end_session(somebody("carol", "s3"))
        await here.look()
        assert here.is_void(somebody("carol", "s3"))


async def test_a_renewal_asks_the_table(both: Pair) -> None:
    """I7: also of a token whose parent ended, and before the other process was told."""
    both.wires.is_cut = True
    ada = somebody()
    await both.first.end_session(ada)
    child = replace(ada, token_id="later")
    with pytest.raises(Unauthenticated):
        await both.second.check_written(child)
    with pytest.raises(Unauthenticated):
        await both.first.check(child)
    await both.second.check_written(somebody("ada", "elsewhere"))


async def test_what_is_known_counts_while_the_database_is_away(tmp_path: Path, empty_database: Path) -> None:
    """I7: and nobody is told that something ended which is not written."""
    path = copy_database(tmp_path, empty_database)
    async with open_database(f"sqlite:///{path}") as database:
        one = Revocations(database, lambda: datetime.now(UTC))
        await one.end_session(somebody())
    with pytest.raises(Unavailable):
        await one.end_session(somebody("bea", "s2"))
    assert one.is_void(somebody())
    assert not one.is_void(somebody("bea", "s2"))


async def test_more_than_fit_are_looked_up(tmp_path: Path, empty_database: Path) -> None:
    """I7: memory is bounded, and what has no room in it has still ended."""
    path = copy_database(tmp_path, empty_database)
    async with open_database(f"sqlite:///{path}") as database:
        one = Revocations(database, lambda: datetime.now(UTC), most_kept=3)
        for number in range(6):
            await one.end_session(somebody("ada", f"s{number}"))
        for number in range(6):
            with pytest.raises(Unauthenticated):
                await one.check(somebody("ada", f"s{number}"))
        assert not one.is_void(somebody("ada", "s0"))
        await one.check(somebody("bea", "fine"))
        again = Revocations(database, lambda: datetime.now(UTC), most_kept=3)
        await again.look()
        with pytest.raises(Unauthenticated):
            await again.check(somebody("ada", "s0"))


async def test_what_ran_out_is_forgotten(tmp_path: Path, empty_database: Path) -> None:
    path = copy_database(tmp_path, empty_database)
    now = datetime.now(UTC)
    async with open_database(f"sqlite:///{path}") as database:
        one = Revocations(database, lambda: now)
        await one.end_session(somebody("ada", "old"))
        await one.end_user("bea")
        now += timedelta(days=80)
        await one.end_session(somebody("ada", "new"))
        now += timedelta(days=20)
        await one.clean_up()
        assert not one.is_void(somebody("ada", "old"))
        assert one.is_void(somebody("ada", "new"))
        assert one.is_void(somebody("bea", "any"))
