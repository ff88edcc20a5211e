"""The event loop that serves; the bus, which stands on its transports, runs on Python's own, too."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop}
    return factories | {"asyncio": asyncio.new_event_loop} if item.path.name == "test_bus.py" else factories
