"""An event loop whose clock is virtual: it jumps to the next timer instead of waiting for it.

Hours of deadlines take milliseconds, and the same seed gives the same run.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time is 0 at the start and moves only when nothing is left to do; what a thread does takes none."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._in_threads: set[asyncio.Future[Any]] = set()
        selector: Any = self._selector  # type: ignore[attr-defined]
        look = selector.select

        def select(timeout: float | None = None) -> list[Any]:
            found: list[Any]
            if self._is_thread_at_work() and timeout != 0:
                found = look(None)
                return found
            if timeout is None:
                raise RuntimeError("everybody waits, and no timer is set")
            self._now += max(0.0, timeout)
            found = look(0)
            return found

        selector.select = select

    def time(self) -> float:
        return self._now

    def spend(self, seconds: float) -> None:
        """What is called just now takes so long."""
        self._now += seconds

    def run_in_executor(self, *work: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future: asyncio.Future[Any] = super().run_in_executor(*work)
        self._in_threads.add(future)
        future.add_done_callback(self._in_threads.discard)
        return future

    def _is_thread_at_work(self) -> bool:
        # at the end of the loop one waits for the threads to end
        is_closing: bool = self._executor_shutdown_called  # type: ignore[attr-defined]
        return bool(self._in_threads) or is_closing


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
