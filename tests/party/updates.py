"""Yjs updates written by hand, byte by byte, and random ones of a hostile client.

Owns: the encoding of structs and delete sets as yjs UpdateEncoderV1 writes it, sound or not. Independent of
`party`, so that a mistake there does not hide here.
"""

from random import Random

Id = tuple[int, int]
ELEMENTS = "elements"

ANY_FIVE = b"\x01\x7d\x05"
"""Content of one plain value, the number 5."""

EMPTY_MAP = b"\x01"
"""Content of one Y.Map."""

STRING, EMBED, FORMAT, TYPE, ANY, DOC = 4, 5, 6, 7, 8, 9


def uint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return uint(len(raw)) + raw


def item(
    kind: int,
    content: bytes,
    *,
    parent: str | Id | None = None,
    key: str | None = None,
    left: Id | None = None,
    right: Id | None = None,
) -> bytes:
    """One Item struct; its parent is written only when it has no origins, as Yjs does."""
    info = kind | (0x80 if left else 0) | (0x40 if right else 0) | (0x20 if key is not None else 0)
    out = bytes([info])
    for origin in (left, right):
        if origin:
            out += uint(origin[0]) + uint(origin[1])
    if not left and not right:
        if isinstance(parent, str):
            out += uint(1) + text(parent)
        else:
            assert parent is not None
            out += uint(0) + uint(parent[0]) + uint(parent[1])
        if key is not None:
            out += text(key)
    return out + content


def gc(length: int) -> bytes:
    return b"\x00" + uint(length)


def skip(length: int) -> bytes:
    return b"\x0a" + uint(length)


def deletions(*clients: tuple[int, list[Id]]) -> bytes:
    """A delete set of (client, [(clock, length)])."""
    out = uint(len(clients))
    for client, ranges in clients:
        out += uint(client) + uint(len(ranges))
        for clock, length in ranges:
            out += uint(clock) + uint(length)
    return out


def update(*sections: tuple[int, int, list[bytes]], deleted: bytes = b"\x00") -> bytes:
    """An update of (client, first clock, structs)."""
    out = uint(len(sections))
    for client, clock, structs in sections:
        out += uint(len(structs)) + uint(client) + uint(clock) + b"".join(structs)
    return out + deleted


def nested_maps(client: int, levels: int, root: str = ELEMENTS) -> bytes:
    """Maps within maps, `levels` deep, in one update."""
    structs = [item(TYPE, EMPTY_MAP, parent=root, key="a")]
    structs += [item(TYPE, EMPTY_MAP, parent=(client, at), key="a") for at in range(levels - 1)]
    return update((client, 0, structs))


def ring(first: int, second: int) -> bytes:
    """Two clients whose structs wait for each other: complete by the numbers, never integrated."""
    return update(
        (first, 0, [item(ANY, ANY_FIVE, left=(second, 0))]),
        (second, 0, [item(ANY, ANY_FIVE, left=(first, 0))]),
    )


def format_in_map(client: int) -> bytes:
    """A format mark as the value of a map's key: pycrdt 0.14.13 panics in its event (yrs event_keys)."""
    return update((client, 0, [item(FORMAT, text("b") + text("1"), parent=ELEMENTS, key="poison")]))


def child_of_value(client: int, value: Id) -> bytes:
    """A struct whose parent is a plain value: yrs fails in the middle of the integration."""
    return update(
        (client, 0, [item(ANY, ANY_FIVE, parent=ELEMENTS, key="half"), item(ANY, ANY_FIVE, parent=value)])
    )


