"""`kanvas audit`: check the log and write it out, straight from the database; the server need not run.

Owns: the lines, the files of ends. Does not own: the commands' options (cli.py), the check (verifying.py).
Keeps rules Y3, Y4, Y9.

A log that was put back as a whole to how it was a week ago fits in itself. So its ends can be noted in a file
that lies elsewhere, and the next check begins with whether the log still goes through them.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection

from db.audit import OPERATOR, Event, Wanted, append, find_head, read_chain
from db.chains import Seal
from db.scopes import Transactions, as_system
from party.errors import Invalid
from server.audit.reading import stream
from server.audit.routes import WantedQuery, to_wanted
from server.audit.shapes import entry_out, to_lines, to_rows
from server.audit.verifying import Tally, verify
from server.direct import open_direct
from server.secret import load_secret
from server.settings import Settings

MOST_SHOWN: Final = 1000


def run_verify(
    settings: Settings,
    say: Callable[[str], None],
    *,
    room: str | None,
    old_secrets: Sequence[Path],
    ends: Path | None,
) -> bool:
    """Check the log, line by line what is wrong; False when anything is. Raises Invalid, Unavailable."""
    seals = [Seal(load_secret(settings)), *(Seal(_read_secret(path)) for path in old_secrets)]
    return asyncio.run(_verify(settings, say, seals, room, ends))


async def _verify(
    settings: Settings,
    say: Callable[[str], None],
    seals: Sequence[Seal],
    room: str | None,
    ends: Path | None,
) -> bool:
    tally, count = Tally(), 0
    async with open_direct(settings) as database:
        scope = as_system(database)
        noted = _read_ends(ends) if ends is not None else {}
        for chain, (seq, sealed) in sorted(noted.items()):
            if room in (None, chain) and not await _goes_through(scope, chain, seq, sealed):
                count += 1
                say(f"{chain}  {seq}  the log does not go through the end that was noted in {ends}")
        async for finding in verify(scope, seals, tally, room):
            count += 1
            if count <= MOST_SHOWN:
                say(f"{finding.chain}  {finding.seq}  {finding.words}")
    if count:
        say(
            f"{count} findings in {tally.entries} entries of {tally.chains} chains. Somebody changed them, or"
        )
        say("the server's secret was changed: then give the one before with --old-secret-file.")
        return False
    if room is not None and not tally.chains:
        raise Invalid("There is no log of this room.")
    say(f"{tally.entries} entries of {tally.chains} chains are as they were written.")
    if ends is not None:
        _write_ends(ends, {**noted, **tally.ends})
        say(f"Their ends are noted in {ends}; keep it where nobody can change it.")
    return True


async def _goes_through(database: Transactions, chain: str, seq: int, sealed: str) -> bool:
    def look(connection: Connection) -> bool:
        head = find_head(connection, chain)
        if head is None or head.seq < seq:
            return False
        if head.first_seq > seq:
            # it has left by retention, which the chain itself tells of
            return head.first_seq > seq + 1 or head.first_hash.hex() == sealed
        entry = next(iter(read_chain(connection, chain, seq - 1, 1)), None)
        return entry is not None and entry.seq == seq and entry.hash.hex() == sealed

    return await database.read(look)


def _read_secret(path: Path) -> bytes:
    try:
        return path.read_bytes().strip()
    except OSError as error:
        raise Invalid(f"The secret in {path} can't be read: {error.strerror}.") from error


def _read_ends(path: Path) -> Mapping[str, tuple[int, str]]:
    if not path.exists():
        return {}
    try:
        told = orjson.loads(path.read_bytes())
        return {str(chain): (int(seq), str(sealed)) for chain, (seq, sealed) in told.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise Invalid(f"The ends in {path} can't be read; give a file that this command wrote.") from error


def _write_ends(path: Path, ends: Mapping[str, tuple[int, str]]) -> None:
    made = path.with_name(path.name + ".new")
    try:
        made.write_bytes(orjson.dumps(ends, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        made.replace(path)
    except OSError as error:
        raise Invalid(f"The ends can't be written to {path}: {error.strerror}.") from error


def read_options(**given: str | None) -> Wanted:
    """The options of an export, held to what the API takes. Raises Invalid."""
    try:
        return to_wanted(WantedQuery.model_validate({k: v for k, v in given.items() if v is not None}))
    except ValidationError as error:
        told = [f"--{one['loc'][0]}: {one['msg']}" for one in error.errors(include_url=False)]
        raise Invalid(" ".join(told)) from None


def run_export(
    settings: Settings, write: Callable[[bytes], None], wanted: Wanted, kind: Literal["jsonl", "csv"]
) -> None:
    """Write the log out, the oldest first. Raises Unavailable."""
    asyncio.run(_export(settings, write, wanted, kind))


async def _export(
    settings: Settings, write: Callable[[bytes], None], wanted: Wanted, kind: Literal["jsonl", "csv"]
) -> None:
    async with open_direct(settings) as database:
        scope, now = as_system(database), datetime.now(UTC)
        details = orjson.dumps({"format": kind}).decode()
        event = Event(now, *OPERATOR, "audit.export", wanted.chain, details=details)
        await scope.write(partial(append, event=event))
        if kind == "csv":
            write(to_rows([], has_head=True))
        async for page in stream(scope, wanted, now):
            shown = [entry_out(one, "", is_admin=True) for one in page]
            write(to_rows(shown, has_head=False) if kind == "csv" else to_lines(shown))
