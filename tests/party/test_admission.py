"""party.admission: what an update says about itself, compared with what pycrdt makes of it."""

import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import (
    Array,
    Doc,
    Map,
    Text,
    XmlElement,
    XmlFragment,
    XmlText,
    get_state,
)

from party.admission import MAX_CLOCK, dissect
from party.errors import BadUpdate
from party.wire import decode_state_vector
from tests.party.peers import vector
from tests.party.updates import (
    ANY,
    ANY_FIVE,
    DOC,
    EMBED,
    FORMAT,
    STRING,
    TYPE,
    HostileClients,
    deletions,
    gc,
    item,
    skip,
    text,
    uint,
    update,
)

PLAIN: list[Any] = [
    None, True, False, 0, 1, -1, 63, -64, 2**31, -(2**40), 2**53 - 1, 2**60, 0.5, -1e300, 1e-7,
    "", "abc", "né", "日本", "😀 a 👩‍👩‍👧", b"", b"\x00\xff" * 40, [], [1, [2, [3.5, None]]], {},
    {"a": {"b": [True, {"ü": "😀"}]}},
]  # fmt: skip


class Author:
    """Makes random edits of every kind on its own document and keeps each one's update."""

    def __init__(self, random: Random, client_id: int, *, surrogates: bool = True) -> None:
        self.random = random
        self.doc: Doc[Any] = Doc(client_id=client_id)
        self.updates: list[bytes] = []
        self.words = ["a", "hello ", "né", "日本語", *(["😀", "x👍🏽y"] if surrogates else [])]
        self._applying = False
        self._subscription = self.doc.observe(self._on_update)

    def _on_update(self, event: Any) -> None:
        if not self._applying and event.update != b"\x00\x00":
            self.updates.append(event.update)

    def apply(self, foreign: bytes) -> None:
        self._applying = True
        self.doc.apply_update(foreign)
        self._applying = False

    def edit(self) -> None:
        kinds: list[Callable[[], None]] = [self.write, self.format, self.list, self.map, self.xml, self.nest]
        with self.doc.transaction():
            for _ in range(self.random.choice([1, 1, 3])):
                self.random.choice(kinds)()

    def write(self) -> None:
        shared = self.doc.get("text", type=Text)
        size = len(shared)
        if size and self.random.random() < 0.3:
            shared.clear()
        else:
            # only at the ends: an index inside a character is a matter of rule D9
            shared.insert(self.random.choice([0, size]), self.random.choice(self.words))

    def format(self) -> None:
        shared = self.doc.get("text", type=Text)
        if len(shared):
            shared.format(0, len(shared), {"bold": self.random.choice([True, None]), "ü": {"a": 1}})
            shared.insert_embed(len(shared), {"image": "x", "n": [1, None]})

    def list(self) -> None:
        shared = self.doc.get("list", type=Array)
        size = len(shared)
        if size and self.random.random() < 0.3:
            del shared[self.random.randrange(size)]
        else:
            shared.insert(self.random.randrange(size + 1), self.random.choice(PLAIN))

    def map(self) -> None:
        shared = self.doc.get("map", type=Map)
        key = self.random.choice(["a", "b", "ключ"])
        if key in shared and self.random.random() < 0.3:
            del shared[key]
        else:
            shared[key] = self.random.choice(PLAIN)

    def xml(self) -> None:
        shared = self.doc.get("xml", type=XmlFragment)
        if self.random.random() < 0.5:
            shared.children.append(XmlText(self.random.choice(self.words)))
        else:
            element = shared.children.append(XmlElement("p", {"n": "ü"}))
            element.attributes["n"] = "1"
            element.children.append(XmlText("inner"))

    def nest(self) -> None:
        shared = self.doc.get("map", type=Map)
        kind = self.random.randrange(4)
        if kind == 0:
            shared["nested"] = Map({"list": Array([1, Text("deep"), Map({"x": b"raw"})])})
        elif kind == 1:
            shared["subdoc"] = Doc()
        elif kind == 2 and isinstance(shared.get("nested"), Map):
            shared["nested"]["list"] = Array([self.random.choice(PLAIN)])
        else:
            self.doc.get("list", type=Array).append(Map({"k": self.random.choice(PLAIN)}))


