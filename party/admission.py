"""Admission: what an update says about itself, read before pycrdt sees it.

Owns: the structural walk over a Yjs update (encoding version 1) and the completeness rule. Does not own:
whose client id it is, what the values mean (canvas), applying it (document).
Keeps rules D1-D4, D9, D11, D12. Source: yjs src/utils/encoding.js, UpdateDecoder.js, structs/*.js.
"""

from typing import Final, NamedTuple

from party.crowding import steps
from party.errors import BadUpdate, TooLarge
from party.lib0 import (
    TOO_EARLY,
    read_count,
    read_id,
    read_text,
    read_uint,
    skip_any,
    skip_bytes,
    skip_json,
)

GC: Final = 0
DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC = range(1, 10)
SKIP: Final = 10

MAX_CLOCK: Final = 2**31 - 1
"""yrs keeps clocks in 32 bits; beyond this an addition could overflow (D2)."""

DEFAULT_DEPTH: Final = 64

MAX_JOINED_BYTES: Final = 16 * 1024 * 1024
"""Bytes the library may copy to join the structs of one update (D11). It joins what was inserted one behind
the other, last to first, each time copying all that follows and giving nothing back before the end of the
transaction: 8,000 single values of a list in 48 KB took 1.5 s and 1.1 GB, and 900 KB of them the process."""

MAX_STEPS: Final = 4_000_000
"""Steps the library may walk to place the structs of one update or batch (D12), some counted twice: 0.4 s.
Two clients that each inserted 1,400 values at one place without the other's come to as many, as do 2,000 with
one value each."""

CROWDED_FROM: Final = 256
"""Structs up to which an update is not looked at for it: so many take 15 ms at most."""

VALUE_BYTES: Final = 32
"""What one plain value takes there; text takes a byte a character."""

Reference = tuple[int, int]
"""(client id, clock) of one struct another one points at."""

GONE, VALUE, SHARED = range(3)
"""What an item holds: nothing any more, plain content, a shared type."""


class Place(NamedTuple):
    """One struct and what it says about where it lies; `parent` is an id or the name of a root type.

    A struct with neighbours says nothing of its parent: it has theirs, and their key.
    """

    client: int
    clock: int
    length: int
    kind: int
    left: Reference | None = None
    right: Reference | None = None
    parent: Reference | str | None = None
    key: str | None = None


