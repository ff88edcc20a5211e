"""A grammar of Yjs updates, sound and unsound, and a mutator of bytes. Everything comes from one Random.

Owns: what is thrown at a room. Does not own: throwing it (game.py, sockets.py). Independent of `party`, so
that a mistake there does not hide here. The Random may be hypothesis's, which then shrinks.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from tests.party.updates import (
    ANY,
    ANY_FIVE,
    DOC,
    ELEMENTS,
    EMBED,
    EMPTY_MAP,
    FORMAT,
    STRING,
    TYPE,
    HostileClients,
    Id,
    child_of_value,
    deletions,
    format_in_map,
    gc,
    item,
    nested_maps,
    ring,
    skip,
    text,
    uint,
    update,
)

HOSTILE = [1, 2, 77, 2**33]
HONEST = [500, 2**31 + 7]
WORDS = ["a", "hello ", "né", "日本語", "😀", "x👍🏽y", "\x00", "퟿"]
NUMBERS = [0, 1, 2, 63, 64, 127, 128, 255, 2**14, 2**31 - 2, 2**31 - 1, 2**31, 2**32, 2**49, 2**53 - 1, 2**53]
PLAIN: list[Any] = [
    None,
    True,
    0,
    -1,
    63,
    2**40,
    0.5,
    -1e300,
    "",
    "é😀",
    b"\x00\xff",
    [1, [2, None]],
    {"a": {}},
]
GROUPS = ["kind", "geometry", "text", "style", "image", "z", "meta", "deleted", "own"]


class Honest:
    """Real pycrdt documents that edit, in a world of their own; what they write is sent in order or not."""

    def __init__(self, random: Random, schema: str) -> None:
        self._random = random
        self._edits = [self._draw, self._drag, self._drag, self._remove]
        if schema == "open":
            self._edits += [self._write, self._format, self._list, self._xml, self._nest]
        self._docs: list[Doc[Any]] = []
        self._waiting: list[list[bytes]] = []
        self._subscriptions = []
        self._importing = False
        for client in HONEST:
            doc: Doc[Any] = Doc(client_id=client)
            waiting: list[bytes] = []
            self._docs.append(doc)
            self._waiting.append(waiting)
            self._subscriptions.append(doc.observe(lambda event, into=waiting: self._note(event, into)))

    def _note(self, event: Any, into: list[bytes]) -> None:
        if not self._importing and event.update != b"\x00\x00":
            into.append(event.update)

    def close(self) -> None:
        """A Doc with a live observer is never freed."""
        for doc, subscription in zip(self._docs, self._subscriptions, strict=True):
            doc.unobserve(subscription)

    def make(self) -> bytes:
        """The next update of one author, or all it has (as a sync step 2 brings it)."""
        random = self._random
        which = random.randrange(len(self._docs))
        doc, waiting = self._docs[which], self._waiting[which]
        if random.random() < 0.1:
            self._importing = True
            doc.apply_update(random.choice(self._docs).get_update())
            self._importing = False
        if not waiting:
            with doc.transaction():
                for _ in range(random.choice([1, 1, 1, 3])):
                    random.choice(self._edits)(doc)
        dice = random.random()
        if dice < 0.06 or not waiting:
            waiting.clear()
            return doc.get_update()
        return waiting.pop(0 if dice < 0.95 else random.randrange(len(waiting)))

    def _draw(self, doc: Doc[Any]) -> None:
        random = self._random
        groups: dict[str, Any] = {
            "kind": {"type": random.choice(["line", "text", "hm"]), "seed": 1},
            "z": "a0",
        }
        if random.random() < 0.7:
            groups["geometry"] = {
                "x": random.choice([0, 1.5, "x"]),
                "y": 0,
                "width": 1,
                "height": 1,
                "angle": 0,
            }
        doc.get(ELEMENTS, type=Map)[random.choice("abcdefgh")] = Map(groups)

    def _drag(self, doc: Doc[Any]) -> None:
        random = self._random
        elements: Map[Any] = doc.get(ELEMENTS, type=Map)
        names = sorted(elements.keys())
        if not names:
            return self._draw(doc)
        element = elements[random.choice(names)]
        if isinstance(element, Map):
            element[random.choice(GROUPS)] = random.choice(PLAIN)
        return None

    def _remove(self, doc: Doc[Any]) -> None:
        elements: Map[Any] = doc.get(ELEMENTS, type=Map)
        names = sorted(elements.keys())
        if names:
            del elements[self._random.choice(names)]

    def _write(self, doc: Doc[Any]) -> None:
        shared = doc.get("text", type=Text)
        size = len(shared)
        if size and self._random.random() < 0.2:
            shared.clear()
        else:
            shared.insert(self._random.choice([0, size]), self._random.choice(WORDS))

    def _format(self, doc: Doc[Any]) -> None:
        shared = doc.get("text", type=Text)
        if size := len(shared):
            shared.format(0, size, {"bold": self._random.choice([True, None])})
            shared.insert_embed(size, {"image": "x"})

    def _list(self, doc: Doc[Any]) -> None:
        shared = doc.get("list", type=Array)
        size = len(shared)
        if size and self._random.random() < 0.3:
            del shared[self._random.randrange(size)]
        else:
            shared.insert(self._random.randrange(size + 1), self._random.choice(PLAIN))

    def _xml(self, doc: Doc[Any]) -> None:
        children = doc.get("xml", type=XmlFragment).children
        children.append(self._random.choice([XmlText("t"), XmlElement("p", {"n": "ü"})]))

    def _nest(self, doc: Doc[Any]) -> None:
        shared = doc.get("map", type=Map)
        made: list[Callable[[], Any]] = [
            lambda: Map({"list": Array([1, Text("deep"), Map({"x": b"raw"})])}),
            lambda: Array([Map({"k": None}), Text("t")]),
            Doc,
        ]
        shared[self._random.choice("ab")] = self._random.choice(made)()


class Grammar:
    """Makes updates for one room; `make` is told what the room has (client id -> next clock)."""

    def __init__(self, random: Random, schema: str) -> None:
        self._random = random
        self._roots = (
            [ELEMENTS, ELEMENTS, "meta"] if schema == "canvas" else [ELEMENTS, "text", "list", "xml", ""]
        )
        self._honest = Honest(random, schema)
        self._hostile = HostileClients(random, HOSTILE, shared_text=schema == "open")
        self._past: list[bytes] = [b"\x00\x00"]

    def close(self) -> None:
        self._honest.close()

    def make(self, known: dict[int, int]) -> bytes:
        dice = self._random.random()
        if dice < 0.34:
            made = self._honest.make()
        elif dice < 0.58:
            made = self._hostile.make(known, self._roots)
        elif dice < 0.72:
            made = self._wild(known)
        elif dice < 0.735:
            made = self._heavy(known)
        elif dice < 0.97:
            made = self._mutate(self._random.choice(self._past[-12:]))
        else:
            made = self._random.randbytes(self._random.randrange(40))
        if len(made) < 2000:
            self._past.append(made)
        return made

    # -- what no client writes ------------------------------------------------------------------

    def _number(self) -> int:
        return self._random.choice(NUMBERS) if self._random.random() < 0.4 else self._random.randrange(6)

    def _id(self, known: dict[int, int]) -> Id:
        random = self._random
        client = random.choice([*HOSTILE, *HONEST, *known])
        near = known.get(client, 0)
        return client, random.choice([max(0, near - 1), near, near + 1, 0, self._number()])

    def _wild(self, known: dict[int, int]) -> bytes:
        """Sections of anything: wrong lengths, counts, references, kinds; sound often enough to get in."""
        random = self._random
        sections = []
        count = random.choice([0, 1, 1, 1, 2, 3])
        for _ in range(count):
            client = random.choice(HOSTILE) if random.random() < 0.95 else self._number()
            near = known.get(client, 0)
            start = (
                near
                if random.random() < 0.85
                else random.choice([near + 1, max(0, near - 1), self._number()])
            )
            structs = [self._struct(client, start, known) for _ in range(random.choice([1, 1, 2, 5]))]
            said = len(structs) if random.random() < 0.95 else self._number()
            sections.append(uint(said) + uint(client) + uint(start) + b"".join(structs))
        said = count if random.random() < 0.97 else self._number()
        return uint(said) + b"".join(sections) + self._deletions(known)

    def _struct(self, client: int, start: int, known: dict[int, int]) -> bytes:
        random = self._random
        kind = random.choice(
            [0, 1, 2, 3, STRING, STRING, EMBED, FORMAT, TYPE, TYPE, ANY, ANY, DOC, 10, 11, 31]
        )
        if kind == 0:
            return gc(self._number())
        if kind == 10:
            return skip(self._number())
        content = self._content(kind)
        flags = random.choice([0, 0, 0, 0x20, 0x20, 0x80, 0x40, 0xC0, 0xE0])
        out = bytes([kind | flags])
        for flag in (0x80, 0x40):
            if flags & flag:
                client_of, clock = self._id(known) if random.random() < 0.5 else (client, max(0, start - 1))
                out += uint(client_of) + uint(clock)
        if not flags & 0xC0:
            says = random.choice([0, 1, 1, 1, 1, 2])
            out += uint(says)
            if says == 1:
                out += text(random.choice(self._roots))
            else:
                client_of, clock = self._id(known)
                out += uint(client_of) + uint(clock)
            if flags & 0x20:
                out += text(random.choice([*"abcdefgh", *GROUPS]))
        return out + content

    def _content(self, kind: int) -> bytes:
        random = self._random
        if kind == 1:
            return uint(self._number())
        if kind == 2:
            return uint(self._number()) + text("1")
        if kind == 3:
            return text(random.randbytes(random.randrange(4)))
        if kind == STRING:
            bad = random.choice(
                [b"", b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00", "😀😀".encode()]
            )
            return text(random.choice([bad, random.choice(WORDS)]))
        if kind == EMBED:
            return text(random.choice(["{}", "1", "{", "", "[" * 200, '"\\ud800"', "1e999", "null", "NaN"]))
        if kind == FORMAT:
            return text(random.choice(["b", "", "é"])) + text(
                random.choice(["true", "null", "{", '{"a":[1]}'])
            )
        if kind == TYPE:
            shared = random.choice([0, 1, 1, 2, 3, 4, 5, 6, 7, 200])
            return uint(shared) + (text("p") if shared in (3, 5) else b"")
        if kind == DOC:
            return text("g") + self._any(random.choice([0, 1]))
        count = random.choice([1, 1, 1, 2, 0, self._number()])
        return uint(count) + b"".join(self._any(0) for _ in range(min(count, 3)))

    def _any(self, depth: int) -> bytes:
        random = self._random
        if random.random() < 0.02:
            return (
                random.choice([b"\x75\x01", b"\x76\x01\x00"]) * random.choice([10, 63, 64, 65, 500]) + b"\x7f"
            )
        kind = random.randrange(116, 128) if random.random() < 0.95 else random.randrange(256)
        head = bytes([kind])
        if kind in (116, 119):
            return head + text(random.choice([b"", b"a", b"\xff", b"\xed\xa0\x80", b"rectangle", b"a" * 300]))
        if kind == 125:
            return head + random.choice(
                [b"\x00", b"\x40", b"\xff" * 3 + b"\x01", b"\xff" * 8 + b"\x01", b"\x7f"]
            )
        if kind in (122, 123):
            return head + random.choice(
                [b"\x7f\xf8" + b"\x00" * 6, b"\x7f\xf0" + b"\x00" * 6, random.randbytes(8)]
            )
        if kind == 124:
            return head + random.randbytes(4)
        if kind in (117, 118):
            count = random.randrange(3) if depth < 3 else 0
            inner = (
                (text(random.choice(["type", "x", "", "__proto__"])) if kind == 118 else b"")
                + self._any(depth + 1)
                for _ in range(count)
            )
            return head + uint(count if random.random() < 0.97 else self._number()) + b"".join(inner)
        return head

    def _deletions(self, known: dict[int, int]) -> bytes:
        random = self._random
        if random.random() < 0.6:
            return b"\x00"
        clients = []
        for _ in range(random.choice([1, 1, 2])):
            client, clock = self._id(known)
            top = known.get(client, 0)
            if top and random.random() < 0.7:
                clock = random.randrange(top)
                clients.append((client, [(clock, random.randrange(1, top - clock + 1))]))
            else:
                clients.append((client, [(clock, self._number()) for _ in range(random.choice([0, 1, 2]))]))
        return deletions(*clients)

    # -- what is small on the wire and much work ------------------------------------------------

    def _heavy(self, known: dict[int, int]) -> bytes:
        """Shapes whose cost could grow faster than their bytes, up to some 16 KB."""
        random = self._random
        client = random.choice(HOSTILE)
        at = known.get(client, 0)
        n = random.choice([30, 300, random.randrange(2, 1000)])
        root = random.choice(self._roots)
        fresh = random.randrange(2**20, 2**30)
        one = b"\x01\x7f"
        shapes: list[Callable[[], bytes]] = [
            lambda: update((client, at, [item(ANY, one, parent=root), *chain(ANY, one)])),
            lambda: update((client, at, [item(STRING, text("a"), parent=root), *chain(STRING, text("a"))])),
            lambda: update((client, at, [item(TYPE, EMPTY_MAP, parent=root), *chain(TYPE, EMPTY_MAP)])),
            lambda: update((client, at, [item(ANY, one, parent=root, key="k"), *chain(ANY, one)])),
            lambda: update((client, at, [item(ANY, one, parent=root), *before])),
            # a few only: each is compared with all that others put before the first place, as in Yjs
            lambda: update((client, at, [item(ANY, one, parent=root)] * min(n, 30))),
            lambda: update((client, at, [item(ANY, one, parent=root, key="k")] * n)),
            lambda: update(
                (client, at, [item(ANY, b"\x02\x7f\x7f", parent=root, key="k")] * n),
                deleted=deletions((client, [(at + 2 * i, 2) for i in range(n)])),
            ),
            lambda: update(*[(fresh + i, 0, [item(ANY, one, parent=root)]) for i in range(min(n, 30))]),
            lambda: update(
                *[(fresh - i, 0, [item(ANY, one, parent=root, key="k")]) for i in range(min(n, 30))]
            ),
            lambda: update(
                (client, at, [item(STRING, text("a" * 2 * n), parent=root)]),
                deleted=deletions((client, [(at + 2 * i, 1) for i in range(n)])),
            ),
            lambda: update(
                (client, at, [item(ANY, uint(2 * n) + b"\x7f" * 2 * n, parent=root)]),
                deleted=deletions((client, [(at + 2 * i, 1) for i in range(n)])),
            ),
            lambda: update((client, at, [gc(1)] * n)),
            lambda: update((client, at, [skip(1), gc(1)] * n)),
            lambda: nested_maps(fresh, n, root),
            lambda: update(deleted=deletions((client, [(i, 1) for i in range(min(n, at))]))),
            lambda: ring(fresh, fresh + 1),
            lambda: format_in_map(fresh),
            lambda: child_of_value(fresh, (fresh, 0)),
            lambda: update((client, at, [item(ANY, ANY_FIVE, parent=root, key="k" * n)])),
        ]
        before = [item(ANY, one, right=(client, at + i)) for i in range(n)]

        def chain(kind: int, content: bytes) -> list[bytes]:
            return [item(kind, content, left=(client, at + i)) for i in range(n)]

        return random.choice(shapes)()

    # -- bytes ----------------------------------------------------------------------------------

    def _mutate(self, made: bytes) -> bytes:
        random = self._random
        data = bytearray(made)
        for _ in range(random.choice([1, 1, 1, 2, 4])):
            at = random.randrange(len(data)) if data else 0
            what = random.randrange(8)
            if what == 0 and data:
                data[at] = random.randrange(256)
            elif what == 1 and data:
                data[at] ^= 1 << random.randrange(8)
            elif what == 2 and data:
                data[at] = (data[at] + random.choice([-1, 1])) & 0xFF
            elif what == 3:
                data[at:at] = uint(random.choice(NUMBERS))
            elif what == 4:
                data[at : at + random.randrange(1, 4)] = uint(random.choice(NUMBERS))
            elif what == 5:
                del data[at : at + random.randrange(1, 6)]
            elif what == 6:
                data[at:at] = data[at : at + random.randrange(1, 12)]
            else:
                other = random.choice(self._past)
                start = random.randrange(len(other)) if other else 0
                data[at:] = other[start:]
        return bytes(data)
