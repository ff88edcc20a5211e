"""A writer that notes how long it waited to see edits of its own saved."""

import time

from tests.live.pulse import Pulse
from tests.live.writer import Writer


class Patient(Writer):
    """Keeps writing through restarts."""

    def __init__(self, name: str, url: str, token: str) -> None:
        super().__init__(name, url, token)
        self._saved_at: list[float] = []

    def longest_s(self, pulse: Pulse) -> float:
        """Between two edits that were shown as saved, as long as the machine worked."""
        return max(map(pulse.worked_s, self._saved_at, self._saved_at[1:]), default=0.0)

    def _note(self, clock: int) -> None:
        before = len(self.durable)
        super()._note(clock)
        if len(self.durable) > before:
            self._saved_at.append(time.monotonic())
