"""A room: its sessions, its mailbox, and the one batch between apply and commit.

Owns: joins, the mailbox, fan-out, slow readers. Does not own: what is let into the document (writer),
waiting (the hub awaits the journal and calls back), sockets, persistence.
A room is a value without `await`: bytes and callbacks in, messages to connections and a Batch out.

    receive -> mailbox -> take_batch (writer: admit, apply) -> [journal] -> commit (view, fan-out)

At most one batch is between `take_batch` and `commit`, and until then nothing reads the live document.
Keeps rules R1-R10, S1-S7, P4-P6. Time is passed in.
"""

from party import wire
from party.document import Document
from party.errors import IncompleteUpdate, KanvasError, RepeatedRepair, TooLarge, TooSlow
from party.limits import Limits
from party.ports import Principal, StoredRoom
from party.presence import Presence
from party.session import Closed, Joining, Lagging, Live, Session
from party.view import CommittedView
from party.writer import Batch, Mail, Reply, Writer


class Room:
    """One open room."""

    def __init__(self, stored: StoredRoom, limits: Limits, *, now: float) -> None:
        self.id = stored.room_id
        self.schema = stored.schema
        self.sessions: dict[Session, None] = {}
        """In the order they came."""

        self.presence = Presence(
            max_state_bytes=limits.max_presence_bytes, max_clients=limits.max_presence_clients
        )
        self.checkpoint_seq = stored.checkpoint_seq
        self.checkpoint_after_s = 0.0
        """A failed checkpoint is not tried again before."""

        self.bytes_since_checkpoint = sum(map(len, stored.updates))
        self.idle_since_s: float | None = now
        self.frozen = False
        """The journal failed on the batch in flight; joins are answered from bytes meanwhile (R7)."""

        self._limits = limits
        self._mail: list[Mail] = []
        self._in_flight: Batch | None = None
        self._writer = Writer(stored, limits)
        self.view = CommittedView(
            epoch=stored.epoch,
            seq=stored.seq,
            base=self._writer.document.encode(),
            vector=dict(self._writer.reach),
            now=now,
        )

    # -- sessions -------------------------------------------------------------------------------

    def join(self, session: Session, now: float) -> None:
        """Take a session in: it is asked for its edits and told who is here (S1)."""
        self.sessions[session] = None
        self.idle_since_s = None
        session.send(wire.encode_step_1(self.view.state_vector), now)
        session.asked = True
        if (payload := self.presence.everybody()) is not None:
            session.send(wire.encode_awareness(payload), now)

    def leave(self, session: Session, now: float) -> None:
        """The socket is gone. What it sent before is still applied, unless we closed it. Idempotent."""
        if session not in self.sessions:
            return
        self.sessions.pop(session, None)
        if not session.is_closed:
            session.state = Closed(by_us=False)
        self.presence.leave(session)
        if not self.sessions:
            self.idle_since_s = now

    def send_away(self, error: KanvasError, now: float) -> None:
        """Close every session and refuse what waits."""
        for session in list(self.sessions):
            session.close(error)
            self.leave(session, now)
        waiting = self._mail
        self._mail = []
        for mail in waiting:
            if mail.reply is not None:
                mail.reply(error)

    def present(self) -> list[Principal]:
        """Who is connected, each user once, in the order they came."""
        return list({session.principal.user_id: session.principal for session in self.sessions}.values())

    # -- what comes in --------------------------------------------------------------------------

    def receive(self, session: Session, data: bytes, now: float) -> None:
        """One WebSocket message. A bad one costs its sender the session (W1)."""
        if session.is_closed:
            return
        try:
            self._dispatch(session, wire.decode_message(data), now)
        except KanvasError as error:
            session.close(error)
            self.leave(session, now)

    def _dispatch(self, session: Session, message: wire.Message, now: float) -> None:
        match message:
            case wire.Update(update):
                if len(update) > self._limits.max_update_bytes:
                    raise TooLarge(f"One update may have {self._limits.max_update_bytes} bytes; split it.")
                self._post(Mail(update, session.principal, session), session)
            case wire.Step2(update):
                session.asked = False
                self._post(Mail(update, session.principal, session, is_step_2=True), session)
            case wire.Step1(state_vector):
                self._answer(session, state_vector, now)
            case wire.Awareness(payload):
                if (gone := self.presence.receive(session, payload)) is not None:
                    session.send(wire.encode_awareness(gone), now)
            case wire.QueryAwareness():
                if session.connection.buffered_bytes > self._limits.presence_buffer_bytes:
                    session.dropped_presence += 1
                elif (payload_now := self.presence.everybody()) is not None:
                    session.send(wire.encode_awareness(payload_now), now)

    def _post(self, mail: Mail, session: Session) -> None:
        self._mail.append(mail)
        session.waiting_messages += 1
        session.waiting_bytes += len(mail.update)
        if not session.paused and (
            session.waiting_messages > self._limits.mailbox_messages
            or session.waiting_bytes > self._limits.mailbox_bytes
        ):
            session.paused = True
            session.connection.pause_reading()

    def submit(self, update: bytes, principal: Principal, reply: Reply) -> None:
        """An update that came over HTTP; `reply` is called once, when it is durable or refused (R9)."""
        if len(update) > self._limits.max_update_bytes:
            reply(TooLarge(f"One update may have {self._limits.max_update_bytes} bytes; split it."))
            return
        self._mail.append(Mail(update, principal, reply=reply))

    # -- joins ----------------------------------------------------------------------------------

    def _answer(self, session: Session, state_vector: bytes, now: float) -> None:
        """Answer a sync step 1 from the committed view (R4); wait for a commit that is under way."""
        theirs = wire.decode_state_vector(state_vector)
        is_behind = session.connection.buffered_bytes > self._limits.outbox_bytes
        if is_behind or (self._in_flight is not None and not self.frozen):
            before = session.state.since_s if isinstance(session.state, Joining) else None
            session.state = Joining(state_vector, now if before is None else before)
            return
        empty = not any(client in self.view.vector for client in theirs)
        if self._in_flight is None and not empty:
            session.send(wire.encode_step_2(self._writer.document.diff(state_vector)), now)
            session.state = Live()
            return
        # one message with everything: a client that is told "synced" may look at once
        session.send(wire.encode_step_2(self._whole(now)), now)
        session.state = Live()

    def _whole(self, now: float) -> bytes:
        """The committed document as one update; encoded at most once per commit, however many join."""
        if self.view.frames:
            if self._in_flight is None:
                encoded = self._writer.document.encode()
            else:
                scratch = Document.load(self.view.base, [frame for _, frame in self.view.frames])
                encoded = scratch.encode()
                scratch.close()
            self.view.renew(encoded, now)
        return self.view.base

    def answer_waiting(self, now: float) -> None:
        """Answer the step 1s that waited for the commit."""
        for session in list(self.sessions):
            if isinstance(session.state, Joining) and session.state.wants is not None:
                self._answer(session, session.state.wants, now)

    # -- the batch ------------------------------------------------------------------------------

    @property
    def has_work(self) -> bool:
        return self.presence.is_dirty or (self._in_flight is None and bool(self._mail))

    @property
    def is_settled(self) -> bool:
        """Nothing waits and nothing is in flight."""
        return self._in_flight is None and not self._mail

    def take_batch(self, now: float) -> Batch | None:
        """Drain the mailbox into one batch and apply it to the live document (R2, R3).

        None when there was nothing, or nothing of it changed the document.
        """
        if self._in_flight is not None or not self._mail:
            return None
        mails, self._mail = self._mail, []
        try:
            batch = self._writer.write(mails, self.view)
        except Exception:
            # the hub drops the room: whoever waits over HTTP is told then
            self._mail[:0] = mails
            raise
        self._mail[:0] = batch.left
        for mail in mails[: len(mails) - len(batch.left)]:
            self._take_from_account(mail)
        for mail, error in batch.refused:
            self._refuse(mail, error, now)
        self._count_repairs(batch, now)
        if batch.entries:
            self._in_flight = batch
            return batch
        for reply in batch.replies:
            reply(self.view.version)
        if self.view.is_overgrown(now):
            self.view.renew(self._writer.document.encode(), now)
        return None

    def _take_from_account(self, mail: Mail) -> None:
        session = mail.session
        if session is None:
            return
        session.waiting_messages -= 1
        session.waiting_bytes -= len(mail.update)
        if session.paused and session.waiting_messages == 0:
            session.paused = False
            session.connection.resume_reading()

    def _refuse(self, mail: Mail, error: KanvasError, now: float) -> None:
        if mail.reply is not None:
            mail.reply(error)
        session = mail.session
        if session is None or session.is_closed:
            return
        if isinstance(error, IncompleteUpdate) and not mail.is_step_2:
            if not session.asked:
                session.asked = True
                session.send(wire.encode_step_1(self.view.state_vector), now)
            return
        session.close(error)
        self.leave(session, now)

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
        before = self.view.seq
        self.view.commit(seq, batch.frames, batch.advances)
        self.bytes_since_checkpoint += sum(len(entry.update) for entry in batch.entries)
        messages = [wire.encode_update(frame) for frame in batch.frames]
        for session in self.sessions:
            if not isinstance(session.state, Live):
                continue
            if session.connection.buffered_bytes > self._limits.outbox_bytes:
                session.state = Lagging(before, now)
                continue
            for message in messages:
                session.send(message, now)
        for reply in batch.replies:
            reply(self.view.version)
        self.answer_waiting(now)
        if self.view.is_overgrown(now):
            self.view.renew(self._writer.document.encode(), now)

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
            if session.connection.buffered_bytes > self._limits.presence_buffer_bytes:
                session.dropped_presence += 1
            elif not session.is_closed:
                session.send(message, now)

    def drained(self, session: Session, now: float) -> None:
        """The socket took everything: a lagging session gets what it missed (R8)."""
        if isinstance(session.state, Joining) and session.state.wants is not None:
            self._answer(session, session.state.wants, now)
        if not isinstance(session.state, Lagging):
            return
        missed = self.view.since(session.state.seq)
        if missed is None:
            missed = [self.view.base, *(frame for _, frame in self.view.frames)]
        session.state = Live()
        for frame in missed:
            session.send(wire.encode_update(frame), now)

    def beat(self, now: float) -> None:
        """Once a second: end laggards, keep quiet connections alive (R8, P6)."""
        for session in list(self.sessions):
            since_s = session.state.since_s if isinstance(session.state, Lagging | Joining) else None
            if since_s is not None and now - since_s > self._limits.lag_deadline_s:
                session.close(TooSlow())
                self.leave(session, now)
            elif now - session.sent_at_s > self._limits.quiet_s:
                session.send(wire.NO_AWARENESS, now)

    def state(self, now: float) -> tuple[str, bytes]:
        """The committed version and the whole document as one update."""
        return self.view.version, self._whole(now)

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
