"""The engine's clock is virtual in all of its tests: no deadline passes because a machine is busy."""

from tests.party.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories() -> dict[str, type[VirtualLoop]]:
    return {"virtual": VirtualLoop}
