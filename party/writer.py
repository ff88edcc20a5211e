"""The writer: a room's live document, and what is let into it.

Owns: admission of updates in arrival order, the account of what the document reaches, repairs of the
server's own, the removal of what was deleted long ago, and finding the culprit when the library fails. Does
not own: the mailbox, sessions' lives, when it is committed (room). Nobody but the room's loop reads the live
document, and only when nothing is between apply and commit.
Keeps rules D3-D11, O1-O5, C8, R6, G5, Q3-Q5 (by its guard).
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from party import admission, canvas
from party.batch import Admitted, Batch, Chore, Held, IsFull, Mail, Postponed, SplitsPairs, Stretch
from party.cut import cut
from party.document import EMPTY_UPDATE, Document, Fix
from party.errors import (
    BadUpdate,
    DocumentBroken,
    Forbidden,
    IncompleteUpdate,
    KanvasError,
    Poison,
    RoomFrozen,
    TooLarge,
)
from party.guard import Guard
from party.layout import Layout
from party.limits import Limits
from party.ownership import Announcer, Ownership, nobody
from party.policy import can
from party.ports import NO_CLAIMS, SERVER, Entry, Owner, Principal, StoredRoom
from party.restraints import FROZEN
from party.session import Session
from party.surrogates import SurrogatePairs, check_own_pairs, delete_update
from party.view import CommittedView

FOREIGN: Final = (
    "Some edits were made under a client id of somebody else and were not taken; they come with his own."
)

VIEW_ONLY: Final = "You may look at this room, not edit it: your own edits were not taken."

CHORE_BYTES: Final = 64 * 1024
"""A walk over more is done beside the loop; this much takes some 5 ms."""

ROOTS: Final = frozenset({"elements", "meta"})
"""The root types of a canvas room (C1)."""


class Writer:
    """The live document of one room."""

    def __init__(
        self,
        stored: StoredRoom,
        limits: Limits,
        announcer: Announcer = nobody,
        document: Document | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.schema = stored.schema
        self._room_id = stored.room_id
        self._guard = guard or Guard()
        self.ownership = Ownership(stored.owners, announcer)
        self._limits = limits
        if document is None:
            self.document = self._load(stored.checkpoint, stored.updates)
        else:
            self.document = document
            if self.schema == "canvas":
                document.watch_elements()
        self.reach = self.document.vector()
        """The live document's vector: the committed one plus the batch in flight."""

        self._pairs = self._find_pairs(stored.checkpoint or b"", stored.updates)
        self._layout: Layout | None = None
        self._batch_bytes = 0
        self._joins = self._joined_bytes = 0
        """Structs in rows, of the transaction in hand, and what the library copies to join them."""
        self._steps = 0

        self._pending: dict[int, Owner] = {}
        """The client ids the batch in hand binds."""

        self._void: set[Session] = set()
        """Sessions that the batch in hand closes: their later mail is dropped."""

        self.chore: Chore | None = None
        """What has to be done before the next batch."""

        self._at_once = False
        """Do it all on the loop: what is in hand can't wait."""

        self._life = 0
        """How often the document was loaded anew: a chore of an earlier one finds nothing."""

        self._is_busy = False
        """The chore works on the account."""

        self._missed: list[admission.Anatomy] = []
        """What others wrote meanwhile: the account has to take it in afterwards."""

    def write(self, mails: Sequence[Mail], view: CommittedView) -> Batch:
        """Admit and apply the mails, in order. Raises DocumentBroken when the room can't even be rebuilt.

        An empty `entries` means that nothing changed.
        """
        self._batch_bytes = 0
        self._pending = {}
        self._void = set()
        mails, later = self._guard.begin(self._room_id, mails)
        try:
            batch = self._admit(mails, view)
            batch.claims = self._pending
        except DocumentBroken:
            batch = self._admit_one_by_one(mails, view)
        finally:
            self._guard.end()
        batch.left += later
        batch.mails = list(mails[: len(mails) + len(later) - len(batch.left)])
        return batch

    def close(self) -> None:
        self.document.close()

    # -- what other processes wrote ---------------------------------------------------------------

    def follow(self, stretch: Stretch) -> dict[int, int]:
        """Apply what is committed and came from elsewhere, also ahead of a batch in flight; what it advances.

        It is neither repaired nor journalled here. Raises BadUpdate, and nothing is applied, when it does not
        fit behind what is there (B1); DocumentBroken, when the library fails on it.
        """
        anatomies = stretch.anatomies
        reach = dict(self.reach) if len(anatomies) > 1 else self.reach
        steps: list[dict[int, int]] = []
        for anatomy in anatomies:
            if anatomy.missing(reach):
                raise BadUpdate("What another process wrote builds on something that is not there.")
            steps.append(anatomy.advances(reach))
            if len(anatomies) > 1:
                reach.update(steps[-1])
        with self._guard.reading(self._room_id, stage="load"):
            for frame in stretch.frames:
                self.document.replay(frame)
        advances: dict[int, int] = {}
        for frame, anatomy, step in zip(stretch.frames, anatomies, steps, strict=True):
            self._note_foreign(frame, anatomy)
            self.reach.update(step)
            advances.update(step)
            self._pairs.add(anatomy.pairs)
        self.ownership.commit(stretch.claims)
        return advances

    def dissect_foreign(self, frame: bytes) -> admission.Anatomy:
        """As `follow` wants it. Raises BadUpdate, when it is no update at all."""
        with_places = self.schema == "open" or self._layout is not None
        return admission.dissect(frame, with_places=with_places, is_own=True)

    def _note_foreign(self, frame: bytes, anatomy: admission.Anatomy) -> None:
        """The account follows; while a chore works on it in a thread, afterwards."""
        if self._layout is None and not self._is_busy:
            return
        if anatomy.spans and not anatomy.places:
            # it came before there was an account
            anatomy = admission.dissect(frame, is_own=True)
        if self._is_busy:
            self._missed.append(anatomy)
        elif self._layout is not None:
            try:
                self._layout.add(anatomy, self.reach)
            except BadUpdate:
                # it is made again when it is needed
                self._layout = None

    def _take_missed(self, layout: Layout, reach: dict[int, int], mail: Mail | None = None) -> bool:
        """A chore is done: add what was missed, behind `reach`. False when the account can't be used."""
        self._is_busy = False
        missed, self._missed = self._missed, []
        own = mail.anatomy.spans if mail is not None and isinstance(mail.anatomy, admission.Anatomy) else {}
        for anatomy in missed:
            if not own.keys().isdisjoint(anatomy.spans):
                return False
            try:
                layout.add(anatomy, reach)
            except BadUpdate:
                return False
            reach.update(anatomy.advances(reach))
        return True

    def rebuild(self, view: CommittedView) -> None:
        """Back to what is committed: the batch in flight was refused. Raises DocumentBroken."""
        chore = self.chore
        self._rebuild(Batch(), view)
        # its thread may still run; what it finds counts for nothing, and the mail waits for its end
        self.chore = chore

    def _admit(self, mails: Sequence[Mail], view: CommittedView) -> Batch:
        batch, self._joins, self._joined_bytes, self._steps = Batch(), 0, 0, 0
        crossing = False
        authors: set[Session | None] = set()
        split: Sequence[admission.Reference] = ()
        purge: Mail | None = None
        with self.document.batch() as changes:
            for at, mail in enumerate(mails):
                if mail.purge:
                    purge = mail
                    batch.left += mails[at + 1 :]
                    break
                if mail.session is not None and (mail.session in self._void or mail.session.is_void):
                    continue
                try:
                    admitted = self._admit_update(mail, view)
                except Held as held:
                    split = held.pairs
                    batch.left += mails[at:]
                    break
                except DocumentBroken:
                    raise
                except KanvasError as error:
                    self._refuse(batch, mail, error)
                    continue
                mail.clients = frozenset(admitted.advances) if admitted is not None else frozenset()
                if admitted is not None:
                    batch.entries.append(Entry(admitted.update, mail.principal.user_id, admitted.claims))
                    batch.advances |= admitted.advances
                    crossing = crossing or len(admitted.advances) > 1
                    authors.add(mail.session)
                if mail.notice and mail.session is not None:
                    batch.notices.append((mail.session, mail.notice))
                    if mail.is_attempt:
                        batch.attempts.append(mail.session)
                if mail.reply is not None:
                    batch.replies.append(mail.reply)
            self._guard.let_go()
        if crossing and not self._took_in(changes.update, batch.advances):
            # two clients' structs that point at each other in a ring are never integrated (D4)
            raise DocumentBroken("The document did not take in all of the batch.")
        if changes.update:
            batch.frames.append(changes.update)
            self._repair(batch, changes.touched, authors)
        elif batch.advances:
            raise DocumentBroken("The document did not take in the batch.")
        else:
            batch.entries.clear()
        if split:
            self._delete_pairs(batch, split)
        if purge is not None:
            self._purge(batch, purge)
        return batch

    def _took_in(self, change: bytes, advances: Mapping[int, int]) -> bool:
        """Whether a transaction's change reaches as far as it should.

        The document's whole vector says so, and so does the change: with 100,000 client ids the one took
        72 ms, with 5 MB the other would take half a second.
        """
        if 10 * len(self.reach) <= len(change):
            return self.document.vector() == self.reach
        if not change:
            return not advances
        spans = admission.dissect(change, with_places=False, is_own=True).spans
        return all(client in spans and spans[client][-1][1] == end for client, end in advances.items())

    def _refuse(self, batch: Batch, mail: Mail, error: KanvasError) -> None:
        batch.refused.append((mail, error))
        if mail.laid_out is not None:
            # the account holds what was not applied: it is made again when it is needed
            self._layout = None
        if mail.session is not None and not isinstance(error, IncompleteUpdate):
            self._void.add(mail.session)

    def _admit_update(self, mail: Mail, view: CommittedView) -> "Admitted | None":
        """Apply one update if it may be; None when it has nothing new. Raises KanvasError."""
        self._guard.take(mail.principal.user_id)
        if not can(mail.principal.role, "edit"):
            if mail.session is None:
                raise Forbidden("You may look at this room, not edit it; ask its owner.")
            # not a close: what it holds may be of a cache, or drawn before its role changed (G5)
            if mail.update != EMPTY_UPDATE:
                mail.notice = VIEW_ONLY
                mail.is_attempt = not mail.session.has_tried and self._is_news(mail)
            return None
        if self._guard.is_frozen(self._room_id):
            if mail.session is None:
                raise RoomFrozen
            # not a close: presence goes on, and it is asked for its edits when the room is thawed (M5)
            if mail.update != EMPTY_UPDATE:
                mail.notice = FROZEN
            return None
        update = mail.update
        anatomy = self._dissect_mail(mail)
        if anatomy.is_empty:
            return None
        advances = anatomy.advances(self.reach)
        self._check_clients(advances, mail)
        if mail.is_step_2 and advances:
            foreign = self._foreign(advances, mail.principal)
            if foreign:
                mail.notice = FOREIGN
                update = cut(update, anatomy, foreign, self.reach)
                anatomy = self._dissect(update)
                advances = anatomy.advances(self.reach)
        claims = self._claim(advances, mail) if advances else NO_CLAIMS
        if anatomy.missing(self.reach):
            raise IncompleteUpdate(state_vector=view.state_vector)
        if not advances and not anatomy.deletions:
            return None
        self._guard.admit(self._room_id, advances)
        if view.size_bytes + self._batch_bytes + len(update) > self._limits.max_document_bytes:
            raise TooLarge("The room is full; start a new one and copy over what you still need.")
        check_own_pairs(anatomy, self.reach)
        if split := self._pairs.split_by(anatomy):
            raise SplitsPairs(split)
        self._take_joins(anatomy)
        self._check_layout(anatomy, update, mail)
        try:
            self.document.apply(update)
        except BadUpdate:
            # the account holds it already: it is made again when it is needed
            self._layout = None
            raise
        self._batch_bytes += len(update)
        self.reach.update(advances)
        self._pending.update(claims)
        self._pairs.add(anatomy.pairs)
        return Admitted(update, advances, claims)

    def _is_news(self, mail: Mail) -> bool:
        """Whether it was drawn: a step 2 names all that was ever deleted, whoever deleted it."""
        if not mail.is_step_2 or len(mail.update) > CHORE_BYTES:
            return True
        try:
            return bool(admission.dissect(mail.update, with_places=False).advances(self.reach))
        except KanvasError:
            return True

    def _dissect_mail(self, mail: Mail) -> admission.Anatomy:
        most = self._limits.max_document_structs if mail.is_step_2 else self._limits.max_update_structs
        if mail.anatomy is None and len(mail.update) > CHORE_BYTES and not self._at_once:

            def found(anatomy: admission.Anatomy | KanvasError) -> None:
                mail.anatomy = anatomy

            depth = self._limits.max_value_depth
            self.chore = Chore(lambda: dissect_or_error(mail.update, depth, most), found)
            raise Postponed
        if isinstance(mail.anatomy, KanvasError):
            raise mail.anatomy
        return mail.anatomy or self._dissect(mail.update, most)

    def _dissect(self, update: bytes, most: int | None = None) -> admission.Anatomy:
        with_places = self.schema == "open" or self._layout is not None
        depth = self._limits.max_value_depth
        return admission.dissect(update, depth, with_places=with_places, max_structs=most)

    def _check_clients(self, advances: Mapping[int, int], mail: Mail) -> None:
        """Refuse more new client ids than the limit. Raises TooLarge (D13)."""
        is_whole = mail.is_step_2 or mail.session is None
        most = self._limits.max_document_clients if is_whole else self._limits.max_update_clients
        if len(advances) > most and sum(one not in self.reach for one in advances) > most:
            raise TooLarge(f"One update may bring {most:,} new client ids; split it.")

    def _foreign(self, clients: Iterable[int], principal: Principal) -> set[int]:
        user_id, aliases = principal.user_id, principal.aliases
        return {one for one in clients if self.ownership.is_foreign(one, user_id, self._pending, aliases)}

    def _claim(self, advances: Iterable[int], mail: Mail) -> Mapping[int, Owner]:
        """The bindings an update makes. Raises ClientIdTaken (O1-O3)."""
        principal = mail.principal
        if mail.is_step_2:
            return self.ownership.relay(advances, principal.user_id, self._pending)
        return self.ownership.claim(advances, principal.user_id, self._pending, principal.aliases)

    def _take_joins(self, anatomy: admission.Anatomy) -> None:
        """Count what the library copies at the end of the transaction, and walks. Raises IsFull (D11, D12).

        Updates of one client may go on where the one before ended, so all are taken for one row.
        """
        copied = self._joined_bytes + anatomy.joined_bytes + self._joins * anatomy.run_bytes
        walked = self._steps + anatomy.steps
        if self._joins and copied > admission.MAX_JOINED_BYTES:
            raise IsFull
        if self._steps and walked > admission.MAX_STEPS:
            raise IsFull
        self._steps = walked
        self._joined_bytes = copied
        self._joins += anatomy.joins

    def _check_layout(self, anatomy: admission.Anatomy, update: bytes, mail: Mail) -> None:
        """Refuse what would bring the document out of shape (C6, D2, D10).

        A canvas room is made of maps alone, so most of its updates say all there is to know, and the account
        of the whole room is only made when one does not: 3 µs per struct of the document, once.
        """
        if self.schema == "canvas":
            if anatomy.has_lists or anatomy.has_text or anatomy.has_documents:
                raise BadUpdate(
                    "A canvas room takes no shared text, lists or sub-documents; use a room of schema open."
                )
            if not anatomy.roots <= ROOTS:
                raise BadUpdate(
                    "A canvas room has the roots elements and meta alone; use a room of schema open."
                )
            if self._layout is None and anatomy.is_plain and not anatomy.overlaps(self.reach):
                return
        if self._layout is None:
            self._survey()
        if not anatomy.places:
            anatomy = admission.dissect(update, self._limits.max_value_depth)
        layout = self._layout
        assert layout is not None  # noqa: S101 - the survey made it, or raised
        if mail.laid_out is layout:
            return
        if len(update) <= CHORE_BYTES or self._at_once:
            layout.add(anatomy, self.reach)
            return
        reach = dict(self.reach)

        life = self._life

        def done(error: BadUpdate | None) -> None:
            if life != self._life:
                return
            if not self._take_missed(layout, reach, mail):
                self._layout = None
                return
            mail.laid_out = layout
            if error is not None:
                mail.anatomy = error

        self._is_busy = True
        self.chore = Chore(lambda: add_or_error(layout, anatomy, reach), done)
        raise Postponed

    def _survey(self) -> None:
        """Make the account of the whole room. Raises Postponed when that takes long."""
        state = self.document.encode()

        def work() -> Layout:
            layout = Layout(self._limits.max_type_depth)
            layout.add(admission.dissect(state, is_own=True), {})
            return layout

        if len(state) > CHORE_BYTES and not self._at_once:
            at = dict(self.reach)
            life = self._life

            def done(layout: Layout) -> None:
                # a repair may have come behind it; then it is made again
                if life == self._life and self._take_missed(layout, at) and at == self.reach:
                    self._layout = layout

            self._is_busy = True
            self.chore = Chore(work, done)
            raise Postponed
        self._layout = work()

    def _delete_pairs(self, batch: Batch, pairs: Sequence[admission.Reference]) -> None:
        """Delete characters that the next update splits, before it is applied (D9)."""
        update = delete_update(pairs)
        with self.document.batch() as changes:
            self.document.apply(update)
        self._pairs.remove(pairs)
        if changes.update:
            batch.frames.append(changes.update)
            batch.entries.append(Entry(update, SERVER.user_id))

    def _purge(self, batch: Batch, mail: Mail) -> None:
        """Remove what is deleted still, after all that came before it; the batch ends here (C8)."""
        self._guard.take(SERVER.user_id)
        try:
            if self._guard.is_frozen(self._room_id):
                raise RoomFrozen
            self._guard.admit(self._room_id, ())
        except KanvasError as error:
            batch.refused.append((mail, error))
            return
        update = self.document.purge(mail.purge) if self.schema == "canvas" else b""
        self._guard.let_go()
        if update:
            batch.frames.append(update)
            batch.entries.append(Entry(update, SERVER.user_id))
        if mail.reply is not None:
            batch.replies.append(mail.reply)

    def _repair(
        self,
        batch: Batch,
        touched: Mapping[tuple[str, str | None], Any],
        authors: set[Session | None],
    ) -> None:
        """Mend what the batch left invalid by a forward change of the server's own (D6)."""
        if self.schema != "canvas" or not touched:
            return
        fixes: list[Fix] = canvas.check_touched(self.document, touched)
        if not fixes:
            return
        update = self.document.repair(fixes)
        if not update:
            return
        anatomy = self._dissect(update)
        advances = anatomy.advances(self.reach)
        if self._layout is not None:
            self._layout.add(anatomy, self.reach)
        claims = self.ownership.claim(advances, SERVER.user_id, self._pending)
        self._pending.update(claims)
        self.reach |= advances
        batch.advances |= advances
        batch.entries.append(Entry(update, SERVER.user_id, claims))
        batch.frames.append(update)
        # with one author in the batch it is known whose values they were
        author = authors.pop() if len(authors) == 1 else None
        if author is not None:
            batch.mended += [(author, fix) for fix in fixes]

    def _admit_one_by_one(self, mails: Sequence[Mail], view: CommittedView) -> Batch:
        """The library failed on the batch: rebuild from the committed view and find the culprit (R6)."""
        whole = Batch()
        self._rebuild(whole, view)
        good: dict[int, Owner] = {}
        todo = deque(mails)
        self._at_once = True
        while todo:
            mail = todo.popleft()
            self._pending = dict(good)
            try:
                part = self._admit([mail], view)
            except DocumentBroken:
                self._guard.poisoned(self._room_id)
                self._rebuild(whole, view)
                self._refuse(whole, mail, Poison())
                continue
            # when a character had to be deleted first (D9) it is its turn again
            todo.extendleft(part.left)
            whole.absorb(part)
            if part.entries:
                good = self._pending
        self._at_once = False
        whole.claims = good
        return whole

    def _rebuild(self, batch: Batch, view: CommittedView) -> None:
        """Load the document anew: what is committed, then what of this batch is known to be good."""
        self.document.close()
        good = [frame for _, frame in view.frames] + batch.frames
        self.document = self._load(view.base, good)
        self.reach = self.document.vector()
        self._layout = None
        self.chore = None
        self._missed = []
        self._is_busy = False
        self._life += 1
        self._pairs = self._find_pairs(view.base, good)

    def _find_pairs(self, checkpoint: bytes, updates: Sequence[bytes]) -> SurrogatePairs:
        pairs = SurrogatePairs()
        if self.schema == "open":
            for update in (checkpoint, *updates):
                pairs.scan(update)
        return pairs

    def _load(self, checkpoint: bytes | None, updates: Sequence[bytes]) -> Document:
        return Document.load(checkpoint, updates, watch_elements=self.schema == "canvas")


def dissect_or_error(
    update: bytes, max_depth: int, max_structs: int | None = None
) -> admission.Anatomy | KanvasError:
    """As `admission.dissect`, for a chore: an error is a finding, too."""
    try:
        return admission.dissect(update, max_depth, max_structs=max_structs)
    except KanvasError as error:
        return error


def add_or_error(layout: Layout, anatomy: admission.Anatomy, reach: Mapping[int, int]) -> BadUpdate | None:
    """As `Layout.add`, for a chore: 1 MiB of the smallest structs takes more than a second."""
    try:
        layout.add(anatomy, reach)
    except BadUpdate as error:
        return error
    return None