@pytest.mark.parametrize("seed", range(25))
def test_dissect_agrees_with_pycrdt(seed: int) -> None:
    """W4, D1, D2: real updates on text, arrays, maps, XML, subdocuments, formats, every plain value."""
    random = Random(seed)
    author = Author(random, client_id=random.choice([1, 2**31, 2**32 + 5, 2**53 - 1]))
    other = Author(random, client_id=77)
    for _ in range(30):
        who = random.choice([author, other])
        who.edit()
        if random.random() < 0.3:
            author.apply(other.doc.get_update(author.doc.get_state()))
            other.apply(author.doc.get_update(other.doc.get_state()))
    for who in (author, other):
        state = who.doc.get_update()
        anatomy = dissect(state)
        assert not anatomy.missing({})
        assert anatomy.advances({}) == vector(who.doc)
        assert anatomy.advances(vector(who.doc)) == {}
        assert decode_state_vector(get_state(state)) == vector(who.doc)
    reach: dict[int, int] = {}
    for made in (own for own in author.updates):
        assert dissect(made).spans.keys() <= {author.doc.client_id}
        reach |= dissect(made).advances(reach)
    assert reach.get(author.doc.client_id, 0) == vector(author.doc).get(author.doc.client_id, 0)


@pytest.mark.parametrize("seed", range(40))
def test_only_complete_updates_pass_whatever_the_order(seed: int) -> None:
    """D3, D4: out of order; what passes leaves pycrdt at our reach, what does not would not have."""
    random = Random(seed)
    authors = [Author(random, client_id) for client_id in (1, 2, 3)]
    for _ in range(25):
        author = random.choice(authors)
        author.edit()
        if random.random() < 0.5:
            author.apply(random.choice(authors).doc.get_update(author.doc.get_state()))
    updates = [made for author in authors for made in author.updates]
    random.shuffle(updates)
    room: Doc[Any] = Doc()
    reach: dict[int, int] = {}
    refused = 0
    for made in updates[: random.randrange(len(updates) + 1)] + updates:
        anatomy = dissect(made)
        if anatomy.missing(reach):
            refused += 1
            trial: Doc[Any] = Doc()
            trial.apply_update(room.get_update())
            trial.apply_update(made)
            assert is_held_back(trial, reach, anatomy.advances(reach), anatomy.deletions)
            continue
        room.apply_update(made)
        reach |= anatomy.advances(reach)
        assert vector(room) == reach
        assert not dissect(room.get_update()).missing({})
    everything: Doc[Any] = Doc()
    for author in authors:
        everything.apply_update(author.doc.get_update())
    room.apply_update(everything.get_update())
    assert vector(room) == vector(everything)
    assert refused > 0 or len(updates) < 5


def is_held_back(
    trial: Doc[Any],
    reach: dict[int, int],
    advances: dict[int, int],
    deleted: dict[int, list[tuple[int, int]]],
) -> bool:
    """The ground truth: pycrdt would be left with something pending, or with a gap it hides."""
    state = dissect(trial.get_update())
    if state.missing({}) or vector(trial) != {**reach, **advances}:
        return True
    known = vector(trial)
    return any(stop > known.get(client, 0) for client, spans in deleted.items() for _, stop in spans)


@given(st.binary(max_size=120))
def test_random_bytes_are_an_anatomy_or_a_bad_update(data: bytes) -> None:
    """D1: nothing else comes out, whatever goes in."""
    with suppress(BadUpdate):
        dissect(data)


