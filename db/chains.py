"""How entries of the audit log are linked, and what shows that a link is broken.

Owns: the bytes an entry is hashed as, its hash, and the check of one chain. Does not own: the tables
(audit.py). Pure: no I/O, no clock. Keeps rules Y2, Y3, Y4.

A hash is HMAC-SHA256 over the hash before and every field of the entry, under a key that is derived from the
server's secret: who can write to the database can't make one. Its first four bytes name the key, so that
entries from before a change of the secret are told from those that were tampered with. Source: RFC 2104.
"""

import hmac
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from party.errors import Invalid

KEY_NAME_BYTES: Final = 4
EXPIRE: Final = "audit.expire"
"""The entry that says up to where a chain was cut; `details` repeats the new ends."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row. `at` is aware, in UTC, to the microsecond; `details` is a JSON object as text."""

    chain: str
    seq: int
    id: str
    at: datetime
    actor_id: str
    actor_name: str
    action: str
    target: str
    result: str
    address: str
    request_id: str
    details: str
    hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Head:
    """The ends of a chain: the entry `seq` has `hash`, and `first_seq - 1`, which is gone, `first_hash`."""

    chain: str
    seq: int
    hash: bytes
    first_seq: int
    first_hash: bytes


class Seal:
    """What entries are sealed with. Made from a secret of at least 32 bytes; it never shows its key."""

    __slots__ = ("_key", "name")

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise Invalid("The secret that the audit log is sealed with has at least 32 bytes.")
        self._key = hmac.digest(secret, b"kanvas audit log 1", "sha256")
        self.name = hmac.digest(self._key, b"name", "sha256")[:KEY_NAME_BYTES]

    def close(self, before: bytes, entry: Entry) -> bytes:
        """The hash of an entry that follows one with the hash `before` (empty: it is the first)."""
        return self.name + hmac.digest(self._key, encode(before, entry), "sha256")


def encode(before: bytes, entry: Entry) -> bytes:
    """Every field behind its length, so that nothing can move from one into the next."""
    at_us = (entry.at - _EPOCH) // _MICROSECOND
    fields = (
        before,
        *(
            one.encode()
            for one in (
                entry.chain,
                str(entry.seq),
                entry.id,
                str(at_us),
                entry.actor_id,
                entry.actor_name,
                entry.action,
                entry.target,
                entry.result,
                entry.address,
                entry.request_id,
                entry.details,
            )
        ),
    )
    return b"".join(len(one).to_bytes(4, "big") + one for one in fields)


_MICROSECOND: Final = datetime.resolution


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written."""

    chain: str
    seq: int
    words: str


def find_fault(entry: Entry, words: str) -> Finding:
    """What is wrong with an entry, as words that follow its name."""
    told = f"entry {entry.id} ({entry.at:%Y-%m-%d %H:%M:%S}Z, {entry.action}) {words}"
    return Finding(entry.chain, entry.seq, told)


class ChainCheck:
    """Walks one chain from its first entry to its last: `take` each in the order of seq, then `finish`."""

    def __init__(self, head: Head, seals: Sequence[Seal]) -> None:
        self._head = head
        self._seals: Mapping[bytes, Seal] = {seal.name: seal for seal in seals}
        self._next_seq = head.first_seq
        # None: what it follows is not there
        self._before: bytes | None = head.first_hash
        self._cut: Entry | None = None
        self.entries = 0

    def take(self, entry: Entry) -> Iterator[Finding]:
        """What is wrong with the next entry, and with what should be before it."""
        self.entries += 1
        if entry.seq > self._head.seq:
            yield find_fault(entry, "was put behind the end of the log")
            return
        if entry.seq != self._next_seq:
            yield _missing(entry.chain, self._next_seq, entry.seq - 1)
            self._before = None
        seal = self._seals.get(entry.hash[:KEY_NAME_BYTES])
        if seal is None:
            name = entry.hash[:KEY_NAME_BYTES].hex() or "none"
            yield find_fault(entry, f"is sealed with a secret that was not given (key {name})")
        elif self._before is not None and not hmac.compare_digest(
            seal.close(self._before, entry), entry.hash
        ):
            yield find_fault(entry, "was changed, moved or made up")
        elif entry.action == EXPIRE:
            self._cut = entry
        self._before = entry.hash
        self._next_seq = entry.seq + 1

    def finish(self) -> Iterator[Finding]:
        """What is wrong with the ends."""
        head = self._head
        if self._next_seq <= head.seq:
            yield _missing(head.chain, self._next_seq, head.seq)
        elif self._before is not None and self._before != head.hash:
            yield Finding(head.chain, head.seq, "the end of the log is not the one that was noted")
        if head.first_seq > 1 and not self._is_cut_told():
            words = f"entries up to {head.first_seq - 1} are gone, and no entry tells of it"
            yield Finding(head.chain, head.first_seq, words)

    def _is_cut_told(self) -> bool:
        return self._cut is not None and self._cut.details == cut_details(
            self._head.first_seq, self._head.first_hash
        )


def cut_details(first_seq: int, first_hash: bytes) -> str:
    """What the entry of a cut says, as JSON: the first entry that stays, the hash of the last one gone."""
    return f'{{"first_seq":{first_seq},"first_hash":"{first_hash.hex()}"}}'


def _missing(chain: str, first: int, last: int) -> Finding:
    words = f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
    return Finding(chain, first, words)
