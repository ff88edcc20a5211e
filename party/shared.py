"""A room that other nodes may have open too: it shows a prefix of its journal, whoever wrote the rows.

Owns: the order of its own batch and of rows from elsewhere, and what is asked of the journal when some are
missing. Does not own: how rows come here and who reads the journal (relay). No `await`, as in room.
Keeps rules B3-B7, B11, J6.

A batch that landed behind rows which were not shown yet waits for them. A batch that the journal refused, for
it was made without knowing rows under the same client ids, goes back into the mailbox until they are read.
"""

from collections.abc import Sequence
from typing import Any, Final

from party.admission import Anatomy
from party.batch import Batch, Mail, Stretch
from party.contention import Contention
from party.errors import BadUpdate, ClientIdTaken, DocumentBroken, KanvasError, RoomMoved
from party.ports import Principal, StoredRoom, Tail
from party.room import Room
from party.sequence import Sequence as RowSequence

TWO_PLACES: Final = (
    "Edits come from two places under your Yjs client id; keep yours, take a fresh id, rejoin."
)


class SharedRoom(Room):
    """One open room, as hubs have them."""

    def __init__(self, stored: StoredRoom, *args: Any, **kwargs: Any) -> None:
        super().__init__(stored, *args, **kwargs)
        self._sequence = RowSequence(stored.seq)
        self._landed_seq: int | None = None
        """Where in the journal the batch in flight is; it may have to wait for rows before it (B3)."""

        self._refused_at_seq: int | None = None
        """What was shown when a batch was refused last."""

        self._refused: list[Mail] = []
        """The mails of that batch."""

        self._contention = Contention()

        self.others: dict[str, tuple[Principal, ...]] = {}
        """Who is connected at other nodes."""

        self.news: list[tuple[int, Batch]] = []
        """Batches that were shown here and not told to the other nodes yet, and their last row."""

        self.ignored = 0
        """Rows that did not fit and were read from the journal instead (B1)."""

    @property
    def is_shared(self) -> bool:
        """Another node has it open too."""
        return self.presence.is_shared

    @property
    def shown_by(self) -> int:
        return 1 + max(len(self.others), 1) if self.is_shared else 1

    def share(self, is_shared: bool) -> None:
        self.presence.is_shared = is_shared
        if not is_shared:
            self.news.clear()

    def present(self) -> list[Principal]:
        """Who is connected, here and at other nodes, each user once, in the order they came (B9)."""
        people = {one.user_id: one for one in super().present()}
        for others in self.others.values():
            for one in others:
                people.setdefault(one.user_id, one)
        return list(people.values())

    def here(self) -> tuple[Principal, ...]:
        """Who is connected here."""
        return tuple(super().present())

    @property
    def has_batch(self) -> bool:
        """A batch is between apply and commit."""
        return self._in_flight is not None

    @property
    def gap_since_s(self) -> float | None:
        """Since when rows are missing that are in the journal; None when none is known of (B4)."""
        return self._sequence.since_s

    @property
    def must_catch_up(self) -> bool:
        """The journal has to be read."""
        return self._must_read or self._sequence.since_s is not None

    def read_first(self) -> None:
        """Nothing is taken in before the journal was read (B13)."""
        self._must_read = True

    # -- the batch --------------------------------------------------------------------------------

    def landed(self, seq: int, now: float) -> None:
        """The batch in flight is durable up to `seq`. It is shown when all before it is (B3).

        Raises RoomMoved, DocumentBroken.
        """
        batch = self._in_flight
        if batch is not None:
            if seq - len(batch.entries) == self.view.seq:
                self.commit(seq, now)
                if self._sequence.since_s is None:
                    return
            else:
                self._landed_seq = seq
        self._sequence.hear(seq)
        self._advance(now)

    def commit(self, seq: int, now: float) -> None:
        self._landed_seq = None
        if self.presence.is_shared and self._in_flight is not None:
            self.news.append((seq, self._in_flight))
        try:
            super().commit(seq, now)
        finally:
            self._sequence.note(self.view.seq, now)

    def fail_batch(self, error: KanvasError) -> None:
        self._landed_seq = None
        super().fail_batch(error)

    def put_back(self, now: float) -> None:
        """The journal refused the batch in flight: its authors did not know what is there already (B6).

        Its mail is looked at again when that was read. Raises DocumentBroken, and RoomMoved when that helped
        nothing the time before.
        """
        batch, self._in_flight = self._in_flight, None
        if batch is None:
            return
        self._landed_seq = None
        self._refused = batch.mails
        self._mail.put_back(batch.mails)
        if self._refused_at_seq == self.view.seq:
            raise RoomMoved
        self._refused_at_seq = self.view.seq
        self.frozen = False
        self._writer.rebuild(self.view)
        for mail in batch.mails:
            mail.laid_out = None
            if mail.session is not None:
                mail.session.waiting_messages += 1
                mail.session.waiting_bytes += len(mail.update)
        for session, fix in batch.mended:
            session.repairs[fix.element_id, fix.key] -= 1
        self._must_read = True
        self._sequence.hear(self.view.seq + 1)
        self._advance(now)
        self.answer_waiting(now)

    # -- rows of others ---------------------------------------------------------------------------

    def hear(self, seq: int, now: float) -> None:
        """The journal goes at least up to `seq`, somebody says."""
        self._sequence.hear(seq)
        self._sequence.note(self.view.seq, now)

    def take_rows(
        self, first_seq: int, last_seq: int, frames: Sequence[bytes], claims: Any, now: float
    ) -> None:
        """Rows of another node, as the frames they made; those before their turn wait (B3).

        Raises BadUpdate, DocumentBroken.
        """
        if last_seq <= self.view.seq:
            return
        anatomies = [self._writer.dissect_foreign(frame) for frame in frames]
        self._sequence.put(Stretch(first_seq, last_seq, frames, anatomies, claims))
        self._advance(now)

    def begin_read(self) -> int:
        """The journal is read behind what is shown; what was heard of it until now."""
        return self._sequence.begin_read(self.view.seq)

    def fill(self, tail: Tail, anatomies: Sequence[Anatomy], after_seq: int, now: float) -> None:
        """What the journal holds behind `after_seq`, with the anatomy of each row (B4).

        Raises RoomMoved when a checkpoint took what is missing, DocumentBroken.
        """
        if tail.checkpoint_seq > self.view.seq:
            raise RoomMoved
        self._must_read = False
        self._sequence.hear(tail.seq)
        own = [entry.update for entry in self._in_flight.entries] if self._in_flight is not None else []
        count = len(tail.updates)
        at = _find(own, tail.updates)
        if at is None:
            parts = [(0, count)]
        else:
            # it is there, whatever became of the answer, and perhaps twice (J6)
            self._landed_seq = after_seq + at + len(own)
            parts = [(0, at), (at + len(own), count)]
        for start, stop in parts:
            if start == stop:
                continue
            others = [n for n in range(start, stop) if tail.updates[n] not in own]
            frames = [tail.updates[n] for n in others]
            self.bytes_since_checkpoint += sum(map(len, frames))
            found = [anatomies[n] for n in others]
            first_seq, last_seq = after_seq + start + 1, after_seq + stop
            self._sequence.put(Stretch(first_seq, last_seq, frames, found, tail.owners, is_read=True))
        self._advance(now)
        self._refused = []

    def _advance(self, now: float) -> None:
        """Show what can be shown: every row after all those before it."""
        try:
            while self._show_next(now):
                pass
        finally:
            self._sequence.note(self.view.seq, now)

    def _show_next(self, now: float) -> bool:
        batch, seq, landed_seq = self._in_flight, self.view.seq, self._landed_seq
        if batch is not None and landed_seq is not None and landed_seq - len(batch.entries) <= seq:
            self.commit(max(landed_seq, seq), now)
            return True
        stretch = self._sequence.next(seq)
        if stretch is None:
            return False
        if batch is not None and stretch.has_clients_of(batch):
            if landed_seq is not None:
                # the journal should have refused it (B6)
                raise RoomMoved
            return False
        self._sequence.done(stretch)
        try:
            advances = self._writer.follow(stretch)
        except BadUpdate as exc:
            if stretch.is_read:
                raise DocumentBroken from exc
            self.ignored += 1
            return True
        self._show(stretch, advances, now)
        return True

    def _blame(self, stretch: Stretch, now: float) -> None:
        """A batch was refused because of these rows: who does that again and again has to go (B11)."""
        written = frozenset().union(*(one.spans for one in stretch.anatomies))
        by_user: dict[str, list[Mail]] = {}
        for mail in self._refused:
            if not mail.clients.isdisjoint(written):
                by_user.setdefault(mail.principal.user_id, []).append(mail)
        # once for each time, however many rows there are
        self._refused = [mail for mail in self._refused if mail.principal.user_id not in by_user]
        for user_id, mails in by_user.items():
            if self._contention.add(user_id, now):
                for mail in mails:
                    self._send_off(mail, now)

    def _send_off(self, mail: Mail, now: float) -> None:
        error = ClientIdTaken(TWO_PLACES)
        if mail.session is not None:
            self.dismiss(mail.session, error, now)
        elif mail.reply is not None and self._mail.withdraw(mail):
            mail.reply(error)

    def _show(self, stretch: Stretch, advances: dict[int, int], now: float) -> None:
        if self._refused:
            self._blame(stretch, now)
        try:
            if stretch.frames:
                self._fan_out(stretch.frames, None, now)
        finally:
            self.view.commit(stretch.last_seq, stretch.frames, advances)
        if not stretch.is_read:
            self.bytes_since_checkpoint += stretch.size_bytes
        if self._in_flight is None:
            self.answer_waiting(now)
            if self.view.is_overgrown(now):
                self.view.renew(self._encode(), now)


def _find(own: Sequence[bytes], rows: Sequence[bytes]) -> int | None:
    """Where in `rows` all of `own` lie, one behind the other."""
    if not own:
        return None
    size = len(own)
    for at in range(len(rows) - size + 1):
        if rows[at] == own[0] and list(rows[at : at + size]) == own:
            return at
    return None
