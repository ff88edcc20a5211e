"""server.keeper: holds reach the database whatever happens meanwhile, and lifted ones leave it."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from db.database import Database, open_database
from db.migrate import upgrade
from db.quarantine import list_holds
from db.scopes import as_system
from party.errors import Unavailable
from server import keeper as keepers
from server.keeper import Keeper, open_keeper


def strike(keeper: Keeper) -> None:
    """The client's edit is refused by the native code."""
    keeper.guard.take("u")
    keeper.guard.poisoned("room-1")


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("error", [Unavailable, RuntimeError])
async def test_a_hold_that_could_not_be_stored_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Q7: a database that is away for a moment, or an error of ours, costs no hold."""
    monkeypatch.setattr(keepers, "RETRY_S", 0.05, raising=False)
    url = f"sqlite:///{tmp_path / 'kanvas.db'}"
    await asyncio.to_thread(upgrade, url)
    failures = 2

    async def fail_twice(self: Database, work: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise error
        return await write(self, work)

    async with open_database(url) as database, open_keeper(database, tmp_path) as keeper:
        write = type(database).write
        monkeypatch.setattr(type(database), "write", fail_twice)
        strike(keeper)

        async def is_stored() -> bool:
            return len(await as_system(database).read(list_holds)) == len(keeper.holds()) > 0

        await until(is_stored)
        assert failures == 0


async def test_a_strike_while_it_is_lifted_is_in_memory_and_in_the_database(tmp_path: Path) -> None:
    """Q7: both say the same afterwards, so a restart changes nothing."""
    url = f"sqlite:///{tmp_path / 'kanvas.db'}"
    await asyncio.to_thread(upgrade, url)
    async with open_database(url) as database, open_keeper(database, tmp_path) as keeper:
        strike(keeper)
        await keeper.store()
        busy = asyncio.create_task(as_system(database).write(lambda _: time.sleep(0.2)))
        await asyncio.sleep(0.05)
        lifting = asyncio.create_task(keeper.lift(keeper.holds()[0].id))
        await asyncio.sleep(0.05)
        strike(keeper)
        assert await lifting
        await busy
        await keeper.store()
        stored = {row.id for row in await as_system(database).read(list_holds)}
        assert stored == {hold.id for hold in keeper.holds()}
        assert stored


async def test_a_hold_of_ours_that_is_lifted_elsewhere_before_we_look_again_is_lifted(tmp_path: Path) -> None:
    """Q7: the table is as it was when we last looked, but not as we left it."""
    url = f"sqlite:///{tmp_path / 'kanvas.db'}"
    await asyncio.to_thread(upgrade, url)
    async with (
        open_database(url) as database,
        open_keeper(database, None) as here,
        open_keeper(database, None) as there,
    ):
        await here.look()
        strike(here)
        await here.store()
        await there.look()
        assert await there.lift(there.holds()[0].id)
        await here.look()
        assert here.holds() == []
        # nor does one come back that was lifted here and struck again there
        strike(there)
        await there.store()
        await here.look()
        assert await here.lift(here.holds()[0].id)
        await there.look()
        strike(there)
        await there.store()
        await here.look()
        assert [hold.strikes for hold in here.holds()] == [1]