class Anatomy:
    """What an update carries, and what it builds on.

    `spans`: client id -> [(from clock, to clock)], one per run of structs without a gap, in order.
    `references`: the greatest clock pointed at per client id (origins, parents).
    `deletions`: client id -> [(from clock, to clock)].
    Without places `left`, `right` and `places` stay empty.
    """

    __slots__ = (
        "between",
        "blocks",
        "deletions",
        "has_documents",
        "has_lists",
        "has_text",
        "is_own",
        "is_plain",
        "joined_bytes",
        "joins",
        "last_join",
        "left",
        "max_structs",
        "pairs",
        "places",
        "references",
        "right",
        "roots",
        "rows",
        "run",
        "run_bytes",
        "spans",
        "steps",
        "structs",
    )

    def __init__(self) -> None:
        self.spans: dict[int, list[Reference]] = {}
        self.references: dict[int, int] = {}
        self.deletions: dict[int, list[Reference]] = {}
        self.blocks: dict[int, Reference] = {}
        """Where in the update each client's structs lie: (first byte, byte behind the last)."""
        self.roots: set[str] = set()
        """The root types it names."""
        self.has_text = False
        """It carries shared text or marks of its format."""
        self.has_lists = False
        """It carries something that has a position among others and no key."""
        self.has_documents = False
        """It carries sub-documents."""
        self.is_plain = True
        """Its structs lie in root types and in types of its own, one value each: nothing to look up."""
        self.left: list[Reference] = []
        """Structs it inserts behind (left origins)."""
        self.right: list[Reference] = []
        """Structs it inserts before (right origins)."""
        self.pairs: list[Reference] = []
        """Where a surrogate pair of its own text begins: the clock of the high half."""
        self.places: list[Place] = []
        """Every struct, each client's in order."""
        self.rows: list[tuple[int, int, int, int]] = []
        """Structs that continue the one before them: content, client id, clock, length."""
        self.between: set[Reference] = set()
        """Those of them that do not lie behind it any more: another struct was inserted before them."""
        self.joins = 0
        """Structs the library joins to the one before them."""
        self.run_bytes = 0
        """What these hold."""
        self.joined_bytes = 0
        """What it copies to join them."""
        self.run = 0
        self.is_own = False
        """Bytes the library wrote itself: what it did not join it will not."""
        self.max_structs: int | None = None
        self.structs = 0
        """With the deleted ranges."""
        self.steps = 0
        """What it walks to place them, where it is worth counting."""
        self.last_join: tuple[int, int, int] | None = None

    def join(self, kind: int, own: int, at: int, length: int) -> None:
        """Count a struct that continues the one before it. Raises BadUpdate (D11)."""
        self.run = self.run + 1 if self.last_join == (kind, own, at) else 1
        self.last_join = kind, own, at + length
        size_bytes = length * VALUE_BYTES if kind == ANY else length
        self.joins += 1
        self.run_bytes += size_bytes
        self.joined_bytes += size_bytes * self.run
        if self.joined_bytes > MAX_JOINED_BYTES and not self.is_own:
            raise BadUpdate("The update has too many pieces in a row; send the document's state.")

    def count(self, more: int) -> None:
        """So many structs or deleted ranges come next. Raises TooLarge (D13)."""
        self.structs += more
        if self.max_structs is not None and self.structs > self.max_structs:
            raise TooLarge(f"One update may have {self.max_structs:,} structs and deleted ranges; split it.")

    def join_rows(self) -> None:
        """Count all that continue the one before them and lie there still. Raises BadUpdate (D11).

        A text of 100 KB with a word typed at each of 400 places is 800 structs and joins none of them.
        """
        for kind, own, at, length in self.rows:
            if (own, at) not in self.between:
                self.join(kind, own, at, length)

    @property
    def is_empty(self) -> bool:
        return not self.spans and not self.deletions

    def missing(self, known: dict[int, int]) -> bool:
        """True when it builds on something beyond `known` (client id -> next clock) and itself (D3)."""
        reach: dict[int, int] = {}
        for client, spans in self.spans.items():
            end = known.get(client, 0)
            for start, stop in spans:
                if start > end:
                    return True
                end = max(end, stop)
            reach[client] = end
        for client, clock in self.references.items():
            if clock >= (reach.get(client) or known.get(client, 0)):
                return True
        for client, spans in self.deletions.items():
            end = reach.get(client) or known.get(client, 0)
            for _, stop in spans:
                if stop > end:
                    return True
        return False

    def overlaps(self, known: dict[int, int]) -> bool:
        """True when it brings again what is known, and more behind it."""
        return any(
            start < known.get(client, 0) < stop
            for client, spans in self.spans.items()
            for start, stop in spans
        )

    def advances(self, known: dict[int, int]) -> dict[int, int]:
        """The client ids it moves beyond `known`, each with its new next clock."""
        # a client's spans are in order
        return {
            client: spans[-1][1]
            for client, spans in self.spans.items()
            if spans[-1][1] > known.get(client, 0)
        }


class _Crowd(Exception):
    """The update has so many structs that their places are needed."""


def dissect(
    update: bytes,
    max_depth: int = DEFAULT_DEPTH,
    *,
    with_places: bool = True,
    is_own: bool = False,
    max_structs: int | None = None,
) -> Anatomy:
    """Walk every struct and delete range of `update`. Raises BadUpdate (D1, D2), TooLarge (D13).

    What the library wrote `is_own`: a state of 400 edits within one text looks as if it had much to join.

    Without places, which only a room of shared text or lists needs, takes 10 % less time.
    """
    found = Anatomy()
    found.is_own = is_own
    found.max_structs = max_structs
    try:
        pos = _read_structs(update, found, max_depth, with_places)
        pos = _read_deletions(update, pos, found)
    except _Crowd:
        return dissect(update, max_depth, max_structs=max_structs)
    except IndexError:
        raise BadUpdate(TOO_EARLY) from None
    except UnicodeDecodeError as exc:
        raise BadUpdate("A text in the update is not UTF-8.") from exc
    if pos != len(update):
        raise BadUpdate("There are bytes after the end of the update.")
    if found.rows:
        found.join_rows()
    if len(found.places) > CROWDED_FROM and not found.is_own:
        found.steps = steps(found.places)
        if found.steps > MAX_STEPS:
            raise BadUpdate("The update has too many pieces at one place that do not know of each other.")
    return found


