"""The audit log. Owns: `audit_events` and `audit_heads`. Does not own: what is worth an entry."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, select
from ulid import ULID

from db.tables import audit_events, audit_heads
from db.upsert import insert_into

SERVER_CHAIN = "server"
"""Of what is about no room."""


@dataclass(frozen=True, slots=True)
class Event:
    """What somebody did or was refused. `details` is a JSON object as text; no secrets in it."""

    at: datetime
    actor_id: str
    actor_name: str
    action: str
    room_id: str | None = None
    target: str = ""
    result: Literal["done", "refused"] = "done"
    address: str = ""
    request_id: str = ""
    details: str = "{}"


def append(connection: Connection, event: Event) -> None:
    """Write it down, in the transaction of what it tells of."""
    chain = event.room_id or SERVER_CHAIN
    connection.execute(
        insert_into(connection, audit_heads)
        .values(chain=chain, seq=0, hash=b"", first_hash=b"")
        .on_conflict_do_nothing(index_elements=[audit_heads.c.chain])
    )
    seq = (
        1
        + connection.execute(
            select(audit_heads.c.seq).where(audit_heads.c.chain == chain).with_for_update()
        ).scalar_one()
    )
    connection.execute(audit_heads.update().where(audit_heads.c.chain == chain).values(seq=seq))
    connection.execute(
        audit_events.insert().values(
            chain=chain,
            seq=seq,
            id=str(ULID()).lower(),
            at=event.at,
            actor_id=event.actor_id,
            actor_name=event.actor_name,
            action=event.action,
            target=event.target,
            result=event.result,
            address=event.address,
            request_id=event.request_id,
            details=event.details,
            hash=b"",
        )
    )
