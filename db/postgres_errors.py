"""What an error of PostgreSQL, or of its driver, means.

Owns: which refuses one change and which concerns the whole database, and their words. Does not own: what is
done about it. Rule: a driver's error leaves as party.errors.Unavailable with its cause chained; text that
can't be stored is the asker's mistake (J11). Source: postgresql.org/docs/current/errcodes-appendix.html.
"""

import asyncpg
from sqlalchemy.exc import DBAPIError

from db.errors import DatabaseDown, RowRefused
from party.errors import Invalid, KanvasError, Unavailable

# Another transaction came between: what was looked at first is different now.
SPOILT = {"40001", "40P01", "23505", "23503"}
# The change itself was refused; another one may well succeed. Everything else concerns the whole database.
_REFUSED_CLASSES = {"0A", "21", "22", "23", "40", "42", "44", "54", "P0"}
_REFUSED = {"25006", "53100", "55P03", "57014"}
READ_ONLY = "25006"
_NOT_PRIVILEGED = "42501"
NO_MORE = "53300"
_UNSTORABLE = {"22021", "22P05"}
MESSAGES = {
    "53100": "The database's disk is full, so edits can't be saved; they are kept, try again soon.",
    NO_MORE: "The database takes no more connections; raise its max_connections, or lower "
    "KANVAS_DATABASE_POOL.",
    "55P03": "Another process holds what this needs in the database; try again soon.",
    "57014": "The database took too long; try again soon.",
    "28P01": "The database refused the user name or the password in KANVAS_DATABASE_URL.",
    "28000": "The database refused this user or this machine; see its pg_hba.conf.",
    "3D000": "There is no database of the name in KANVAS_DATABASE_URL; create it first.",
    READ_ONLY: "The database is read-only here; name the primary server in KANVAS_DATABASE_URL.",
}
_NOT_STORABLE = "This text holds characters that can't be stored, such as NUL or half a surrogate pair."
_SHUT = "The connection to the database was lost; edits are kept, try again soon."


def translate(error: BaseException) -> BaseException:
    """A driver's error as Unavailable, DatabaseDown or Invalid with its cause chained; any other as it is."""
    driver = _driver_error(error)
    if driver is None:
        return error
    state = sqlstate(error)
    failure: BaseException
    if state in _UNSTORABLE or isinstance(driver, UnicodeError) or "surrogates not allowed" in str(driver):
        failure = Invalid(_NOT_STORABLE)
    elif state == _NOT_PRIVILEGED and "row-level security" in str(driver):
        # the second wall; the first one says it before (walls.py)
        failure = RowRefused()
    elif state in _REFUSED or state[:2] in _REFUSED_CLASSES or isinstance(driver, asyncpg.DataError):
        failure = Unavailable(MESSAGES.get(state))
    else:
        failure = DatabaseDown(MESSAGES.get(state) or (None if state else _SHUT))
    failure.__cause__ = error
    return failure


def sqlstate(error: BaseException) -> str:
    """The five characters of PostgreSQL's own errors, "" for others; of a translated one its cause's."""
    if isinstance(error, KanvasError) and error.__cause__ is not None:
        error = error.__cause__
    state = getattr(_driver_error(error), "sqlstate", None)
    return state if isinstance(state, str) else ""


def _driver_error(error: BaseException) -> BaseException | None:
    if isinstance(error, DBAPIError):
        # SQLAlchemy's imitation of a driver's error, then the driver's own
        adapted = error.orig
        return adapted.__cause__ or adapted if adapted is not None else error
    known = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
    return error if isinstance(error, known) else None
