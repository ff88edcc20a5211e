"""What is under which data key: rows, checkpoints and files, counted by looking at each.

Owns: the count, and walking through the database in pages. Does not own: changing anything (rotation.py).
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Connection

from db.assets import find_unknown_keys
from db.database import Database
from db.rekeying import BEGIN, Found, Mark, list_states, list_updates
from db.scopes import as_system
from server.assets.names import PREFIX
from server.blobs.sealed import SealedBlobs

ROWS: Final = "rows"
CHECKPOINTS: Final = "checkpoints"
FILES: Final = "files"
FILES_PAGE: Final = 200
KINDS: Final = (ROWS, CHECKPOINTS, FILES)

Pages = Callable[[Connection, Mark], list[Found]]
TABLES: Final[dict[str, Pages]] = {ROWS: list_updates, CHECKPOINTS: list_states}


@dataclass(slots=True)
class Survey:
    """How much of each kind is under each key id; None is plain."""

    counts: dict[str | None, dict[str, int]] = field(default_factory=dict)

    def add(self, kind: str, key_id: str | None, count: int = 1) -> None:
        of_key = self.counts.setdefault(key_id, dict.fromkeys(KINDS, 0))
        of_key[kind] += count

    def total(self, key_id: str | None) -> int:
        return sum(self.counts.get(key_id, {}).values())

    def elsewhere(self, key_id: str | None) -> int:
        """How much is not under this key."""
        return sum(self.total(other) for other in self.counts if other != key_id)

    def told(self, key_id: str | None) -> str:
        """The counts of one key in words."""
        counts = self.counts.get(key_id, dict.fromkeys(KINDS, 0))
        return ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS)


async def walk(database: Database, kind: str) -> AsyncIterator[Sequence[Found]]:
    """Every row of one kind, page by page."""
    after = BEGIN
    list_page = TABLES[kind]
    while page := await as_system(database).read(lambda conn, mark=after: list_page(conn, mark)):  # type: ignore[misc]
        yield page
        after = page[-1].mark


async def walk_files(
    database: Database, blobs: SealedBlobs, key_id: str | None
) -> AsyncIterator[Sequence[str]]:
    """The keys of every file under a data key, or plain, some at a time.

    Plain ones that no row of this database names are left out: they may be another's, of a backup that comes
    back, or are about to be swept.
    """
    keys: list[str] = []
    async with aclosing(blobs.list_under(key_id)) as found:
        async for info in found:
            keys.append(info.key)
            if len(keys) == FILES_PAGE:
                yield await _known(database, key_id, keys)
                keys = []
    if keys:
        yield await _known(database, key_id, keys)


async def _known(database: Database, key_id: str | None, keys: Sequence[str]) -> Sequence[str]:
    if key_id is not None:
        return keys
    named = [key for key in keys if key.startswith(PREFIX)]
    unknown = set(await as_system(database).read(partial(find_unknown_keys, keys=named)))
    return [key for key in keys if key not in unknown]


async def count_all(database: Database, blobs: SealedBlobs, key_ids: Sequence[str | None]) -> Survey:
    """Look at everything; `key_ids` are those whose files are looked for. Raises Unavailable."""
    survey = Survey()
    for kind in TABLES:
        async for page in walk(database, kind):
            for found in page:
                survey.add(kind, found.key_id)
    for key_id in key_ids:
        async for keys in walk_files(database, blobs, key_id):
            survey.add(FILES, key_id, len(keys))
    return survey
