"""Admission: what an update says about itself, read before pycrdt sees it.

Owns: the structural walk over a Yjs update (encoding version 1) and the completeness rule. Does not own:
whose client id it is, what the values mean (canvas), applying it (document).
Keeps rules D1-D4, D9. Source: yjs src/utils/encoding.js, UpdateDecoder.js, structs/*.js; lib0 readAny.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from party.errors import BadUpdate
from party.wire import Reader

GC: Final = 0
DELETED, JSON, BINARY, STRING, EMBED, FORMAT, TYPE, ANY, DOC = range(1, 10)
SKIP: Final = 10

MAX_CLOCK: Final = 2**31 - 1
"""yrs keeps clocks in 32 bits; beyond this an addition could overflow (D2)."""

DEFAULT_DEPTH: Final = 64

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


@dataclass(slots=True)
class Anatomy:
    """What an update carries, and what it builds on.

    `spans`: client id -> [(from clock, to clock)], one per run of structs without a gap, in order.
    `references`: the greatest clock pointed at per client id (origins, parents).
    `deletions`: client id -> [(from clock, to clock)].
    """

    spans: dict[int, list[Reference]]
    references: dict[int, int]
    deletions: dict[int, list[Reference]]
    left: list[Reference]
    """Structs it inserts behind (left origins)."""
    right: list[Reference]
    """Structs it inserts before (right origins)."""
    pairs: list[Reference]
    """Where a surrogate pair of its own text begins: the clock of the high half."""
    places: list["Place"]
    """Every struct, each client's in order."""
    has_text: bool
    """It carries shared text or marks of its format."""
    has_lists: bool
    """It carries something that has a position among others and no key."""
    is_plain: bool
    """Its structs lie in root types and in types of its own, one value each: nothing to look up."""

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
            if any(stop > end for _, stop in spans):
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
        ends = {client: max(stop for _, stop in spans) for client, spans in self.spans.items()}
        return {client: end for client, end in ends.items() if end > known.get(client, 0)}


def dissect(update: bytes, max_depth: int = DEFAULT_DEPTH) -> Anatomy:
    """Walk every struct and delete range of `update`. Raises BadUpdate (D1, D2)."""
    reader = Reader(update, BadUpdate)
    found = Anatomy({}, {}, {}, [], [], [], [], has_text=False, has_lists=False, is_plain=True)
    _read_structs(reader, found, max_depth)
    found.deletions = _read_deletions(reader)
    reader.finish()
    return found


def _read_structs(reader: Reader, found: Anatomy, max_depth: int) -> None:
    spans = found.spans
    for _ in range(_count(reader, 4)):
        structs = _count(reader, 2)
        client = reader.uint()
        clock = reader.uint()
        if client in spans:
            raise BadUpdate("The update lists a client twice.")
        runs: list[Reference] = []
        types: set[Reference] = set()
        start = clock
        for _ in range(structs):
            info = reader.byte()
            kind = info & 0x1F
            if kind in (GC, SKIP):
                length = reader.uint()
                if kind == GC:
                    found.places.append(Place(client, clock, length, GONE))
            else:
                length = _read_item(reader, info, client, clock, found, types, max_depth)
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


def _read_item(
    reader: Reader,
    info: int,
    own: int,
    at: int,
    found: Anatomy,
    types: set[Reference],
    max_depth: int,
) -> int:
    """One item; `types` are the shared types of this client so far. Returns its length in clock ticks."""
    references = found.references
    left = right = key = None
    parent: Reference | str | None = None
    if info & 0x80:
        left = _reference(reader, own, at, references)
        found.left.append(left)
    if info & 0x40:
        right = _reference(reader, own, at, references)
        found.right.append(right)
        found.has_lists = True
    if not info & 0xC0:
        says = reader.uint()
        if says == 1:
            parent = reader.text()
        elif says == 0:
            parent = _reference(reader, own, at, references)
            if parent not in types:
                found.is_plain = False
        else:
            raise BadUpdate("A parent in the update is neither a root name nor an id.")
        if info & 0x20:
            key = reader.text()
        else:
            found.has_lists = True
    kind = info & 0x1F
    if kind == STRING:
        length = _read_string(reader, own, at, found)
    else:
        length = _read_content(reader, kind, max_depth)
    holds = VALUE
    if kind == TYPE:
        holds = SHARED
        types.add((own, at))
        if not isinstance(parent, str):
            found.is_plain = False
    elif kind == DELETED:
        holds = GONE
    elif kind in (STRING, FORMAT):
        found.has_text = True
    if length > 1 and holds == VALUE:
        found.is_plain = False
    found.places.append(Place(own, at, length, holds, left, right, parent, key))
    return length


