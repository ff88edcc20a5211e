"""Outstanding: answers to sync steps that their readers have not taken yet.

Owns: the process's byte budget for answers that are made for one connection alone. Does not own: the bytes
that all who join share, and the frames (each connection's own bound). Keeps rule S11. Pure.
"""

from party.ports import Connection


class Outstanding:
    """Bytes on their way to readers, at most `max_bytes` and always at least one answer."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._answers: dict[Connection, int] = {}
        self._sum_bytes = 0

    @property
    def is_full(self) -> bool:
        """True while no more may be answered: whoever asks waits."""
        if self._sum_bytes < self._max_bytes:
            return False
        for connection in [one for one in self._answers if one.buffered_bytes == 0]:
            self._sum_bytes -= self._answers.pop(connection)
        return self._sum_bytes >= self._max_bytes

    def add(self, connection: Connection, size_bytes: int) -> None:
        """An answer of so many bytes was handed to the connection."""
        if size_bytes:
            self._answers[connection] = self._answers.get(connection, 0) + size_bytes
            self._sum_bytes += size_bytes

    def remove(self, connection: Connection) -> None:
        """The connection is gone, and what it had not read with it. Idempotent."""
        self._sum_bytes -= self._answers.pop(connection, 0)
