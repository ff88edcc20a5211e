"""The guard: what a room calls around everything it hands to the document library.

Owns: noting it with the recorder, and asking the quarantine and the operator's restraints, in one place, so
that rooms carry one argument and a line here and there. Does not own: their rules. Keeps rules Q1, Q3-Q6,
M5, M7.
The clock is the wall's: holds outlive the process.
"""

import time
from collections.abc import Callable, Collection, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from party.memory import MemoryRecorder
from party.ports import Recorder, Stage
from party.quarantine import Crash, Hold, Quarantine
from party.restraints import Restraints

T = TypeVar("T")


class Guard:
    """A recorder and a quarantine. The defaults watch nothing and remember for this process only."""

    def __init__(
        self,
        recorder: Recorder | None = None,
        quarantine: Quarantine | None = None,
        *,
        clock: Callable[[], float] = time.time,
        on_change: Callable[[Sequence[Hold]], None] | None = None,
    ) -> None:
        """`on_change` is told of new and changed holds, to store them."""
        self.recorder: Recorder = recorder or MemoryRecorder()
        self.quarantine = quarantine or Quarantine()
        self.restraints = Restraints()
        self._clock = clock
        self._on_change = on_change
        self._user_id = ""
        self._client_ids: Collection[int] = ()

    # -- rooms ----------------------------------------------------------------------------------

    def check_entry(self, room_id: str, user_id: str | None = None) -> None:
        """Before a room is opened or joined. Raises RoomHeld, Quarantined, RoomClosed, KeptOut."""
        self.quarantine.check_entry(room_id, user_id, self._clock())
        if user_id is not None:
            self.check_kept_out(room_id, user_id)

    def check_kept_out(self, room_id: str, user_id: str) -> None:
        """Before somebody joins a room or writes into it. Raises RoomClosed, KeptOut (M7)."""
        self.restraints.check_entry(room_id, user_id, self._clock())

    def is_frozen(self, room_id: str) -> bool:
        """Asked where a change is applied: the operator wants none (M5)."""
        return room_id in self.restraints.frozen

    @contextmanager
    def reading(self, room_id: str, user_id: str | None = None, stage: Stage = "read") -> Iterator[None]:
        """Around encoding a document; `user_id` when it is for a state vector of this user's."""
        self.recorder.begin(stage, room_id)
        if user_id is not None:
            self.recorder.take(user_id)
        try:
            yield
        finally:
            self.recorder.end()

    async def noted(self, room_id: str, work: Coroutine[Any, Any, T], stage: Stage = "read") -> T:
        """Await work on a room's stored bytes; every stretch of it that runs in this thread is noted."""
        return await _Noted(self, room_id, work, stage)

    # -- batches --------------------------------------------------------------------------------

    def begin(self, room_id: str, mails: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
        """A batch begins: the mails to take now and those to leave; a careful room takes one (Q3)."""
        self.recorder.begin("edit", room_id)
        if self.quarantine.is_careful(room_id, self._clock()):
            return mails[:1], mails[1:]
        return mails, ()

    def take(self, user_id: str) -> None:
        """This user's mail is looked at now."""
        self._user_id = user_id
        self._client_ids = ()
        self.recorder.take(user_id)

    def admit(self, room_id: str, client_ids: Collection[int]) -> None:
        """The mail in hand advances these client ids and is applied next. Raises Quarantined (Q4)."""
        self._client_ids = client_ids
        self.recorder.name(client_ids)
        self.quarantine.check(room_id, self._user_id, client_ids, self._clock())

    def poisoned(self, room_id: str) -> None:
        """The library panicked at the mail in hand: a strike, although nobody crashed (Q5)."""
        crash = Crash(self._clock(), "panic", "edit", room_id, self._user_id, tuple(self._client_ids))
        changed = self.quarantine.blame(crash)
        if self._on_change is not None:
            self._on_change(changed)

    def let_go(self) -> None:
        """All mails of the batch are looked at; the transaction ends next."""
        self.recorder.let_go()

    def end(self) -> None:
        """The batch is done with."""
        self.recorder.end()


class _Noted(Generic[T]):
    """An awaitable around another one: what runs between two waits of it is noted, the waits are not."""

    def __init__(self, guard: Guard, room_id: str, work: Coroutine[Any, Any, T], stage: Stage) -> None:
        self._guard = guard
        self._room_id = room_id
        self._work = work
        self._stage: Stage = stage

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        go_on: Callable[[], Any] = partial(next, steps)
        while True:
            with self._guard.reading(self._room_id, stage=self._stage):
                try:
                    wait = go_on()
                except StopIteration as done:
                    value: T = done.value
                    return value
            try:
                yield wait
            except BaseException as error:
                go_on = partial(steps.throw, error)
            else:
                go_on = partial(next, steps)