class HostileClients:
    """Makes sound but hostile updates: struct by struct, any kind under any parent, overlaps and rings."""

    def __init__(self, random: Random, clients: list[int], *, shared_text: bool) -> None:
        self._random = random
        self._clients = clients
        self._shared_text = shared_text

    def any_value(self, depth: int = 0) -> bytes:
        random = self._random
        kind = random.choice([116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127])
        head = bytes([kind])
        if kind in (116, 119):
            return head + text(random.choice(["", "a", "é", "rectangle"]))
        if kind == 125:
            return head + bytes([random.randrange(128)])
        if kind in (122, 123):
            return head + random.randbytes(8)
        if kind == 124:
            return head + random.randbytes(4)
        count = random.randrange(3) if depth < 3 else 0
        if kind == 118:
            pairs = (
                text(random.choice(["type", "seed", "x"])) + self.any_value(depth + 1) for _ in range(count)
            )
            return head + uint(count) + b"".join(pairs)
        if kind == 117:
            return head + uint(count) + b"".join(self.any_value(depth + 1) for _ in range(count))
        return head

    def _content(self) -> tuple[int, bytes, int]:
        """(content type, bytes, length in clock ticks)."""
        random = self._random
        kind = random.choice([1, 3, STRING, EMBED, FORMAT, TYPE, TYPE, ANY, ANY, DOC])
        if kind == STRING and not self._shared_text:
            kind = ANY
        if kind == 1:
            length = random.randrange(1, 4)
            return kind, uint(length), length
        if kind == 3:
            return kind, text(random.randbytes(random.randrange(3))), 1
        if kind == STRING:
            value = random.choice(["a", "abc", "é", "éa", "😀", "a😀b"])
            return kind, text(value), len(value.encode("utf-16-le")) // 2
        if kind == EMBED:
            return kind, text(random.choice(["{}", "1", '{"a":[1]}', "null"])), 1
        if kind == FORMAT:
            return kind, text("b") + text(random.choice(["null", "true", "{}"])), 1
        if kind == TYPE:
            shared = random.choice([0, 1, 1, 1, 2, 3, 4, 6])
            return kind, uint(shared) + (text("p") if shared == 3 else b""), 1
        if kind == DOC:
            return kind, text("g") + b"\x76\x00", 1
        count = random.randrange(1, 3)
        return ANY, uint(count) + b"".join(self.any_value() for _ in range(count)), count

    def _some_id(self, known: dict[int, int], own: int, at: int) -> Id | None:
        client = self._random.choice(self._clients)
        top = at if client == own else known.get(client, 0)
        return (client, self._random.randrange(top)) if top > 0 else None

    def make(self, known: dict[int, int], roots: list[str]) -> bytes:
        """An update on top of `known` (client -> next clock)."""
        random = self._random
        chosen = random.sample(self._clients, random.choice([1, 1, 1, 2]))
        sizes = {client: random.randrange(1, 5) for client in chosen}
        ahead = dict(known)
        if random.random() < 0.3:
            for client in chosen:
                ahead[client] = ahead.get(client, 0) + sizes[client]
        sections = []
        for client in chosen:
            start = known.get(client, 0)
            if start and random.random() < 0.3:
                start = random.randrange(start)
            sections.append((client, start, self._structs(client, start, sizes[client], ahead, roots)))
        deleted = []
        if random.random() < 0.4:
            for client in random.sample(self._clients, 1):
                if top := ahead.get(client, 0):
                    clock = random.randrange(top)
                    deleted.append((client, [(clock, random.randrange(1, min(4, top - clock) + 1))]))
        return update(*(sections if random.random() < 0.9 else []), deleted=deletions(*deleted))

    def _structs(
        self, client: int, at: int, count: int, ahead: dict[int, int], roots: list[str]
    ) -> list[bytes]:
        random = self._random
        structs = []
        for _ in range(count):
            if random.random() < 0.07:
                length = random.randrange(1, 4)
                structs.append(gc(length))
                at += length
                continue
            kind, content, length = self._content()
            left = self._some_id(ahead, client, at) if random.random() < 0.3 else None
            right = self._some_id(ahead, client, at) if random.random() < 0.2 else None
            parent: str | Id | None = None
            key = None
            if not left and not right:
                parent = self._some_id(ahead, client, at) if random.random() < 0.4 else None
                parent = parent or random.choice(roots)
                if random.random() < 0.6:
                    key = random.choice(["a", "b", "kind", "z", "geometry", "deleted"])
            elif random.random() < 0.2:
                key = "x"
            structs.append(item(kind, content, parent=parent, key=key, left=left, right=right))
            at += length
        return structs
