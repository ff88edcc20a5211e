"""What only this floor needs to tell apart; to everybody above, each is simply Unavailable.

Owns: the difference between "this change was refused" (party.errors.Unavailable itself: others may still
succeed) and "the database as a whole does not answer" (no use trying the next one). The journal decides by
it whether to retry each room of a failed group alone. Does not own: which driver error is which (the
adapter, sqlite.py).
"""

from party.errors import Forbidden, KanvasError, Unavailable


class DatabaseDown(Unavailable):
    """The database does not answer at all, so edits can't be saved now; they are kept, try again soon."""


class NewerDatabase(Unavailable):
    """This database was written by a newer Kanvas; start that version, or restore a backup from before it."""


class KeyMissing(Unavailable):
    """This is encrypted with a key this process does not have; give it all of KANVAS_ENCRYPTION_KEYS."""


class Damaged(Unavailable):
    """What is stored here is not what was encrypted; restore the database or the file from a backup."""


class PolicyMissing(KanvasError):
    """A statement that no policy covers was stopped before it reached the database; this is a mistake in
    Kanvas, and the log has the request id."""


class RowRefused(Forbidden):
    """You may not write this here."""
