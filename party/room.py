"""A room: its sessions, its mailbox, and the one batch between apply and commit.

Owns: joins, fan-out, slow readers. Does not own: the order of what waits (mailbox), what is let into the
document (writer), waiting (the hub awaits the journal and calls back), sockets, persistence.
A room is a value without `await`: bytes and callbacks in, messages to connections and a Batch out.

    receive -> mailbox -> take_batch (writer: admit, apply) -> [journal] -> commit (view, fan-out)

At most one batch is between `take_batch` and `commit`, and until then nothing reads the live document.
Keeps rules R1-R10, S1-S7, P4-P6, G4, G6. Time is passed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from party import wire
from party.batch import Author, Batch, Chore, Mail, Reply
from party.document import Document
from party.errors import (
    DocumentBroken,
    Forbidden,
    IncompleteUpdate,
    KanvasError,
    RepeatedRepair,
    TooLarge,
    TooSlow,
)
from party.guard import Guard
from party.limits import Limits
from party.mailbox import Mailbox, settle
from party.outstanding import Outstanding
from party.policy import lower
from party.ports import SERVER, Principal, StoredRoom
from party.presence import Presence
from party.restraints import FROZEN, THAWED
from party.session import LIVE, Closed, Joining, Lagging, Live, Session
from party.tally import Tally
from party.view import CommittedView
from party.writer import VIEW_ONLY, Writer

SHARED_S: Final = 5.0
"""How long after a join the bytes that all who join share are kept: a second copy of the document."""


REMOVED: Final = "You have no access to this room any more; its owner can let you in again."


class Room:
    """One open room."""

    def __init__(
        self,
        stored: StoredRoom,
        limits: Limits,
        *,
        now: float,
        document: Document | None = None,
        outstanding: Outstanding | None = None,
        guard: Guard | None = None,
        tally: Tally | None = None,
    ) -> None:
        """`document` is what `stored` replays to; it is loaded here when left out.

        `outstanding` is the process's.
        """
        self.id = stored.room_id
        self.schema = stored.schema
        self.sessions: dict[Session, None] = {}
        """In the order they came."""

        self._lagging = 0
        """Sessions that got nothing of the last batch: they cost nothing, and so they slow nobody down."""

        self.due_s = 0.0
        """When it may send again: at once after a pause, once per `pace_s` when busy."""

        self.presence = Presence(
            max_state_bytes=limits.max_presence_bytes,
            max_clients=limits.max_presence_clients,
            max_depth=limits.max_presence_depth,
            max_entries=limits.max_presence_entries,
            owners=self._owner,
        )
        self.checkpoint_seq = stored.checkpoint_seq
        self.checkpoint_after_s = 0.0
        """A failed checkpoint is not tried again before."""

        self.full_after_s = 0.0
        """While it is in use it is not checkpointed again before."""

        self.bytes_since_checkpoint = sum(map(len, stored.updates))
        self.idle_since_s: float | None = now
        self.frozen = False
        """The journal failed on the batch in flight; joins are answered from bytes meanwhile (R7)."""

        self._limits = limits
        self._outstanding = outstanding or Outstanding(limits.max_answer_bytes)
        self._mail = Mailbox(limits)
        self._shared_at_s = now
        """When somebody joined last with the bytes that all share."""

        self._waiting: dict[Session, None] = {}
        """Those whose step 1 is not answered yet."""

        self._in_flight: Batch | None = None
        self._must_read = False
        """A batch was refused: nothing is taken before the journal was read (B6)."""

        self._guard = guard or Guard()
        self._tally = tally or Tally()
        self._writer = Writer(stored, limits, self.presence.announcer, document, self._guard)
        # a checkpoint without rows after it is the state already: 13 ms saved at 5 MB
        is_base = stored.checkpoint is not None and not stored.updates
        self.view = CommittedView(
            epoch=stored.epoch,
            seq=stored.seq,
            base=stored.checkpoint if is_base and stored.checkpoint else self._writer.document.encode(),
            vector=dict(self._writer.reach),
            now=now,
        )

    # -- sessions -------------------------------------------------------------------------------

    def _owner(self, client: int) -> str | None:
        return self._writer.ownership.owner(client)

    def join(self, session: Session, now: float) -> None:
        """Take a session in: it is asked for its edits and told who is here (S1)."""
        self.sessions[session] = None
        self.idle_since_s = None
        messages = [wire.encode_step_1(self.view.state_vector)]
        session.asked = True
        if (payload := self.presence.everybody()) is not None:
            messages.append(wire.encode_awareness(payload))
        session.send(now, *messages)
        session.tell_role()
        self._tally.joins += 1
        if self._guard.is_frozen(self.id):
            self._tell(session, FROZEN, now)

    def leave(self, session: Session, now: float) -> None:
        """The socket is gone. What it sent before is still applied, unless we closed it. Idempotent."""
        if session not in self.sessions:
            return
        self.sessions.pop(session, None)
        self._waiting.pop(session, None)
        self._outstanding.remove(session.connection)
        if not session.is_closed:
            session.state = Closed(by_us=False)
        self.presence.leave(session)
        if not self.sessions:
            self.idle_since_s = now

    def send_away(self, error: KanvasError, now: float) -> None:
        """Close every session and refuse what waits."""
        for session in list(self.sessions):
            self.dismiss(session, error, now)
        for mail in self._mail.empty():
            if mail.reply is not None:
                mail.reply(error)

    def dismiss(self, session: Session, error: KanvasError, now: float) -> None:
        """Close one session; what it sent and nobody has seen yet is not applied, and its client knows."""
        session.close(error)
        self.leave(session, now)

    def expel(self, user_id: str, error: KanvasError, now: float) -> int:
        """Close every session of one user with `error`; returns how many there were."""
        theirs = [session for session in self.sessions if session.principal.goes_by(user_id)]
        for session in theirs:
            session.close(error)
            self.leave(session, now)
        return len(theirs)

    def change_roles(self, people: Mapping[str, Principal | None], now: float) -> None:
        """Who they are from now on, by user id; None is sent out, and who is not named stays (G4, G6).

        It counts for what waits in the mailbox already, too.
        """
        for session in list(self.sessions):
            before = session.principal
            said = people.get(before.user_id, before)
            if said is None:
                self.dismiss(session, Forbidden(REMOVED), now)
                continue
            # the name and the most it may are its token's: the same user may be here with others
            role = lower(said.role, before.most_role)
            after = replace(before, role=role, aliases=said.aliases, is_shown=said.is_shown)
            if after != before:
                session.principal = after
                if not after.is_shown:
                    self.presence.leave(session)
                if after.role != before.role:
                    session.notices.discard(VIEW_ONLY)
                    session.has_tried = False
                    session.tell_role()

    def present(self) -> list[Principal]:
        """Who is connected and shown, each user once, in the order they came (G7)."""
        people = (session.principal for session in self.sessions)
        return list({one.user_id: one for one in people if one.is_shown}.values())

    # -- what comes in --------------------------------------------------------------------------

    def receive(self, session: Session, data: bytes, now: float) -> None:
        """One WebSocket message. A bad one costs its sender the session (W1)."""
        self._tally.messages_in += 1
        if session.is_closed:
            return
        try:
            self._dispatch(session, wire.decode_message(data), now)
        except DocumentBroken:
            # not the sender's doing: the hub loads the room anew (H6)
            raise
        except KanvasError as error:
            session.close(error)
            self.leave(session, now)

    def _dispatch(self, session: Session, message: wire.Message, now: float) -> None:
        match message:
            case wire.Update(update):
                if len(update) > self._limits.max_update_bytes:
                    raise TooLarge(f"One update may have {self._limits.max_update_bytes} bytes; split it.")
                self._post(Mail(update, session, session))
            case wire.Step2(update):
                session.asked = False
                self._post(Mail(update, session, session, is_step_2=True))
            case wire.Step1(state_vector):
                self._take_step_1(session, state_vector, now)
            case wire.Awareness(payload):
                if (gone := self.presence.receive(session, payload)) is not None:
                    self._send_presence(session, wire.encode_awareness(gone), now)
            case wire.QueryAwareness():
                if session.connection.buffered_bytes > self._limits.presence_buffer_bytes:
                    session.dropped_presence += 1
                elif (payload_now := self.presence.everybody()) is not None:
                    session.send(now, wire.encode_awareness(payload_now))

    def _post(self, mail: Mail) -> None:
        self._mail.put(mail)
        self._tally.updates += 1

    def submit(self, update: bytes, author: Author, reply: Reply) -> None:
        """An update that came over HTTP; `reply` is called once, when it is durable or refused (R9)."""
        if len(update) > self._limits.max_update_bytes:
            reply(TooLarge(f"One update may have {self._limits.max_update_bytes} bytes; split it."))
            return
        self._tally.updates += 1
        self._mail.put(Mail(update, author, reply=reply))

    def purge(self, element_ids: Sequence[str], reply: Reply) -> None:
        """Remove these elements for good where they are deleted still; `reply` as for `submit` (C8)."""
        self._mail.put(Mail(b"", Author(SERVER), reply=reply, purge=element_ids))

    # -- joins ----------------------------------------------------------------------------------

    def _take_step_1(self, session: Session, state_vector: bytes, now: float) -> None:
        """Read a sync step 1, once, and answer it or let it wait."""
        # 0.15 s of the loop for each MiB, for everybody, viewers too: nobody knows of many clients we don't
        most_bytes = max(self._limits.max_vector_bytes, 2 * len(self.view.state_vector))
        if len(state_vector) > most_bytes:
            raise TooLarge(f"A state vector of this room may have {most_bytes} bytes.")
        theirs = wire.decode_state_vector(state_vector)
        knows_nothing = not any(client in self.view.vector for client in theirs)
        self._answer(session, state_vector, now, knows_nothing=knows_nothing)

    def _answer(self, session: Session, state_vector: bytes, now: float, *, knows_nothing: bool) -> None:
        """Answer a sync step 1 from the committed view (R4); it waits for a commit that is under way."""
        is_small = self.view.size_bytes <= self._limits.presence_buffer_bytes
        is_early = now < session.answer_after_s or not (
            knows_nothing or is_small or not self._outstanding.is_full
        )
        is_behind = session.connection.buffered_bytes > self._limits.outbox_bytes
        if is_early or is_behind or (self._in_flight is not None and not self.frozen):
            before = session.state.since_s if isinstance(session.state, Joining) else None
            session.state = Joining(state_vector, knows_nothing, now if before is None else before)
            self._waiting[session] = None
            return
        if self._in_flight is None and not knows_nothing:
            with self._guard.reading(self.id, session.principal.user_id):
                answers = [wire.encode_step_2(self._writer.document.diff(state_vector))]
            self._outstanding.add(session.connection, len(answers[0]))
        else:
            answers = self._base_messages(now)
        session.send(now, *answers)
        self._tally.sent_bytes["sync"] += sum(map(len, answers))
        # whoever asks again and again makes the room encode itself again and again (S11)
        session.answer_after_s = now + sum(map(len, answers)) * self._limits.answer_s_per_byte
        session.state = LIVE

    def _base_messages(self, now: float) -> list[bytes]:
        """Everything, for somebody who has nothing: a storm of joins encodes nothing and shares these bytes.

        One message if it can be: a client that is told "synced" may look at once. While a large document is
        being edited it is the base and, in the same write, the frames since.
        """
        self._shared_at_s = now
        if self.view.frames and not self.view.is_renewable(now):
            return [self.view.step_2, *self.view.tail_messages()]
        self._whole(now)
        return [self.view.step_2]

    def _whole(self, now: float) -> bytes:
        """The committed document as one update; encoded at most once per commit, however many join."""
        if self.view.frames:
            if self._in_flight is None:
                encoded = self._encode()
            else:
                with self._guard.reading(self.id):
                    scratch = Document.load(self.view.base, [frame for _, frame in self.view.frames])
                    encoded = scratch.encode()
                    scratch.close()
            self.view.renew(encoded, now)
        return self.view.base

    def _encode(self) -> bytes:
        with self._guard.reading(self.id):
            return self._writer.document.encode()

    def answer_waiting(self, now: float) -> None:
        """Answer the step 1s that had to wait."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        for session in waiting:
            state = session.state
            if isinstance(state, Joining) and state.wants is not None:
                self._answer(session, state.wants, now, knows_nothing=state.knows_nothing)

    # -- the batch ------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        return self.presence.is_dirty or (
            self._in_flight is None
            and self._writer.chore is None
            and not self._must_read
            and bool(self._mail)
        )

    @property
    def is_settled(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return self._in_flight is None and not self._mail

    def take_batch(self, now: float) -> Batch | None:
        """Drain the mailbox into one batch and apply it to the live document (R2, R3).

        None when there was nothing, or nothing of it changed the document.
        """
        if self._in_flight is not None or self._writer.chore is not None or not self._mail:
            return None
        if self._must_read:
            return None
        mails = self._mail.take()
        try:
            batch = self._writer.write(mails, self.view)
        except Exception:
            # the hub drops the room: whoever waits over HTTP is told then
            self._mail.put_back(mails)
            raise
        self._mail.put_back(batch.left)
        for mail in mails[: len(mails) - len(batch.left)]:
            settle(mail)
        for mail, error in batch.refused:
            self._refuse(mail, error, now)
        for session, notice in batch.notices:
            self._tell(session, notice, now)
        for session in batch.attempts:
            session.note_attempt()
        self._count_repairs(batch, now)
        if batch.entries:
            self._in_flight = batch
            return batch
        for reply in batch.replies:
            reply(self.view.version)
        if self.view.is_overgrown(now):
            self.view.renew(self._encode(), now)
        return None

    @property
    def chore(self) -> Chore | None:
        """What has to be done beside the loop before the next batch; the hub sees to it."""
        return self._writer.chore

    def chore_done(self, found: Any) -> None:
        """The chore is done: mail goes on where it stopped."""
        chore, self._writer.chore = self._writer.chore, None
        if chore is not None:
            chore.done(found)

    def _refuse(self, mail: Mail, error: KanvasError, now: float) -> None:
        self._tally.refused.bump(error.code)
        if mail.reply is not None:
            mail.reply(error)
        session = mail.session
        if session is None or session.is_closed:
            return
        if isinstance(error, IncompleteUpdate) and not mail.is_step_2:
            if not session.asked:
                self._ask(session, now)
            return
        session.close(error)
        self.leave(session, now)

    def _ask(self, session: Session, now: float) -> None:
        """Ask for what we miss of its edits, once, and when it takes what we send (S4)."""
        session.asked = True
        session.asks_when_drained = session.connection.buffered_bytes > self._limits.presence_buffer_bytes
        if not session.asks_when_drained:
            session.send(now, wire.encode_step_1(self.view.state_vector))

    def _tell(self, session: Session, notice: str, now: float) -> None:
        """Say once that something of what it brought was not taken (O3, S3)."""
        if notice not in session.notices and not session.is_closed:
            session.notices.add(notice)
            session.send(now, wire.encode_notice(notice))

    def tell_frozen(self, now: float) -> None:
        """The operator froze it: everybody in it hears so before they draw in vain (M5)."""
        for session in list(self.sessions):
            self._tell(session, FROZEN, now)

    def thaw(self, now: float) -> None:
        """It is not frozen any more: everybody is told, and asked for what they drew meanwhile (M6)."""
        for session in list(self.sessions):
            session.notices -= {FROZEN, THAWED}
            self._tell(session, THAWED, now)
            if not session.is_closed and not session.asked:
                self._ask(session, now)

    def _count_repairs(self, batch: Batch, now: float) -> None:
        """A session whose values are mended again and again has to go (D6)."""
        for session, fix in batch.mended:
            session.repairs[fix.element_id, fix.key] += 1
            if session.repairs[fix.element_id, fix.key] >= self._limits.max_repairs:
                session.close(RepeatedRepair())
                self.leave(session, now)

    # -- what goes out --------------------------------------------------------------------------

    def commit(self, seq: int, now: float) -> None:
        """The batch in flight is durable up to `seq`: show it to everybody, its authors included (R5)."""
        batch = self._in_flight
        if batch is None:
            raise RuntimeError("There is no batch in flight.")
        self._in_flight = None
        self.frozen = False
        self._writer.ownership.commit(batch.claims)
        self.bytes_since_checkpoint += sum(len(entry.update) for entry in batch.entries)
        try:
            self._tally.entries += len(batch.entries)
            self._fan_out(batch.frames, self.presence.drain(), now)
        finally:
            # after the loop: who fell behind has what the view held before; and whatever happened in it, the
            # batch is durable
            self.view.commit(seq, batch.frames, batch.advances)
            for reply in batch.replies:
                reply(self.view.version)
        self.answer_waiting(now)
        if self.view.is_overgrown(now):
            self.view.renew(self._encode(), now)

    def _fan_out(self, changes: Sequence[bytes], payload: bytes | None, now: float) -> None:
        """One write for each connection, the same bytes for all: frames, then the presence of this tick."""
        frames = tuple(map(wire.encode_update, changes))
        messages = frames if payload is None else (*frames, wire.encode_awareness(payload))
        outbox_bytes = self._limits.outbox_bytes
        presence_bytes = min(self._limits.presence_buffer_bytes, outbox_bytes)
        self._lagging = 0
        for session in self.sessions:
            buffered = session.connection.buffered_bytes
            if type(session.state) is Live:
                if buffered <= presence_bytes:
                    session.send(now, *messages)
                    continue
                session.dropped_presence += payload is not None
                self._tally.dropped["presence"] += payload is not None
                if buffered <= outbox_bytes:
                    session.send(now, *frames)
                else:
                    session.state = Lagging(self.view.seq, self.view.state_vector, now)
                    self._lagging += 1
                    self._tally.dropped["frames"] += 1
                continue
            self._lagging += type(session.state) is Lagging
            if payload is not None:
                self._send_presence(session, messages[-1], now)
        self._count_sent(frames, payload)

    def _count_sent(self, frames: Sequence[bytes], payload: bytes | None) -> None:
        """Once for each batch, however many got it."""
        readers = len(self.sessions) - self._lagging
        self._tally.deliveries += readers
        self._tally.sent_bytes["updates"] += readers * sum(map(len, frames))
        if payload is not None:
            self._tally.sent_bytes["presence"] += readers * len(payload)

    def freeze(self, now: float) -> None:
        """The journal failed on the batch in flight: edits wait, presence and joins go on (R7)."""
        self.frozen = True
        self.answer_waiting(now)

    def fail_batch(self, error: KanvasError) -> None:
        """The batch in flight can't be saved: whoever waits for it over HTTP is told (R7)."""
        batch, self._in_flight = self._in_flight, None
        for reply in batch.replies if batch is not None else ():
            reply(error)

    def send_presence(self, now: float) -> None:
        """Send what changed in presence, to connections that keep up (P4, P5)."""
        payload = self.presence.drain()
        if payload is None:
            return
        message = wire.encode_awareness(payload)
        for session in self.sessions:
            self._send_presence(session, message, now)
        self._tally.sent_bytes["presence"] += len(self.sessions) * len(message)

    def _send_presence(self, session: Session, message: bytes, now: float) -> None:
        if session.connection.buffered_bytes > self._limits.presence_buffer_bytes:
            session.dropped_presence += 1
            self._tally.dropped["presence"] += 1
        elif not session.is_closed:
            session.send(now, message)

    def drained(self, session: Session, now: float) -> None:
        """The socket took everything: a lagging session gets what it missed (R8)."""
        if session.asks_when_drained and not session.is_closed:
            self._ask(session, now)
        state = session.state
        if isinstance(state, Joining) and state.wants is not None:
            self._answer(session, state.wants, now, knows_nothing=state.knows_nothing)
        if not isinstance(state, Lagging):
            return
        missed = self.view.since(state.seq)
        self._tally.catch_ups["state" if missed is None else "frames"] += 1
        if missed is None:
            # the ring of frames was overrun: a diff, as for somebody who comes back
            session.state = Joining(state.vector, False, state.since_s)
            self._answer(session, state.vector, now, knows_nothing=False)
            return
        session.state = LIVE
        session.send(now, *missed)

    def beat(self, now: float) -> None:
        """Once a second: end laggards, answer who had to wait, keep quiet connections alive (R8, S11, P6)."""
        self.answer_waiting(now)
        if now - self._shared_at_s > SHARED_S:
            self.view.rest()
        for session in list(self.sessions):
            state = session.state
            if isinstance(state, Lagging | Joining) and state.since_s is not None:
                if session.has_drained(self._limits.lag_drain_bytes):
                    session.state = replace(state, since_s=now)
                elif now - state.since_s > self._limits.lag_deadline_s:
                    session.close(TooSlow())
                    self.leave(session, now)
                    continue
            if now - session.sent_at_s > self._limits.quiet_s:
                session.send(now, wire.NO_AWARENESS)

    @property
    def shown_by(self) -> int:
        """How many processes show the room: what each of them takes in, all send on."""
        return 1

    def set_pace(self, now: float, late_s: float = 0.0) -> None:
        """It has just sent: when it may again (H8). A crowd and a late process make it longer."""
        limits = self._limits
        readers = (len(self.sessions) - self._lagging) * self.shown_by
        crowd_s = min(readers * limits.pace_per_connection_s, limits.crowd_pace_s)
        pace_s = max(limits.pace_s, crowd_s)
        self.due_s = now + min(pace_s + late_s, self._limits.max_pace_s)

    def state(self, now: float) -> tuple[str, bytes]:
        """The committed version and the whole document as one update."""
        return self.view.version, self._whole(now)

    @property
    def lagging(self) -> int:
        """How many connections got nothing of the last batch."""
        return self._lagging

    @property
    def rows_since_checkpoint(self) -> int:
        return max(0, self.view.seq - self.checkpoint_seq)

    def checkpointed(self, seq: int, size_bytes: int) -> None:
        """The journal holds a checkpoint at `seq`, which took rows of `size_bytes` out of it."""
        self.checkpoint_seq = seq
        left_bytes = self.bytes_since_checkpoint - size_bytes
        self.bytes_since_checkpoint = max(0, left_bytes) if self.rows_since_checkpoint else 0

    def close(self) -> None:
        self._writer.close()