def _read_string(reader: Reader, own: int, at: int, found: Anatomy) -> int:
    """Text content; its length in UTF-16 code units, as Yjs counts. Notes where surrogate pairs are."""
    text = reader.text()
    if text.isascii():
        return len(text)
    for char in text:
        if char > "\uffff":
            found.pairs.append((own, at))
            at += 1
        at += 1
    return len(text.encode("utf-16-le")) // 2


def _reference(reader: Reader, own: int, at: int, references: dict[int, int]) -> Reference:
    client = reader.uint()
    clock = reader.uint()
    if client == own and clock >= at:
        raise BadUpdate("A struct in the update points at itself or ahead.")
    if clock > references.get(client, -1):
        references[client] = clock
    return client, clock


def _read_content(reader: Reader, kind: int, max_depth: int) -> int:
    """Skip one content; return its length in clock ticks."""
    if kind == ANY:
        length = _count(reader, 1)
        for _ in range(length):
            skip_any(reader, max_depth)
        return length
    if kind == TYPE:
        _read_type(reader)
        return 1
    if kind == DELETED:
        return reader.uint()
    if kind == JSON:
        # yrs 0.28 reads one string more than there are, so it would see other structs than we do
        raise BadUpdate("The update has content of Yjs before version 13; load and save it with a newer one.")
    if kind == BINARY:
        reader.skip(reader.uint())
        return 1
    if kind == EMBED:
        reader.text()
        return 1
    if kind == FORMAT:
        reader.text()
        reader.text()
        return 1
    if kind == DOC:
        reader.text()
        skip_any(reader, max_depth)
        return 1
    raise BadUpdate(f"There is no content of type {kind} in Yjs 13.")


def _read_type(reader: Reader) -> None:
    kind = reader.uint()
    # 0 Array, 1 Map, 2 Text, 3 XmlElement, 4 XmlFragment, 5 XmlHook, 6 XmlText
    if kind == 3:
        reader.text()
    elif kind == 5:
        # yrs 0.28 does not read its name, so it would see other structs than we do
        raise BadUpdate("XmlHook is not supported; use XmlElement.")
    elif kind > 6:
        raise BadUpdate(f"There is no shared type {kind} in Yjs 13.")


def _read_deletions(reader: Reader) -> dict[int, list[Reference]]:
    deletions: dict[int, list[Reference]] = {}
    for _ in range(_count(reader, 2)):
        client = reader.uint()
        ranges = deletions.setdefault(client, [])
        for _ in range(_count(reader, 2)):
            clock = reader.uint()
            length = reader.uint()
            if length == 0 or clock + length > MAX_CLOCK:
                raise BadUpdate("A deleted range in the update is empty or too large.")
            ranges.append((clock, clock + length))
        if not ranges:
            del deletions[client]
    return deletions


def skip_any(reader: Reader, depth: int) -> None:
    """Skip one lib0 `any` value, at most `depth` levels deep. Raises BadUpdate."""
    kind = reader.byte()
    if kind == 119:
        reader.text()
    elif kind == 125:
        _skip_int(reader)
    elif kind in {122, 123}:
        reader.skip(8)
    elif kind == 118:
        if depth <= 0:
            raise BadUpdate("A value in the update is nested too deep.")
        for _ in range(_count(reader, 2)):
            reader.text()
            skip_any(reader, depth - 1)
    elif kind == 117:
        if depth <= 0:
            raise BadUpdate("A value in the update is nested too deep.")
        for _ in range(_count(reader, 1)):
            skip_any(reader, depth - 1)
    elif kind == 124:
        reader.skip(4)
    elif kind == 116:
        reader.skip(reader.uint())
    elif kind not in (120, 121, 126, 127):
        raise BadUpdate(f"There is no value of type {kind} in lib0.")


def _skip_int(reader: Reader) -> None:
    """A signed variable-length integer: 6 bits and a sign first, then 7-bit groups; 8 bytes at most."""
    for _ in range(8):
        if reader.byte() < 0x80:
            return
    raise BadUpdate("A number in the update is too large.")


def _count(reader: Reader, least_bytes: int) -> int:
    """A count of things that take `least_bytes` each; more than fit is refused before any loop (D2)."""
    count = reader.uint()
    if count * least_bytes > reader.end - reader.pos:
        raise BadUpdate("The update promises more than it has bytes for.")
    return count
