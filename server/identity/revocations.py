"""What ended before its time, as every process knows it.

Owns: the copy in memory of the table, its renewal, and telling who has sockets. Does not own: the table
(db/revocations.py), the sockets (`sessions.py`). Keeps rules I7, I8.

The table is the truth and is asked for what is new twice a second; a word from another process only makes
that happen at once, so a word that is lost or made up does no harm. A token that is renewed is looked up in
the table itself. Above 50,000 rows (10 MB) only the newest are kept here, and every token is looked up.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, runtime_checkable

import structlog
from sqlalchemy import Connection

from db.database import Database
from db.revocations import Revocation, find_since, is_revoked, purge_revocations, put_token, put_user_until
from db.scopes import as_system
from db.sessions import purge_sessions, remove_session, remove_sessions
from party.errors import KanvasError, Unauthenticated
from server.audit.notes import Note, note_nothing
from server.auth import REFRESHABLE_S, Identity

log = structlog.get_logger("kanvas.identity")

POLL_S: Final = 0.5
OVERLAP: Final = timedelta(seconds=10)
WIDE_OVERLAP: Final = timedelta(minutes=5)
WIDE_EVERY: Final = 20
"""Clocks differ, and what is written first may be committed last: what is this old is read again, at each
look or at each twentieth."""

MOST_KEPT: Final = 50_000
TOPIC: Final = "revoke"


SIGNED_OUT: Final = "This sign-in was ended; sign in again."


class SignedOut(Unauthenticated):
    """This sign-in was ended; sign in again."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.identity = identity
        """Whose it was: the audit log tells of it."""


class Voidable(Protocol):
    """What can be revoked: an identity, or a socket that was opened with one."""

    @property
    def user_id(self) -> str: ...

    @property
    def token_id(self) -> str: ...

    @property
    def session_id(self) -> str: ...

    @property
    def signed_in_at(self) -> datetime: ...


@runtime_checkable
class Notes(Protocol):
    """How processes tell each other (the hub, when there are several)."""

    def note(self, topic: str, data: bytes, to: str | None = None) -> None: ...

    def on_note(self, topic: str, handler: Callable[[str, bytes], None]) -> None: ...


