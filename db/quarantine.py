"""Queries on the quarantine. Owns: the `quarantine` table. Does not own: what a hold means, and how long it
lasts (the engine).

Rule: a row is a hold as it was last; whoever changes one writes all of it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from db.tables import quarantine
from db.upsert import insert_into


@dataclass(frozen=True, slots=True)
class HoldRow:
    """One hold. Times are aware, in UTC."""

    id: str
    kind: str
    room_id: str
    user_id: str | None
    client_id: int | None
    stage: str
    reason: str
    strikes: int
    first_at: datetime
    last_at: datetime
    until: datetime


def put_holds(connection: Connection, holds: Iterable[HoldRow]) -> None:
    """Add these holds, or bring them to this state."""
    names = [column.name for column in quarantine.c]
    # in one order, or two processes wait for each other in a circle
    for hold in sorted(holds, key=lambda hold: hold.id):
        values = {name: getattr(hold, name) for name in names}
        statement = insert_into(connection, quarantine).values(values)
        connection.execute(statement.on_conflict_do_update(index_elements=[quarantine.c.id], set_=values))


def list_holds(connection: Connection) -> list[HoldRow]:
    """All holds, the latest first."""
    rows = connection.execute(select(quarantine).order_by(quarantine.c.last_at.desc(), quarantine.c.id))
    return [HoldRow(**row._mapping) for row in rows]


Mark = tuple[int, int, datetime | None]
"""Differs when the table does: how many holds and strikes there are, and when the last one was."""


def read_mark(connection: Connection) -> Mark:
    """What to look at first: a strike makes it another one, and so does a hold that was lifted."""
    strikes = func.coalesce(func.sum(quarantine.c.strikes), 0)
    asked = select(func.count(), strikes, func.max(quarantine.c.last_at)).select_from(quarantine)
    count, total, last_at = connection.execute(asked).one()
    return count, int(total), last_at


def delete_hold(connection: Connection, hold_id: str) -> bool:
    """False when there is no such."""
    return connection.execute(delete(quarantine).where(quarantine.c.id == hold_id)).rowcount > 0


def purge_holds(connection: Connection, before: datetime) -> int:
    """Forget holds that ended before `before`; return how many."""
    return connection.execute(delete(quarantine).where(quarantine.c.until < before)).rowcount
