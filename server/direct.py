"""The database for a command, straight: beside a server that serves, or without one.

Owns: that the tables are of this version, and that what a command does can be written into the audit log.
Does not own: commands (`*/commands.py`), whose eyes they have (they say as_system).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.chains import Seal
from db.database import Database, open_database
from db.migrate import current_revision, head_revision
from party.errors import Unavailable
from server.secret import load_secret
from server.settings import Settings


def check_version(settings: Settings) -> None:
    """Raises Unavailable unless the tables are of this version."""
    if current_revision(settings.effective_database_url) != head_revision():
        raise Unavailable("The database is not there, or of another version; type: kanvas migrate")


@asynccontextmanager
async def open_direct(settings: Settings) -> AsyncIterator[Database]:
    """The database of these settings. Raises Unavailable (also of another version), SettingsError."""
    check_version(settings)
    seal = Seal(load_secret(settings))
    async with open_database(
        settings.effective_database_url, timeout_s=settings.database_timeout_s, seal=seal
    ) as database:
        yield database