def _read_structs(data: bytes, found: Anatomy, max_depth: int, with_places: bool) -> int:
    spans = found.spans
    blocks, pos = read_count(data, 0, 4)
    for _ in range(blocks):
        first = pos
        structs, pos = read_count(data, pos, 2)
        found.count(structs)
        if found.structs > CROWDED_FROM and not with_places and not found.is_own:
            raise _Crowd
        client, pos = read_id(data, pos)
        clock, pos = read_uint(data, pos)
        if client in spans:
            raise BadUpdate("The update lists a client twice.")
        runs: list[Reference] = []
        types: set[int] = set()
        start = clock
        for _ in range(structs):
            kind = data[pos] & 0x1F
            if kind in (GC, SKIP):
                length, pos = read_uint(data, pos + 1)
                if with_places and kind == GC:
                    _add_gone(found.places, client, clock, length)
            else:
                length, pos = _read_item(data, pos, client, clock, found, types, max_depth, with_places)
            if length == 0:
                raise BadUpdate("The update has a struct of length zero.")
            if clock + length > MAX_CLOCK:
                raise BadUpdate("A clock in the update is too large.")
            if kind == SKIP:
                if clock > start:
                    runs.append((start, clock))
                start = clock + length
            clock += length
        if clock > start:
            runs.append((start, clock))
        if runs:
            spans[client] = runs
            found.blocks[client] = first, pos
    return pos


def _add_gone(places: list[Place], client: int, clock: int, length: int) -> None:
    """Note what is gone as one with what is gone before it: half a million of 2 bytes took 65 MB."""
    last = places[-1] if places else None
    # an item that is gone has a parent or a neighbour, which what comes behind it need not have
    if (
        last is not None
        and (last.client, last.clock + last.length, last.kind) == (client, clock, GONE)
        and last.parent is last.left is last.right is None
    ):
        places[-1] = Place(client, last.clock, last.length + length, GONE)
    else:
        places.append(Place(client, clock, length, GONE))


def _read_item(  # noqa: PLR0915 - one walk, on the way of every edit; each call would add 0.2 µs
    data: bytes,
    pos: int,
    own: int,
    at: int,
    found: Anatomy,
    types: set[int],
    max_depth: int,
    with_places: bool,
) -> tuple[int, int]:
    """One item; `types` are the clocks of this client's shared types so far.

    Returns its length in clock ticks and where it ends.
    """
    info = data[pos]
    pos += 1
    left = right = key = None
    parent: Reference | str | None = None
    if info & 0x80:
        left, pos = _read_reference(data, pos, own, at, found.references)
    if info & 0x40:
        right, pos = _read_reference(data, pos, own, at, found.references)
        found.has_lists = True
        if right == left:
            raise BadUpdate("A struct in the update has one and the same neighbour on both sides.")
        if left is not None and right[0] == left[0] and right[1] == left[1] + 1:
            found.between.add(right)
    if not info & 0xC0:
        says = data[pos]
        pos += 1
        if says == 1:
            parent, pos = read_text(data, pos)
            found.roots.add(parent)
        elif says == 0:
            parent, pos = _read_reference(data, pos, own, at, found.references)
            if parent[0] != own or parent[1] not in types:
                found.is_plain = False
        else:
            raise BadUpdate("A parent in the update is neither a root name nor an id.")
        if info & 0x20:
            key, pos = read_text(data, pos)
        else:
            found.has_lists = True
    kind = info & 0x1F
    holds = VALUE
    length = 1
    if kind == ANY:
        length, pos = read_count(data, pos, 1)
        for _ in range(length):
            pos = skip_any(data, pos, max_depth)
    elif kind == TYPE:
        pos = _read_type(data, pos)
        holds = SHARED
        types.add(at)
        if not isinstance(parent, str):
            found.is_plain = False
    elif kind == STRING:
        found.has_text = True
        length, pos = _read_string(data, pos, own, at, found.pairs)
    elif kind == DELETED:
        holds = GONE
        length, pos = read_uint(data, pos)
    else:
        pos = _read_rare(data, pos, kind, found, max_depth)
    if length > 1 and holds == VALUE:
        found.is_plain = False
    if left is not None and left[1] == at - 1 and left[0] == own and kind in (ANY, STRING):
        found.rows.append((kind, own, at, length))
    if with_places:
        if left is not None:
            found.left.append(left)
        if right is not None:
            found.right.append(right)
        found.places.append(Place(own, at, length, holds, left, right, parent, key))
    return length, pos


