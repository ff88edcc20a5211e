"""A process that does jobs and nothing else: `kanvas worker`.

Owns: its life from start to signal. Does not own: services (services.py), jobs (jobs/).
Rules: it listens nowhere; on SIGTERM or SIGINT it takes no more jobs, gives those that run a few seconds and
puts back what did not end.
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Final

from server.serve import end_for_certain, loop_factory
from server.services import open_services
from server.settings import Settings

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


async def work(settings: Settings, on_start: Callable[[], None]) -> None:
    """Do jobs until SIGINT or SIGTERM. The database must be migrated."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for one in SIGNALS:
        signal.signal(one, lambda *_: loop.call_soon_threadsafe(stop.set))
    async with open_services(settings, role="worker") as services:
        # an operator's order to drain it
        services.oversight.stop = stop.set
        on_start()
        await stop.wait()


def run(settings: Settings, on_start: Callable[[], None]) -> None:
    """Do jobs in a fresh event loop, and be gone soon after its end."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(work(settings, on_start))
        finally:
            end_for_certain()
