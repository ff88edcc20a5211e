"""Memory: of a connection that does nothing, and of a small room with somebody in it.

Owns: these two scenarios. What is measured is how much the resident set of the server's tree grows.
"""

import asyncio

from tests.load.crowd import Crowd
from tests.load.edits import Edits
from tests.load.scenarios import Row, Run, quiet
from tests.load.servers import Server


async def growth(
    run: Run, name: str, *, rooms: int, clients: int, draws: bool, what: str, per_rooms: bool
) -> Row:
    """KB per connection or per room: `rooms` rooms with `clients` each, after as many have been and gone."""
    row = Row(name, run.target.name, what, "KB", None)
    with run.server() as server, Crowd(Edits()) as crowd:
        run.say(f"making {rooms} rooms")
        seats = await asyncio.to_thread(server.seats, rooms, clients + 1)
        holders = [crowd.room(room[:1], 1 if draws else 0) for room in seats]
        # what is made once is not counted: a tenth of the rooms, or the rooms themselves with one in each
        early = len(holders) // 10 if per_rooms else len(holders)
        await crowd.enter([client for holder in holders[:early] for client in holder])
        before = await rest(server)
        run.say("entering")
        if per_rooms:
            await crowd.enter([client for holder in holders[early:] for client in holder])
            count = len(holders) - early
        else:
            idle = [crowd.room(room[1:], 0) for room in seats]
            await crowd.enter([client for room in idle for client in room])
            count = rooms * clients
        after = await rest(server)
        if crowd.lost:
            row.notes.append(f"{len(crowd.lost)} connections ended: {crowd.lost[0]}")
    if before is None or after is None:
        row.notes.append("the server's memory can't be read from here")
        return row
    row.value = (after - before) / 1024 / count
    row.rss_bytes = after
    return row


async def rest(server: Server) -> int | None:
    """The memory of the server when it has come to rest."""
    await quiet(server)
    await asyncio.sleep(1.0)
    usage = server.usage()
    return usage.rss_bytes if usage else None