class Revocations:
    """All that is revoked. Make one with `open_revocations`."""

    def __init__(
        self, database: Database, now: Callable[[], datetime], *, most_kept: int = MOST_KEPT
    ) -> None:
        self._database = as_system(database)
        self._now = now
        self._most_kept = most_kept
        self._tokens: dict[str, None] = {}
        self._users: dict[str, datetime] = {}
        self._seen_to: datetime | None = None
        self._looks = 0
        self._is_whole = True
        self._is_due = asyncio.Event()
        self._notes: Notes | None = None
        self._is_failing = False
        self.on_news: Callable[[Collection[str]], None] = _tell_nobody
        """Called with the ids of users of whom something ended."""

    def connect(self, notes: Notes) -> None:
        """Tell other processes, and listen to them."""
        self._notes = notes
        notes.on_note(TOPIC, lambda _sender, _data: self._is_due.set())

    # -- asking ---------------------------------------------------------------------------------

    def is_void(self, one: Voidable) -> bool:
        """As far as this process knows by now."""
        if one.token_id in self._tokens or one.session_id in self._tokens:
            return True
        until = self._users.get(one.user_id)
        return until is not None and one.signed_in_at <= until

    async def check(self, identity: Identity) -> None:
        """Raises Unauthenticated when the token ended."""
        if self.is_void(identity):
            raise SignedOut(identity)
        if not self._is_whole:
            await self.check_written(identity)

    async def check_written(self, identity: Identity) -> None:
        """By the table: for what would live on. Raises Unauthenticated, Unavailable."""
        ids = {identity.token_id, identity.session_id}
        asked = partial(
            is_revoked, token_ids=ids, user_id=identity.user_id, signed_in_at=identity.signed_in_at
        )
        if await self._database.read(asked):
            raise SignedOut(identity)

    # -- ending ---------------------------------------------------------------------------------

    async def end_session(self, identity: Identity, and_note: Note = note_nothing) -> None:
        """End the token and all its renewals, everywhere. Durable when it returns. Raises Unavailable.

        `and_note` writes in the same transaction.
        """
        await self.end_session_id(identity.session_id, identity.user_id, identity.expires_at, and_note)

    async def end_session_id(
        self, session_id: str, user_id: str, expires_at: datetime, and_note: Note = note_nothing
    ) -> None:
        """As `end_session`, of a session that lasts until then. Raises Unavailable."""
        now = self._now()
        kept = max(expires_at, now + timedelta(seconds=REFRESHABLE_S)) + timedelta(days=1)

        def end(connection: Connection) -> None:
            put_token(connection, session_id, user_id, now, kept)
            remove_session(connection, session_id)

        await self._write(end, and_note)
        self._take_in([Revocation(session_id, user_id, None, now)])
        self._tell()

    async def end_token(self, token_id: str, user_id: str) -> None:
        """Close what stands on a personal token that counts no more, everywhere. Raises Unavailable."""
        now = self._now()
        kept = now + timedelta(days=1)
        await self._database.write(
            partial(put_token, token_id=token_id, user_id=user_id, now=now, expires_at=kept)
        )
        self._take_in([Revocation(token_id, user_id, None, now)])
        self._tell()

    async def end_user(self, user_id: str, and_note: Note = note_nothing) -> None:
        """End all tokens the user has now, everywhere. Durable when it returns. Raises Unavailable."""
        now = self._now()

        def end(connection: Connection) -> None:
            put_user_until(connection, user_id, now)
            remove_sessions(connection, user_id, now)

        await self._write(end, and_note)
        self.take_note(user_id, now)

    def take_note(self, user_id: str, until: datetime) -> None:
        """All tokens the user had until then were ended (put_user_until) in a transaction that committed."""
        self._take_in([Revocation(user_id, user_id, until, until)])
        self._tell()

    async def _write(self, end: Note, and_note: Note) -> None:
        def write(connection: Connection) -> None:
            end(connection)
            and_note(connection)

        await self._database.write(write)

    def _tell(self) -> None:
        if self._notes is not None:
            self._notes.note(TOPIC, b"")

    # -- knowing --------------------------------------------------------------------------------

    def _take_in(self, rows: list[Revocation]) -> None:
        """Remember rows, the oldest first, and tell whose sockets to look at."""
        concerned = set()
        for row in rows:
            if row.issued_before is None:
                if row.subject not in self._tokens:
                    self._tokens[row.subject] = None
                    concerned.add(row.user_id)
            elif self._users.get(row.user_id, row.issued_before - OVERLAP) < row.issued_before:
                # to the end: the first to go is the oldest
                self._users.pop(row.user_id, None)
                self._users[row.user_id] = row.issued_before
                concerned.add(row.user_id)
        for known in (self._tokens, self._users):
            while len(known) > self._most_kept:
                self._is_whole = False
                del known[next(iter(known))]
        if concerned:
            self.on_news(concerned)

    async def look(self) -> None:
        """Take in what is new in the table. Raises KanvasError."""
        self._looks += 1
        overlap = OVERLAP if self._looks % WIDE_EVERY else WIDE_OVERLAP
        since = self._seen_to - overlap if self._seen_to is not None else None
        limit = self._most_kept + 1
        rows = await self._database.read(lambda conn: find_since(conn, since, limit))
        if len(rows) == limit:
            self._is_whole = False
        self._take_in(rows)
        # a clock that is ahead must not hide what others write
        newest = min(rows[-1].revoked_at, self._now()) if rows else self._now() - OVERLAP
        self._seen_to = max(self._seen_to or newest, newest)

    async def watch(self) -> None:
        """Look for ever: twice a second, and at a word from elsewhere."""
        while True:
            try:
                async with asyncio.timeout(POLL_S):
                    await self._is_due.wait()
            except TimeoutError:
                pass
            self._is_due.clear()
            try:
                await self.look()
                self._is_failing = False
            except KanvasError as error:
                if not self._is_failing:
                    log.warning("revocations not read; what is known counts", reason=error.message)
                self._is_failing = True
            except Exception:
                # the border of a background task: the next look may succeed
                if not self._is_failing:
                    log.exception("revocations not read; what is known counts")
                self._is_failing = True

    async def clean_up(self) -> None:
        """Forget what can't matter any more, here and in the table. Raises KanvasError."""
        now, limit = self._now(), self._most_kept + 1
        tokens, users = list(self._tokens), list(self._users)
        await self._database.write(lambda conn: (purge_revocations(conn, now), purge_sessions(conn, now)))
        rows = await self._database.read(lambda conn: find_since(conn, None, limit))
        if len(rows) == limit:
            return
        # what came in meanwhile stays: only what was known before and is not written any more goes
        written = {row.subject for row in rows}
        for token_id in tokens:
            if token_id not in written:
                self._tokens.pop(token_id, None)
        for user_id in users:
            if user_id not in written:
                self._users.pop(user_id, None)
        self._take_in(rows)
        self._is_whole = True


def _tell_nobody(user_ids: Collection[str]) -> None:
    """While there are no sockets."""


@asynccontextmanager
async def open_revocations(database: Database, now: Callable[[], datetime]) -> AsyncIterator[Revocations]:
    """All there is, read, and kept up to date. Raises Unavailable."""
    revocations = Revocations(database, now)
    await revocations.look()
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(revocations.watch())
        try:
            yield revocations
        finally:
            watching.cancel()
