"""What a listing costs somebody who has many rooms: `python -m tests.bench.listing`.

Prints, for each database and listing, the median and the 99th percentile of a page in milliseconds, as who
asks (both walls up), the plain queries of the server's own beside them; and what a scope costs an empty
transaction. Ada has 10,000 rooms and was in 10,000 more; a fifth are in the trash, a half of the rest lets
members in only.
"""

import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvloop
from sqlalchemy import Connection, insert

from db.database import open_database
from db.listings import Scope, list_rooms
from db.migrate import upgrade
from db.rooms import fold
from db.scopes import Actor, Scoped, as_system, as_user
from db.tables import room_heads, room_members, room_participants, rooms, users
from tests.backends.postgres import open_postgres

ROOMS = 10_000
ROUNDS = 200
BORN = datetime(2026, 1, 1, tzinfo=UTC)


def fill(connection: Connection, first: int, last: int) -> None:
    """Even rooms are Ada's; in the odd ones she is a member or was there."""
    made: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []
    seen: list[dict[str, Any]] = []
    for n in range(first, last):
        at = BORN + timedelta(minutes=n)
        owner = "ada" if n % 2 == 0 else "bea"
        title = f"Room {n}"
        made.append(
            {
                "id": f"room-{n:06}",
                "title": title,
                "title_folded": fold(title),
                "visibility": "unlisted" if n % 3 else "public",
                "schema": "canvas",
                "creator_id": owner,
                "created_at": at,
                "updated_at": at,
                "deleted_at": at if n % 10 in (4, 5) else None,
                "default_role": "none" if n % 4 < 2 else "editor",
            }
        )
        kept = {"room_id": f"room-{n:06}", "room_created_at": at}
        members.append({**kept, "user_id": owner, "role": "owner", "created_at": at})
        if n % 10 == 1:
            members.append({**kept, "user_id": "ada", "role": "viewer", "created_at": at})
        seen.append({**kept, "user_id": "ada", "role": "editor", "first_seen_at": at, "last_seen_at": at})
    connection.execute(insert(rooms), made)
    connection.execute(insert(room_heads), [{"room_id": one["id"]} for one in made])
    connection.execute(insert(room_members), members)
    connection.execute(insert(room_participants), seen)


async def prepare(database: Scoped) -> None:
    def people(connection: Connection) -> None:
        named = [
            {"id": one, "name": one.title(), "created_at": BORN, "seen_at": BORN} for one in ("ada", "bea")
        ]
        connection.execute(insert(users), named)

    await database.write(people)
    for first in range(0, 2 * ROOMS, 1000):
        await database.write(partial(fill, first=first, last=first + 1000))


async def measure(work: Callable[[], Awaitable[object]]) -> str:
    took_ms = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        await work()
        took_ms.append((time.perf_counter() - began) * 1e3)
    return f"p50 {median(took_ms):6.2f} ms, p99 {quantiles(took_ms, n=100)[98]:6.2f} ms"


async def run(url: str, name: str) -> None:
    async with open_database(url) as database:
        await prepare(as_system(database))
        # as autovacuum does within a minute; SQLite needs none
        if name == "postgresql":
            await as_system(database).write(lambda connection: connection.exec_driver_sql("ANALYZE").close())
        as_ada, plain = as_user(database, Actor("ada")), as_system(database)
        deep = (BORN + timedelta(minutes=ROOMS), "room-010000")
        kinds: list[tuple[Scope, str | None, tuple[datetime, str] | None]] = [
            ("mine", None, None),
            ("mine", None, deep),
            ("mine", "room 12", None),
            ("mine", "nothing", None),
            ("public", None, None),
            ("trash", None, None),
        ]
        for scope, q, before in kinds:
            look = partial(list_rooms, scope=scope, user_id="ada", q=q, before=before, limit=51)
            what = f"{name:10} {scope:6} {f'q={q}' if q else 'deep' if before else '':10}"
            say(f"{what} as who asks: {await measure(partial(as_ada.read, look))}")
            say(f"{what} as system:   {await measure(partial(plain.read, look))}")
        say(f"{name:10} nothing, by nobody:    {await measure(partial(database.read, nothing))}")
        say(f"{name:10} nothing, as system:    {await measure(partial(plain.read, nothing))}")
        say(f"{name:10} nothing, as who asks:  {await measure(partial(as_ada.read, nothing))}")


def nothing(_connection: Connection) -> None:
    """What a transaction costs by itself."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sqlite = f"sqlite:///{folder / 'kanvas.db'}"
        upgrade(sqlite)
        uvloop.run(run(sqlite, "sqlite"))
        if "sqlite" not in sys.argv:
            server = stack.enter_context(open_postgres())
            url = server.create()
            upgrade(url)
            uvloop.run(run(url, "postgresql"))


if __name__ == "__main__":
    main()
