"""The event loop that serves."""

import asyncio
from collections.abc import Callable

import uvloop


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Its transports differ from those of the standard library; the bus stands on them directly."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
