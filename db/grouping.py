"""Group commit: appends that wait together share one transaction and its fsync.

Owns: who waits, who goes together, when a commit begins, and who is told what. Does not own: the transaction
itself (journal.py, postgres_journal.py), whether to repeat a failed append (party/committer.py).

Rules kept: a room's appends are committed in the order they came; a group that fails is repeated room by
room, so that one room's error is its own; what a commit passed over goes into the next; nobody waits for
ever.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from db.errors import DatabaseDown
from party.errors import KanvasError, Unavailable
from party.ports import Basis, Entry

GROUP_ROWS = 1_000
GROUP_BYTES = 4 * 1024 * 1024
"""A commit takes waiting appends up to these, and at least one."""

GATHER_S = 0.004
"""While several rooms write, commits begin this far apart, and what came meanwhile is in one: 2,000 rooms
with an edit a second take 250 commits of 8 rows instead of 1,000 of 2. Who writes alone never waits."""

WAITING_BYTES = 64 * 1024 * 1024
"""Bytes waiting for a commit above which an append is refused at once."""

PASSED_OVER: Final = "passed over"
"""The answer to an append whose room another process was writing to: it goes with the next commit."""
PASSED_PAUSE_S = 0.002
PASSED_DEADLINE_S = 5.0
"""How long an append may be passed over before it is Unavailable."""

Answer = int | KanvasError | Literal["passed over"]
"""An append's last sequence number, why it was refused, or PASSED_OVER."""


@dataclass(frozen=True, slots=True, eq=False)
class Append:
    """One batch of a room on its way; `waiting_since` is on the loop's clock."""

    room_id: str
    epoch: int
    entries: tuple[Entry, ...]
    size_bytes: int
    durable: asyncio.Future[int]
    waiting_since: float
    basis: Basis | None = None


class GroupCommitter:
    """Appends in the order they came, and a task that commits them, which ends with the last of them."""

    def __init__(self, write: Callable[[list[Append]], Awaitable[Sequence[Answer]]]) -> None:
        """`write` is one transaction: it answers each append of the group, or fails for all of them."""
        self._write = write
        self._waiting: deque[Append] = deque()
        self._waiting_bytes = 0
        self._committer: asyncio.Task[None] | None = None
        self._last_size = 0
        self._began_s = 0.0

    def append(
        self, room_id: str, epoch: int, entries: Sequence[Entry], basis: Basis | None = None
    ) -> asyncio.Future[int]:
        """As party.ports.Journal.append."""
        # a future and no coroutine: the hub awaits it without a task of its own, 2,000 times a second
        if not entries:
            raise ValueError("an append needs at least one entry")
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[int] = loop.create_future()
        if self._waiting_bytes > WAITING_BYTES:
            words = "Too many edits are waiting for the database; they are kept, try again soon."
            durable.set_exception(Unavailable(words))
            return durable
        size_bytes = sum(len(entry.update) for entry in entries)
        self._waiting.append(Append(room_id, epoch, tuple(entries), size_bytes, durable, loop.time(), basis))
        self._waiting_bytes += size_bytes
        if self._committer is None:
            # Starts in the loop's next round, so whatever this round still appends is in the same group.
            self._committer = asyncio.create_task(self._commit_waiting(), name="journal-committer")
        return durable

    async def _commit_waiting(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                group = self._take_group()
                self._last_size = len(group)
                self._began_s = asyncio.get_running_loop().time()
                passed: list[Append] = []
                try:
                    passed = await self._commit(group)
                finally:
                    # Only when this task itself is cancelled or broken is anybody left: nobody may wait for
                    # ever.
                    _fail((append for append in group if append not in passed), Unavailable())
                self._take_back(passed)
                if passed and len(passed) == len(group):
                    await asyncio.sleep(PASSED_PAUSE_S)
        finally:
            self._committer = None
            _fail(self._waiting, Unavailable())
            self._waiting.clear()
            self._waiting_bytes = 0

    async def _gather(self) -> None:
        """Wait for others when the last commit had several and began just now."""
        pause_s = self._began_s + GATHER_S - asyncio.get_running_loop().time()
        if self._last_size > 1 and pause_s > 0 and len(self._waiting) < GROUP_ROWS:
            await asyncio.sleep(pause_s)

    def _take_group(self) -> list[Append]:
        group: list[Append] = []
        rows = size_bytes = 0
        while self._waiting:
            first = self._waiting[0]
            rows += len(first.entries)
            size_bytes += first.size_bytes
            if group and (rows > GROUP_ROWS or size_bytes > GROUP_BYTES):
                break
            self._waiting.popleft()
            self._waiting_bytes -= first.size_bytes
            # A caller that is gone before its commit began needs none.
            if not first.durable.done():
                group.append(first)
        return group

    def _take_back(self, passed: list[Append]) -> None:
        """To the front, for what came later of the same room waits behind it."""
        late = asyncio.get_running_loop().time() - PASSED_DEADLINE_S
        for append in reversed(passed):
            if append.waiting_since < late:
                words = "Another process holds this room in the database; edits are kept, try again soon."
                _fail([append], Unavailable(words))
            else:
                self._waiting.appendleft(append)
                self._waiting_bytes += append.size_bytes

    async def _commit(self, group: list[Append]) -> list[Append]:
        """Commit and tell; returns those that were passed over."""
        if not group:
            return []
        try:
            answers = await self._write(group)
        except DatabaseDown as error:
            _fail(group, error)
            return []
        except Exception as error:
            alone: dict[str, list[Append]] = {}
            for append in group:
                alone.setdefault(append.room_id, []).append(append)
            if len(alone) == 1:
                _fail(group, error)
                return []
            passed = []
            for appends in alone.values():
                passed += await self._commit(appends)
            return passed
        passed = []
        for append, answer in zip(group, answers, strict=True):
            if append.durable.done():
                continue
            if answer == PASSED_OVER:
                passed.append(append)
            elif isinstance(answer, int):
                append.durable.set_result(answer)
            else:
                append.durable.set_exception(answer)
        return passed


def _fail(appends: Iterable[Append], error: Exception) -> None:
    for append in appends:
        if not append.durable.done():
            append.durable.set_exception(error)
