"""A writer that notes how long it ever waited to see an edit of its own saved."""

import time

from tests.live.writer import Writer


class Patient(Writer):
    """Keeps writing through restarts. `longest_s` is between two edits that were shown as saved."""

    def __init__(self, name: str, url: str, token: str) -> None:
        super().__init__(name, url, token)
        self.longest_s = 0.0
        self._saved_at = 0.0

    def _note(self, clock: int) -> None:
        before = len(self.durable)
        super()._note(clock)
        if len(self.durable) == before:
            return
        now = time.monotonic()
        if self._saved_at:
            self.longest_s = max(self.longest_s, now - self._saved_at)
        self._saved_at = now