@given(st.integers(0, 10**6), st.data())
def test_mutated_updates_are_an_anatomy_or_a_bad_update(seed: int, data: st.DataObject) -> None:
    """D1: and what pycrdt takes after us is what we said it was."""
    author = Author(Random(seed), client_id=5)
    for _ in range(5):
        author.edit()
    state = bytearray(author.doc.get_update())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(state) - 1))
        state[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    mutated = bytes(state[: len(state) - cut])
    try:
        anatomy = dissect(mutated)
    except BadUpdate:
        return
    if not anatomy.missing({}) and not anatomy.pairs and len(anatomy.spans) < 2:
        trial: Doc[Any] = Doc()
        with suppress(ValueError, RuntimeError):
            trial.apply_update(mutated)
            assert vector(trial) == anatomy.advances({})


@pytest.mark.parametrize(
    "bomb",
    [
        uint(2**53 - 1),
        uint(1) + uint(2**50) + uint(1) + uint(0),
        update((1, 0, [item(ANY, uint(2**40), parent="t")])),
        update((1, 0, [item(ANY, b"\x01\x75" + uint(2**45), parent="t")])),
        update((1, 0, [item(ANY, b"\x01\x76" + uint(2**45), parent="t")])),
        update((1, 0, [item(ANY, b"\x01\x74" + uint(2**45), parent="t")])),
        update((1, 0, [item(STRING, uint(2**52), parent="t")])),
        b"\x00" + uint(2**52),
        b"\x00\x01\x01" + uint(2**52),
        b"\x80" * 1_000_000,
        b"\x01\x01\x01" + b"\xff" * 1_000_000,
        update((1, 0, [item(ANY, b"\x01\x7d" + b"\xff" * 500_000, parent="t")])),
        update((1, 0, [item(ANY, b"\x01" + b"\x75\x01" * 400_000 + b"\x7f", parent="t")])),
        update((1, 0, [item(ANY, b"\x01" + b"\x76\x01\x00" * 300_000 + b"\x7f", parent="t")])),
        update(*[(7, 0, [gc(1)])] * 50_000),
    ],
)
def test_bombs_cost_no_more_than_their_bytes(bomb: bytes) -> None:
    """D1, D2: counts, depths and endless numbers are refused in linear time."""
    start = time.process_time()
    with pytest.raises(BadUpdate):
        dissect(bomb)
    # Half a second; anything worse than linear would take minutes.
    assert time.process_time() - start < 10


def test_the_work_is_linear() -> None:
    """D1: four times the structs take about four times as long (16 times would be quadratic)."""

    def seconds(count: int) -> float:
        content = b"\x03\x7f\x75\x02\x7f\x7f\x76\x01\x00\x7f"
        structs = [item(ANY, content, parent="t", key=f"k{at}") for at in range(count)]
        made = update((1, 0, structs), deleted=deletions((1, [(at, 1) for at in range(count)])))
        best = 10.0
        for _ in range(3):
            start = time.thread_time()
            dissect(made)
            best = min(best, time.thread_time() - start)
        return best

    assert seconds(20_000) < 10 * seconds(5_000)


ONE = item(ANY, ANY_FIVE, parent="t")


@pytest.mark.parametrize(
    ("name", "unsound"),
    {
        "length zero: gc": update((1, 0, [gc(0)])),
        "length zero: skip": update((1, 0, [skip(0)])),
        "length zero: deleted": update((1, 0, [item(1, uint(0), parent="t")])),
        "length zero: string": update((1, 0, [item(STRING, text(""), parent="t")])),
        "length zero: any": update((1, 0, [item(ANY, uint(0), parent="t")])),
        "length zero: delete range": update(deleted=deletions((1, [(0, 0)]))),
        "clock: struct": update((1, MAX_CLOCK, [ONE])),
        "clock: gc": update((1, 5, [gc(MAX_CLOCK)])),
        "clock: skip": update((1, 5, [skip(MAX_CLOCK)])),
        "clock: delete range": update(deleted=deletions((1, [(MAX_CLOCK, 1)]))),
        "itself: left": update((1, 3, [item(ANY, ANY_FIVE, left=(1, 3))])),
        "itself: right": update((1, 3, [item(ANY, ANY_FIVE, right=(1, 3))])),
        "itself: parent": update((1, 3, [item(ANY, ANY_FIVE, parent=(1, 3))])),
        "one neighbour twice": update((1, 3, [item(ANY, ANY_FIVE, left=(1, 1), right=(1, 1))])),
        "ahead: left": update((1, 3, [item(ANY, ANY_FIVE, left=(1, 4))])),
        "depth": update((1, 0, [item(ANY, b"\x01" + b"\x75\x01" * 65 + b"\x7f", parent="t")])),
        "client twice": update((1, 0, [ONE]), (1, 1, [ONE])),
        "parent info": update((1, 0, [bytes([ANY]) + uint(2) + ANY_FIVE])),
        "content 11": update((1, 0, [item(11, b"\x00", parent="t")])),
        "content 31": update((1, 0, [item(31, b"\x00", parent="t")])),
        "content of Yjs 12": update((1, 0, [item(2, uint(1) + text("1"), parent="t")])),
        "type 7": update((1, 0, [item(TYPE, uint(7), parent="t")])),
        "xml hook": update((1, 0, [item(TYPE, uint(5) + text("h"), parent="t")])),
        "any 115": update((1, 0, [item(ANY, b"\x01\x73", parent="t")])),
        "no UTF-8": update((1, 0, [item(STRING, text(b"\xff\xfe"), parent="t")])),
        "UTF-8 of a surrogate": update((1, 0, [item(STRING, text(b"\xed\xa0\x80"), parent="t")])),
        "trailing": update((1, 0, [ONE])) + b"\x00",
        "cut off": update((1, 0, [ONE]))[:-1],
        "empty": b"",
    }.items(),
)
def test_unsound_updates_are_refused(name: str, unsound: bytes) -> None:
    """D1, D2: lengths, clocks, depths, self references, unknown content, bytes too many or too few.

    Content of Yjs 12 and XmlHook are read by yrs 0.28 in another length than they have: an update with one
    would show yrs structs that we have not seen.
    """
    with pytest.raises(BadUpdate):
        dissect(unsound)


@pytest.mark.parametrize(
    "sound",
    [
        b"\x00\x00",
        update((1, MAX_CLOCK - 1, [ONE])),
        update((1, 0, [item(ANY, b"\x01" + b"\x75\x01" * 64 + b"\x7f", parent="t")])),
        update((2**53 - 1, 0, [ONE])),
        update((0, 0, [ONE])),
        update(
            (1, 0, [item(EMBED, text("{}"), parent="t"), item(FORMAT, text("b") + text("1"), parent="t")])
        ),
        update((1, 0, [item(DOC, text("guid") + b"\x76\x00", parent="t")])),
    ],
)
def test_the_edges_are_inside(sound: bytes) -> None:
    """D2: the largest clock, the deepest value, the largest client id."""
    dissect(sound)


def test_what_an_update_builds_on() -> None:
    """D3: the start of its structs, left, right, parent, deleted ranges; its own structs count."""
    known = {1: 3, 2: 1}
    complete = [
        update((1, 3, [ONE])),
        update((1, 1, [ONE])),
        update((3, 0, [item(ANY, ANY_FIVE, left=(1, 2), right=(2, 0))])),
        update((3, 0, [item(ANY, ANY_FIVE, parent=(1, 2))])),
        update((3, 0, [ONE]), deleted=deletions((3, [(0, 1)]), (1, [(0, 3)]))),
        update((3, 0, [item(ANY, ANY_FIVE, left=(4, 0))]), (4, 0, [ONE])),
        update((1, 0, [gc(2), skip(1), ONE])),
    ]
    incomplete = [
        update((1, 4, [ONE])),
        update((3, 1, [ONE])),
        update((3, 0, [item(ANY, ANY_FIVE, left=(1, 3))])),
        update((3, 0, [item(ANY, ANY_FIVE, right=(2, 1))])),
        update((3, 0, [item(ANY, ANY_FIVE, parent=(4, 0))])),
        update((3, 0, [ONE]), deleted=deletions((3, [(0, 2)]))),
        update(deleted=deletions((1, [(2, 2)]))),
        update((1, 2, [ONE, skip(1), ONE])),
        update((3, 0, [skip(1), ONE])),
    ]
    assert [dissect(one).missing(known) for one in complete] == [False] * len(complete)
    assert [dissect(one).missing(known) for one in incomplete] == [True] * len(incomplete)


def test_an_update_of_nothing_is_empty() -> None:
    """D7: no structs, no deleted ranges; skips alone carry nothing."""
    assert dissect(b"\x00\x00").is_empty
    assert dissect(update((1, 0, [skip(5)]))).is_empty
    assert not dissect(update((1, 0, [gc(1)]))).is_empty


@pytest.mark.parametrize("seed", range(20))
def test_hostile_clients_do_not_get_past_their_clocks(seed: int) -> None:
    """D4: with every kind of struct under every parent, pycrdt is where we think it is, or it said no."""
    random = Random(seed)
    hostile = HostileClients(random, [1, 2, 2**33], shared_text=False)
    room: Doc[Any] = Doc()
    reach: dict[int, int] = {}
    for _ in itertools.repeat(None, 15):
        made = hostile.make(reach, ["t", "m"])
        try:
            anatomy = dissect(made)
        except BadUpdate:
            continue
        if anatomy.missing(reach):
            continue
        trial: Doc[Any] = Doc()
        trial.apply_update(room.get_update())
        try:
            room.apply_update(made)
        except (ValueError, RuntimeError):
            room = trial
            continue
        advances = anatomy.advances(reach)
        if len(advances) > 1 and vector(room) != {**reach, **advances}:
            room = trial
            continue
        reach |= advances
        assert vector(room) == reach


@pytest.mark.parametrize("kind", [EMBED, FORMAT])
@pytest.mark.parametrize(
    ("json", "sound"),
    [
        ("{}", True),
        ("[" * 64 + "]" * 64, True),
        ('"' + "[" * 90 + '\\""', True),
        ("[" * 65 + "]" * 65, False),
        ('{"a":' * 40000 + "1" + "}" * 40000, False),
        ("{", False),
        ("NaN", False),
        ("undefined", False),
        ("", False),
    ],
)
def test_embedded_json_is_json_and_not_too_deep(kind: int, json: str, sound: bool) -> None:
    """D1, D2: every Yjs client parses it, and throws where it is none."""
    content = (text("b") if kind == FORMAT else b"") + text(json)
    made = update((1, 0, [item(kind, content, parent="t")]))
    if sound:
        assert dissect(made).spans == {1: [(0, 1)]}
    else:
        with pytest.raises(BadUpdate):
            dissect(made)


def test_long_and_short_client_ids_are_told_apart() -> None:
    """W2: known by their bytes, of five and eight as of any other length, again and again."""
    clients = [1, 127, 128, 2**28, 2**32 - 1, 2**35 - 1, 2**35, 2**49, 2**53 - 1]
    for _ in range(2):
        for client in clients:
            assert list(dissect(update((client, 0, [item(ANY, ANY_FIVE, parent="t", key="k")]))).spans) == [
                client
            ]