def _read_reference(
    data: bytes, pos: int, own: int, at: int, references: dict[int, int]
) -> tuple[Reference, int]:
    client, pos = read_id(data, pos)
    clock = data[pos]
    pos += 1
    if clock >= 0x80:
        clock, pos = read_uint(data, pos - 1)
    if client == own and clock >= at:
        raise BadUpdate("A struct in the update points at itself or ahead.")
    if clock > references.get(client, -1):
        references[client] = clock
    return (client, clock), pos


def _read_string(data: bytes, pos: int, own: int, at: int, pairs: list[Reference]) -> tuple[int, int]:
    """Text content; its length in UTF-16 code units, as Yjs counts. Notes where surrogate pairs are."""
    text, pos = read_text(data, pos)
    if text.isascii():
        return len(text), pos
    for char in text:
        if char > "\uffff":
            pairs.append((own, at))
            at += 1
        at += 1
    return len(text.encode("utf-16-le")) // 2, pos


def _read_rare(data: bytes, pos: int, kind: int, found: Anatomy, max_depth: int) -> int:
    """Content that takes one clock tick and few updates have; returns where it ends."""
    if kind == BINARY:
        return skip_bytes(data, pos)
    if kind == EMBED:
        return skip_json(data, pos, max_depth)
    if kind == FORMAT:
        found.has_text = True
        return skip_json(data, read_text(data, pos)[1], max_depth)
    if kind == DOC:
        found.has_documents = True
        return skip_any(data, read_text(data, pos)[1], max_depth)
    if kind == JSON:
        # yrs 0.28 reads one string more than there are, so it would see other structs than we do
        raise BadUpdate("The update has content of Yjs before version 13; load and save it with a newer one.")
    raise BadUpdate(f"There is no content of type {kind} in Yjs 13.")


def _read_type(data: bytes, pos: int) -> int:
    kind = data[pos]
    pos += 1
    # 0 Array, 1 Map, 2 Text, 3 XmlElement, 4 XmlFragment, 5 XmlHook, 6 XmlText
    if kind == 3:
        return read_text(data, pos)[1]
    if kind == 5:
        # yrs 0.28 does not read its name, so it would see other structs than we do
        raise BadUpdate("XmlHook is not supported; use XmlElement.")
    if kind > 6:
        raise BadUpdate(f"There is no shared type {kind} in Yjs 13.")
    return pos


def _read_deletions(data: bytes, pos: int, found: Anatomy) -> int:
    deletions = found.deletions
    clients, pos = read_count(data, pos, 2)
    for _ in range(clients):
        client, pos = read_id(data, pos)
        count, pos = read_count(data, pos, 2)
        found.count(count)
        ranges: list[Reference] = []
        for _ in range(count):
            clock, pos = read_uint(data, pos)
            length, pos = read_uint(data, pos)
            if length == 0 or clock + length > MAX_CLOCK:
                raise BadUpdate("A deleted range in the update is empty or too large.")
            ranges.append((clock, clock + length))
        if ranges:
            deletions.setdefault(client, []).extend(ranges)
    return pos
