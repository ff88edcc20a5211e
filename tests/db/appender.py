"""A process of its own that appends and says so. python -m tests.db.appender <url> <room> <count> <prefix>

Prints "<seq> <update>" after each append that returned; counts for ever when <count> is 0.
"""

import asyncio
import itertools
import sys

from db.database import open_database
from db.journal import open_journal
from party.ports import Entry


async def main(url: str, room_id: str, count: int, prefix: str) -> None:
    async with open_database(url) as database:
        journal = open_journal(database)
        for n in itertools.count() if count == 0 else range(count):
            update = f"{prefix}{n}"
            seq = await journal.append(room_id, 1, [Entry(update.encode(), "ada")])
            sys.stdout.write(f"{seq} {update}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
