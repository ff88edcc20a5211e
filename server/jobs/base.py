"""What a job's handler is given, and how it says that trying again is no use.

Owns: the shape of a handler. Does not own: when it is run (`runner.py`), which there are (`kinds.py`).

A handler may run twice for one job, also after it succeeded (rule K1): it looks first, and writes what it did
in one transaction where it can. It may be cancelled at any await, and has the attempt's deadline.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from db.access import find_role
from db.queue import Job
from db.scopes import as_system
from party.errors import KanvasError
from party.policy import Action, can

if TYPE_CHECKING:
    # modules of handlers are imported by the composition root, which owns Services
    from server.services import Services


class GiveUp(KanvasError):
    """This can't be done, however often it is tried.

    Raised by a handler: the job is dead at once, with these words.
    """

    code = "given_up"


@dataclass(frozen=True, slots=True)
class JobCall:
    """One attempt at a job."""

    job: Job
    services: "Services"
    progress: Callable[[float, str], None]
    """progress(done 0..1, words for people), on the event loop: never waits; the last one is stored twice a
    second."""

    async def check(self, action: Action) -> None:
        """Whether who asked for the job may do this in its room now, whatever he might then (G1).

        To be asked by a handler that acts for somebody. Raises GiveUp, Unavailable.
        """
        room_id, user_id = self.job.room_id, self.job.user_id
        if room_id is not None and user_id is not None:
            role = partial(find_role, room_id=room_id, user_id=user_id)
            if can(await as_system(self.services.database).read(role), action):
                return
        raise GiveUp("Whoever asked for this may not do it any more.")


JobHandler = Callable[[JobCall], Awaitable[Mapping[str, Any] | None]]
"""Does the job; what it returns is the job's result, a JSON object. Any error is a failed attempt, and a
KanvasError's message is shown to people."""
