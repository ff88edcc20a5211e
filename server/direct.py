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


@asynccontextmanager
async def open_direct(settings: Settings) -> AsyncIterator[Database]:
    """The database of these settings. Raises Unavailable (also of another version), SettingsError."""
    url = settings.effective_database_url
    if current_revision(url) != head_revision():
        raise Unavailable("The database is not there, or of another version; type: kanvas migrate")
    async with open_database(
        url, timeout_s=settings.database_timeout_s, seal=Seal(load_secret(settings))
    ) as database:
        yield database
