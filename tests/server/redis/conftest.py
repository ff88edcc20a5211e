"""The event loop that serves; the bus, which stands on its transports, runs on Python's own, too. And how
long Redis may take to answer."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from server.rates import failover
from server.redis import client, directory, metadata, trial

DEADLINES = [
    *((module, "DEADLINE_S", 60.0) for module in (directory, failover, metadata, trial)),
    (directory, "TELLING_S", 60.0),
    # where redis-py loses a cancellation, it is this long until that is noticed
    (client, "DEADLINE_S", 5.0),
]


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    return factories | {"asyncio": asyncio.new_event_loop} if item.path.name == "test_bus.py" else factories


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """On a busy machine an answer of a Redis that is there may take longer than people are made to wait. A
    test that has it hang calls this first: from then on the deadlines are those of the product."""
    shipped = [(module, name, getattr(module, name)) for module, name, _ in DEADLINES]
    for module, name, seconds in DEADLINES:
        monkeypatch.setattr(module, name, seconds)

    def hasten() -> None:
        for module, name, seconds in shipped:
            monkeypatch.setattr(module, name, seconds)

    return hasten
