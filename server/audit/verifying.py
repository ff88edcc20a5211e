"""Is the audit log as it was written? Owns: reading every chain, page by page, while the server goes on.

Does not own: what a broken link is (db/chains.py), words for a person (commands.py). Memory is one page.
Keeps rule Y4.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from sqlalchemy import Connection

from db.audit import find_head, list_chains, list_unnumbered, read_chain
from db.chains import ChainCheck, Entry, Finding, Head, Seal, find_fault
from db.scopes import Transactions

PAGE: Final = 1000


@dataclass(slots=True)
class Tally:
    """What was looked at. `ends`: chain to the seq and hash of its last entry, where nothing was wrong."""

    entries: int = 0
    chains: int = 0
    ends: dict[str, tuple[int, str]] = field(default_factory=dict)


async def verify(
    database: Transactions, seals: Sequence[Seal], tally: Tally, chain: str | None = None
) -> AsyncIterator[Finding]:
    """Everything that is wrong, chain by chain, or with one alone. Raises Unavailable.

    `seals` are of the server's secret and of those it had before.
    """
    if chain is not None:
        async for finding in _verify_chain(database, seals, tally, chain):
            yield finding
        return
    past = ""
    while found := await database.read(partial(list_chains, past=past, limit=PAGE)):
        for one in found:
            async for finding in _verify_chain(database, seals, tally, one):
                yield finding
        past = found[-1]


async def _verify_chain(
    database: Transactions, seals: Sequence[Seal], tally: Tally, chain: str
) -> AsyncIterator[Finding]:
    made_up = await database.read(partial(list_unnumbered, chain=chain, limit=MOST_FINDINGS))
    tally.entries += len(made_up)
    for entry in made_up:
        yield find_fault(entry, "was made up: entries are numbered from 1")
    while True:
        head = await database.read(partial(find_head, chain=chain))
        if head is None:
            if await database.read(partial(read_chain, chain=chain, past_seq=0, limit=1)):
                yield Finding(chain, 0, "the end of this chain was removed, so nothing in it can be checked")
            return
        checked = await _check(database, head, seals)
        if checked is not None:
            break
        # it was cut meanwhile
    findings, entries = checked
    tally.chains += 1
    tally.entries += entries
    if not findings and not made_up:
        tally.ends[chain] = head.seq, head.hash.hex()
    for finding in findings:
        yield finding


MOST_FINDINGS: Final = 100
"""Of one chain: whoever tampered with more is known by then."""


async def _check(
    database: Transactions, head: Head, seals: Sequence[Seal]
) -> tuple[list[Finding], int] | None:
    """What is wrong with a chain up to this head, and how long it is; None: its beginning moved."""
    check = ChainCheck(head, seals)
    findings: list[Finding] = []
    seq = head.first_seq - 1
    while True:
        entries, now = await database.read(partial(_page, chain=head.chain, past_seq=seq))
        # what was written since we began is for the next time; what no head knows of is not
        ours = [one for one in entries if one.seq <= head.seq or one.seq > (now.seq if now else head.seq)]
        for entry in ours:
            findings += check.take(entry)
        if len(entries) < PAGE or len(findings) > MOST_FINDINGS:
            break
        seq = entries[-1].seq
    findings += check.finish() if len(findings) <= MOST_FINDINGS else []
    if findings:
        now = await database.read(partial(find_head, chain=head.chain))
        if now is not None and now.first_seq > head.first_seq:
            return None
    return findings, check.entries


def _page(connection: Connection, chain: str, past_seq: int) -> tuple[list[Entry], Head | None]:
    return read_chain(connection, chain, past_seq, PAGE), find_head(connection, chain)
