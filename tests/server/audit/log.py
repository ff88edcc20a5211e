"""Reading the audit log in tests: as it is stored, and as somebody gets it."""

from functools import partial
from typing import Any

from db.audit import Wanted, list_entries
from db.chains import Entry, Finding, Seal
from db.scopes import as_system
from server.audit.verifying import Tally, verify
from tests.server.edge import Edge, Person


async def stored(edge: Edge, **wanted: Any) -> list[Entry]:
    """Everything that waits is written, and then read, the oldest first."""
    await edge.services.refusals.write(is_last=True)
    listed = partial(list_entries, wanted=Wanted(**wanted), limit=5000, oldest_first=True)
    return await edge.database.read(listed)


async def told(edge: Edge, **wanted: Any) -> list[tuple[str, str]]:
    """Actions and results."""
    return [(one.action, one.result) for one in await stored(edge, **wanted)]


async def check(edge: Edge) -> list[Finding]:
    """What is wrong with the log."""
    scope = as_system(edge.services.database)
    return [one async for one in verify(scope, [Seal(edge.services.signing_key)], Tally())]


def operator(edge: Edge) -> Person:
    token = edge.services.tokens.issue("operator", "Olga", is_admin=True).token
    return Person(edge.http, token, "operator")


async def items(who: Person, path: str, **query: str) -> list[dict[str, Any]]:
    answer = await who.ask("GET", path, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found
