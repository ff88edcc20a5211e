"""What only this floor needs to tell apart; to everybody above, each is simply Unavailable.

Owns: the difference between "this change was refused" (party.errors.Unavailable itself: others may still
succeed) and "the database as a whole does not answer" (no use trying the next one). The journal decides by
it whether to retry each room of a failed group alone. Does not own: which driver error is which (the
adapter, sqlite.py).
"""

from party.errors import Unavailable


class DatabaseDown(Unavailable):
    """The database does not answer at all, so edits can't be saved now; they are kept, try again soon."""


class NewerDatabase(Unavailable):
    """This database was written by a newer Kanvas; start that version, or restore a backup from before it."""
