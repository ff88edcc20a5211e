"""The sequence: what one room knows of rows that it has not shown yet.

Owns: rows that came before their turn, how far the journal is known to go, since when something is missing.
Does not own: applying and showing them (room), reading the journal (relay). Keeps rules B3, B4. Pure: time is
passed in.
"""

from typing import Final

from party.batch import Stretch

MAX_STRETCHES: Final = 256
MAX_BYTES: Final = 2 * 1024 * 1024
"""Of rows that wait for those before them; more are read from the journal when it is their turn."""


class Sequence:
    """Rows behind a gap. Sequence numbers are the journal's."""

    def __init__(self, seq: int) -> None:
        self.known_seq = seq
        """The journal goes at least so far."""

        self.since_s: float | None = None
        """Since when rows are missing."""

        self._ahead: dict[int, Stretch] = {}
        self._ahead_bytes = 0

    def hear(self, seq: int) -> None:
        """The journal goes at least so far."""
        self.known_seq = max(self.known_seq, seq)

    def put(self, stretch: Stretch) -> None:
        """Keep rows until it is their turn. Of two that begin with the same row the longer one stays."""
        self.hear(stretch.last_seq)
        before = self._ahead.get(stretch.first_seq)
        if before is not None:
            if before.last_seq >= stretch.last_seq:
                return
            self._drop(stretch.first_seq)
        has_room = len(self._ahead) < MAX_STRETCHES and self._ahead_bytes + stretch.size_bytes <= MAX_BYTES
        if has_room or stretch.is_read:
            self._ahead[stretch.first_seq] = stretch
            self._ahead_bytes += stretch.size_bytes

    def next(self, seq: int) -> Stretch | None:
        """The rows whose turn it is behind `seq`; they stay until they are `done`."""
        for first_seq, stretch in list(self._ahead.items()):
            if stretch.last_seq <= seq:
                self._drop(first_seq)
            elif first_seq <= seq + 1:
                return stretch
        return None

    def done(self, stretch: Stretch) -> None:
        """They are shown, or no good."""
        if self._ahead.get(stretch.first_seq) is stretch:
            self._drop(stretch.first_seq)

    def begin_read(self, seq: int) -> int:
        """The journal is read now: what was heard, which may have been wrong, counts no more. What it was."""
        heard, self.known_seq = self.known_seq, seq
        return heard

    def note(self, seq: int, now: float) -> None:
        """Everything up to `seq` is shown."""
        if seq >= self.known_seq:
            self.known_seq = seq
            self.since_s = None
        elif self.since_s is None:
            self.since_s = now

    def _drop(self, first_seq: int) -> None:
        self._ahead_bytes -= self._ahead.pop(first_seq).size_bytes
