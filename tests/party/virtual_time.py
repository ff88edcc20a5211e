"""An event loop whose clock is virtual: it jumps to the next timer instead of waiting for it.

Hours of deadlines take milliseconds, and the same seed gives the same run.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time is 0 at the start and moves only when nothing is left to do."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined]
        look = selector.select

        def select(timeout: float | None = None) -> list[Any]:
            if timeout is None:
                raise RuntimeError("everybody waits, and no timer is set")
            self._now += max(0.0, timeout)
            found: list[Any] = look(0)
            return found

        selector.select = select

    def time(self) -> float:
        return self._now


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end in a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
