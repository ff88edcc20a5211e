"""One room under fire: what is sent to it, and what must hold whatever that was.

Owns: the rules of the game. Does not own: what is sent (grammar.py), surviving a crash (worker.py).
Kept after every message: what is refused leaves no byte of the state changed, no message takes 50 ms of
processor time. Kept at the end: the room can be joined, encoded, checkpointed and loaded, and is the same for
somebody who was there, for somebody who comes, for its journal and for its checkpoint.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pycrdt import Doc, Map

from party import wire
from party.admission import dissect
from party.batch import Author
from party.document import compact
from party.errors import KanvasError
from party.limits import Limits
from party.ports import Principal, Schema, StoredRoom
from party.room import Room
from party.session import Session
from tests.party.contents import structure
from tests.party.peers import NOTICE, deleted_ranges, vector

HANG_S = 0.05
"""Processor time one message may take."""

ATTACKER = Principal("u-attacker", "Mallory")
WITNESS = Principal("u-witness", "Wendy", role="viewer")

Kind = Literal["update", "step2", "http", "raw", "settle"]


class Move(NamedTuple):
    """One thing done to the room; `settle` lets it work on what it was sent."""

    kind: Kind
    data: bytes = b""


class Broken(AssertionError):
    """The room broke a promise."""


class Slow(Exception):
    """A message took too long, this once."""

    def __init__(self, took_s: float) -> None:
        super().__init__(f"a message of the last moves took {took_s * 1000:.0f} ms of processor time")


class Line:
    """The Connection port; hands every message to `take`."""

    buffered_bytes = 0

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.code: int | None = None

    def send(self, *messages: bytes) -> None:
        for message in messages:
            # words for a person are for nobody here
            if self.code is None and not message.startswith(NOTICE):
                self._take(message)

    def close(self, code: int, reason: str) -> None:
        if self.code is None:
            self.code = code
            if not reason or len(reason.encode()) > 123:
                raise Broken(f"a close with the reason {reason!r}")

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Game:
    """A room, its journal, an attacker and a witness who only looks."""

    def __init__(self, schema: Schema, hang_s: float = HANG_S) -> None:
        self.schema = schema
        self.rows: list[bytes] = []
        self.refused = 0
        self.moves = 0
        self._hang_s = hang_s
        self._live = b"\x00\x00"
        self.room = Room(StoredRoom("r", schema, 1, 0, 0, None, ()), Limits(), now=0.0)
        self.witness: Doc[Any] = Doc()
        self._join(WITNESS, self._witness)
        self._line, self._session = self._join(ATTACKER, lambda message: None)

    def _join(self, principal: Principal, take: Callable[[bytes], None]) -> tuple[Line, Session]:
        line = Line(take)
        session = Session(principal, line)
        self.room.join(session, 0.0)
        self.room.receive(session, wire.encode_step_1(b"\x00"), 0.0)
        return line, session

    def _witness(self, message: bytes) -> None:
        decoded = wire.decode_message(message)
        if isinstance(decoded, wire.Update | wire.Step2):
            self.witness.apply_update(decoded.update)

    @property
    def known(self) -> dict[int, int]:
        """What the room has: everybody is told."""
        return dict(self.room.view.vector)

    def play(self, move: Move) -> None:
        """Raises Broken, Slow; whatever else comes out of it is a find, too."""
        self.moves += move.kind != "settle"
        if self._line.code is not None:
            self._line, self._session = self._join(ATTACKER, lambda message: None)
        version, before = self.room.state(0.0)
        document = self.room._writer.document
        began = time.process_time()
        match move.kind:
            case "update":
                self.room.receive(self._session, wire.encode_update(move.data), 0.0)
            case "step2":
                self.room.receive(self._session, wire.encode_step_2(move.data), 0.0)
            case "http":
                self.room.submit(move.data, Author(ATTACKER), self._reply)
            case "raw":
                self.room.receive(self._session, move.data, 0.0)
            case "settle":
                self._settle()
        took_s = time.process_time() - began
        if self.room.view.version == version:
            self.refused += move.kind == "settle"
            if self.room.state(0.0) != (version, before):
                raise Broken("the state changed without a commit")
            live = self.room._writer.document.encode()
            if self.room._writer.document is document and not is_same(live, self._live):
                raise Broken("what was refused left a trace in the document")
            # the library failed on it, and the document was loaded anew: the same in other bytes
            if self.room._writer.document is not document and fingerprint(live, self.schema) != fingerprint(
                before, self.schema
            ):
                raise Broken("the rebuilt document is another one")
            self._live = live
        else:
            self._live = self.room._writer.document.encode()
        if took_s > self._hang_s:
            raise Slow(took_s)

    def _settle(self) -> None:
        room = self.room
        for _ in range(1000):
            room.send_presence(0.0)
            batch = room.take_batch(0.0)
            if room.chore is not None:
                room.chore_done(room.chore.work())
            if batch is not None:
                self.rows += [entry.update for entry in batch.entries]
                room.commit(room.view.seq + len(batch.entries), 0.0)
            elif not room.has_work:
                return
        raise Broken("the room does not come to rest")

    def _reply(self, result: str | KanvasError) -> None:
        if not isinstance(result, str | KanvasError):
            raise Broken(f"an answer of {result!r}")

    def finish(self) -> None:
        """Join, encode, checkpoint and load it. Raises Broken."""
        self.play(Move("settle"))
        version, state = self.room.state(0.0)
        if version != f"1-{len(self.rows)}":
            raise Broken(f"version {version} with {len(self.rows)} rows")
        joiner: Doc[Any] = Doc()
        line, _ = self._join(WITNESS, lambda message: _sync(joiner, message))
        checkpoint = compact(None, self.rows)
        half = len(self.rows) // 2
        middle = compact(None, self.rows[:half])
        again = compact(middle, self.rows[half:])
        stored = StoredRoom("r", self.schema, 1, len(self.rows), len(self.rows), checkpoint, ())
        reloaded = Room(stored, Limits(), now=0.0)
        replayed = Room(
            StoredRoom("r", self.schema, 1, len(self.rows), 0, None, tuple(self.rows)), Limits(), now=0.0
        )
        expected = fingerprint(state, self.schema)
        found = {
            "the witness": fingerprint_of(self.witness, self.schema),
            "who joins now": fingerprint_of(joiner, self.schema),
            "the checkpoint": fingerprint(checkpoint, self.schema),
            "the second checkpoint": fingerprint(again, self.schema),
            "the room loaded from its checkpoint": fingerprint(reloaded.state(0.0)[1], self.schema),
            "the room loaded from its journal": fingerprint(replayed.state(0.0)[1], self.schema),
        }
        for name, one in found.items():
            if one != expected:
                raise Broken(f"{name} has another document: {difference(expected, one)}")
        if line.code is not None:
            raise Broken(f"the room can't be joined: {line.code}")
        if dissect(state).missing({}):
            raise Broken("the state builds on something that is not in it")
        for room in (self.room, reloaded, replayed):
            room.close()


def _sync(doc: Doc[Any], message: bytes) -> None:
    decoded = wire.decode_message(message)
    if isinstance(decoded, wire.Step2 | wire.Update):
        doc.apply_update(decoded.update)


def is_same(one: bytes, other: bytes) -> bool:
    """The same bytes; but yrs writes the options of a sub-document in another order each time."""
    if one == other:
        return True
    if sorted(one) != sorted(other):
        return False
    mine, theirs = dissect(one), dissect(other)
    return mine.places == theirs.places and mine.deletions == theirs.deletions


def fingerprint(state: bytes, schema: str = "open") -> tuple[Any, ...]:
    doc: Doc[Any] = Doc()
    doc.apply_update(state)
    return fingerprint_of(doc, schema)


def fingerprint_of(doc: Doc[Any], schema: str) -> tuple[Any, ...]:
    """What two encodings of one document have in common: structure, state vector, deleted ranges.

    And content, but not in an open room: pycrdt reads for ever in a list that holds text, and who claims
    neighbours that never lay side by side gets another order from each peer, as in Yjs.
    """
    roots = [doc.get(name, type=Map) for name in ("elements", "meta")] if schema == "canvas" else []
    return (
        # the keys of a plain object come in random order, and a sub-document has a random id
        *(sorted(re.sub(r"Doc\(id: \d+", "Doc(id", str(root))) for root in roots),
        structure(doc.get_update()),
        vector(doc),
        deleted_ranges(doc),
    )


def difference(one: tuple[Any, ...], other: tuple[Any, ...]) -> str:
    """The parts that are not equal, shortened."""
    shown = []
    for a, b in zip(one, other, strict=True):
        if isinstance(a, dict) and isinstance(b, dict):
            wrong = [at for at in {**a, **b} if a.get(at) != b.get(at)][:4]
            shown += [f"{at}: {a.get(at)} is not {b.get(at)}" for at in wrong]
        elif a != b:
            shown.append(f"{a!r:.300} is not {b!r:.300}")
    return "; ".join(shown)


# -- a game as a text file ----------------------------------------------------------------------


def read_moves(path: Path) -> tuple[Schema, list[Move]]:
    head, *lines = [
        line for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("#")
    ]
    schema: Any = head.removeprefix("schema ")
    moves = []
    for line in lines:
        kind, _, data = line.partition(" ")
        moves.append(Move(kind, bytes.fromhex(data)))  # type: ignore[arg-type]
    return schema, moves
