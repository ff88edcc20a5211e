"""The batch: updates on their way through a room, and what becomes of them together.

Owns: the shapes that mailbox, writer, room and committer hand to each other. Does not own: what is let in
(writer), when it is shown (room).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from party import admission
from party.document import Fix
from party.errors import BadUpdate, KanvasError
from party.layout import Layout
from party.ports import NO_CLAIMS, Entry, Owner, Principal
from party.session import Session

Reply = Callable[[str | KanvasError], None]
"""Told the room's version once the update is durable, or why it was refused."""


@dataclass(slots=True, eq=False)
class Author:
    """Somebody who writes over HTTP, as long as the update is under way."""

    principal: Principal


@dataclass(slots=True, eq=False)
class Mail:
    """One update in the mailbox. `session` is None when it came over HTTP; then `reply` is set.

    Or, with `purge`, elements to remove for good where they are still deleted: the server's own (C8).
    """

    update: bytes
    author: Author | Session
    session: Session | None = None
    is_step_2: bool = False
    reply: Reply | None = None
    notice: str = ""
    """What to tell the session: something of it was not taken."""
    is_attempt: bool = False
    """It brought something new, from somebody who may not edit."""
    anatomy: admission.Anatomy | KanvasError | None = None
    """What a chore found in it."""

    laid_out: Layout | None = None
    """The account a chore has put it into."""
    purge: Sequence[str] = ()
    clients: frozenset[int] = frozenset()
    """The client ids it wrote under when it was applied."""

    @property
    def principal(self) -> Principal:
        """Who its author is now: the role may have changed while it waited (G4)."""
        return self.author.principal


@dataclass(slots=True)
class Batch:
    """What one drain of the mailbox made: rows for the journal, frames for the sessions.

    `left` was not looked at and comes first in the next batch. `mended` names the values of one session that
    had to be repaired, when it was the only author. `notices` are words for sessions that lost something.
    """

    entries: list[Entry] = field(default_factory=list)
    frames: list[bytes] = field(default_factory=list)
    advances: dict[int, int] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    refused: list[tuple[Mail, KanvasError]] = field(default_factory=list)
    left: list[Mail] = field(default_factory=list)
    mended: list[tuple[Session, Fix]] = field(default_factory=list)
    claims: dict[int, Owner] = field(default_factory=dict)
    notices: list[tuple[Session, str]] = field(default_factory=list)
    attempts: list[Session] = field(default_factory=list)
    """Those who drew though their role does not let them."""
    mails: list[Mail] = field(default_factory=list)
    """What was looked at, in order: it goes back into the mailbox when the journal refuses the batch (B6)."""

    def fits(self, rows: Iterable[bytes]) -> bool:
        """Whether it may stand behind rows that its authors' node had not seen (B6).

        Not when one has a client id in common with it, unless it is its own, word for word: appended before.
        """
        own = {entry.update for entry in self.entries}
        unknown = [row for row in rows if row not in own]
        try:
            written = [admission.dissect(row, is_own=True).spans for row in unknown]
        except BadUpdate:
            # not ours, and nobody can say what it is
            return False
        return all(self.advances.keys().isdisjoint(clients) for clients in written)

    def absorb(self, part: "Batch") -> None:
        """Take in what was done after this. What the part left is the caller's to see to."""
        self.entries += part.entries
        self.frames += part.frames
        self.advances |= part.advances
        self.replies += part.replies
        self.refused += part.refused
        self.mended += part.mended
        self.notices += part.notices
        self.attempts += part.attempts


class Admitted(NamedTuple):
    """What of an update was applied, and the client ids it advances and binds."""

    update: bytes
    advances: dict[int, int]
    claims: Mapping[int, Owner]


@dataclass(frozen=True, slots=True)
class Chore:
    """Work on bytes that would hold up the other rooms: `work` runs beside the loop, then `done` on it.

    Until then the room takes no batch; its mail waits in order.
    """

    work: Callable[[], Any]
    done: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of the journal that another process wrote, as frames, with the anatomy of each."""

    first_seq: int
    last_seq: int
    frames: Sequence[bytes] = ()
    anatomies: Sequence[admission.Anatomy] = ()
    claims: Mapping[int, Owner] = field(default_factory=lambda: NO_CLAIMS)
    is_read: bool = False
    """From the journal itself, and no hearsay."""

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.frames))

    def has_clients_of(self, batch: Batch) -> bool:
        """Whether both write under one client id: then only one of them can be right (B6)."""
        return any(not batch.advances.keys().isdisjoint(one.spans) for one in self.anatomies)


class Held(Exception):
    """The update can't be applied yet: something has to be done first, and then it is its turn again."""

    pairs: Sequence[admission.Reference] = ()


class Postponed(Held):
    """It waits for the writer's chore."""


class SplitsPairs(Held):
    """It would cut these characters in half (D9)."""

    def __init__(self, pairs: list[admission.Reference]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


class IsFull(Held):
    """It and those before it are too much for one transaction; it comes first in the next (D11)."""
