"""A room's mailbox: updates in the order they came, and how much of whose is waiting.

Owns: the order, what one batch takes of it, and when a session is not read any more. Does not own: what
becomes of the mail (room, writer). Pure. Keeps rules R12, S7.
"""

from collections.abc import Sequence

from party.batch import Mail
from party.limits import Limits


class Mailbox:
    """What waits for its turn in one room."""

    __slots__ = ("_limits", "_waiting")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: list[Mail] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, mail: Mail) -> None:
        """Behind all others. A session with too much in it is not read until all of it is taken (S7)."""
        self._waiting.append(mail)
        session = mail.session
        if session is None:
            return
        session.waiting_messages += 1
        session.waiting_bytes += len(mail.update)
        if not session.paused and (
            session.waiting_messages > self._limits.mailbox_messages
            or session.waiting_bytes > self._limits.mailbox_bytes
        ):
            session.paused = True
            session.connection.pause_reading()

    def take(self) -> list[Mail]:
        """What one batch takes: all of it, or as much as other rooms can wait for (R12)."""
        size_bytes = 0
        for count, mail in enumerate(self._waiting, 1):
            size_bytes += len(mail.update)
            if count >= self._limits.batch_messages or size_bytes >= self._limits.batch_bytes:
                mails, self._waiting = self._waiting[:count], self._waiting[count:]
                return mails
        return self.empty()

    def empty(self) -> list[Mail]:
        """All of it."""
        mails, self._waiting = self._waiting, []
        return mails

    def put_back(self, mails: Sequence[Mail]) -> None:
        """Before all others: it was not looked at after all."""
        self._waiting[:0] = mails

    def withdraw(self, mail: Mail) -> bool:
        """Take it out; False when it does not wait here."""
        if mail not in self._waiting:
            return False
        self._waiting.remove(mail)
        return True


def settle(mail: Mail) -> None:
    """It was looked at: its session may be read again when nothing else of it waits."""
    session = mail.session
    if session is None:
        return
    session.waiting_messages -= 1
    session.waiting_bytes -= len(mail.update)
    if session.paused and session.waiting_messages == 0:
        session.paused = False
        session.connection.resume_reading()
