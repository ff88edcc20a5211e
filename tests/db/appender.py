"""A process of its own that appends and says so. python -m tests.db.appender <url> <room> <count> <prefix>

Prints "<seq> <update>" after each append that returned; counts for ever when <count> is 0.
"""

import asyncio
import itertools
import sys

from db.database import open_database
from db.journal import open_journal
from db.postgres_url import is_postgres
from db.sqlite import SqliteDatabase
from party.ports import Entry

PATIENCE_S = 60.0
"""Others of its kind may be slow on a busy machine."""


async def main(url: str, room_id: str, count: int, prefix: str) -> None:
    opened = (
        open_database(url, timeout_s=PATIENCE_S)
        if is_postgres(url)
        else SqliteDatabase(url, busy_s=PATIENCE_S)
    )
    async with opened as database:
        journal = open_journal(database)
        for n in itertools.count() if count == 0 else range(count):
            update = f"{prefix}{n}"
            seq = await journal.append(room_id, 1, [Entry(update.encode(), "ada")])
            sys.stdout.write(f"{seq} {update}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
