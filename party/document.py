"""The document: one room's CRDT. The only importer of pycrdt.

Owns: apply, state vector, diff, full encoding, compaction, repairs. Does not own: which update may be
applied (admission) and what a valid value is (canvas). Nothing outside the room reads a live document.
Keeps rules D5-D8. Source: pycrdt 0.14 `Doc`; a panic of the Rust library arrives as PanicException, a
BaseException, and becomes DocumentBroken here.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pycrdt import Array, Doc, Map, Subscription, Text, TransactionEvent, XmlFragment

from party.admission import dissect
from party.errors import BadUpdate, DocumentBroken
from party.ports import Checkpoint, StoredRoom, Tombstones
from party.wire import decode_state_vector

EMPTY_UPDATE: Final = b"\x00\x00"
ELEMENTS: Final = "elements"
ROOT_TYPES: Final[dict[str, Any]] = {"map": Map, "array": Array, "text": Text, "xml": XmlFragment}


class Unread:
    """Stands for a value nobody has read yet."""


UNREAD: Final = Unread()


@dataclass(frozen=True, slots=True)
class Fix:
    """A forward change: set `key` of element `element_id` to `value`, or remove it.

    With `key` None the whole element is removed.
    """

    element_id: str
    key: str | None
    value: Any = None
    remove: bool = False


@dataclass(slots=True)
class Changes:
    """What one transaction did: the update to send on (b"" when nothing) and the values it touched.

    `touched`: (element id, key) -> the plain value that is there now, UNREAD when it has to be read. With key
    None the whole element. What was removed is not listed.
    """

    update: bytes = b""
    touched: dict[tuple[str, str | None], Any] = field(default_factory=dict)


def _translate(exc: BaseException) -> BaseException:
    """A panic of the Rust library becomes DocumentBroken; anything else stays what it is.

    So does its RuntimeError ("Cannot apply update: ..."): it comes from the middle of an integration.
    """
    broken = isinstance(exc, RuntimeError) or type(exc).__name__ == "PanicException"
    return DocumentBroken() if broken else exc


class _Library:
    """Around calls of the library: its panics become our error. A class, for it is on the way of every edit
    (0.2 µs; a generator takes 0.9)."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, exc: BaseException | None, _traceback: object) -> None:
        if exc is not None and (translated := _translate(exc)) is not exc:
            raise translated from exc


_library: Final = _Library()


class _Batch:
    """A transaction and what it changed."""

    __slots__ = ("_changes", "_transaction")

    def __init__(self, transaction: Any, changes: Changes) -> None:
        self._transaction = transaction
        self._changes = changes

    def __enter__(self) -> Changes:
        with _library:
            self._transaction.__enter__()
        return self._changes

    def __exit__(self, kind: Any, exc: BaseException | None, traceback: Any) -> None:
        with _library:
            self._transaction.__exit__(kind, exc, traceback)
            if exc is not None and (translated := _translate(exc)) is not exc:
                raise translated from exc
        if self._changes.update == EMPTY_UPDATE:
            self._changes.update = b""


class Document:
    """A Yjs document held by one room. Not thread-safe."""

    def __init__(self, *, watch_elements: bool = False) -> None:
        self._doc: Doc[Any] = Doc()
        self._changes = Changes()
        self._subscriptions: list[tuple[Any, Subscription]] = [
            (self._doc, self._doc.observe(self._on_update))
        ]
        self._watch: Any = None
        if watch_elements:
            self.watch_elements()

    def watch_elements(self) -> None:
        """From now on `Changes` say what was touched. After a load: 17 ms for 1 MB, and 27 when watched."""
        elements: Map[Any] = self._doc.get(ELEMENTS, type=Map)
        # past pycrdt's own wrapper, which turns every part of every event into an object of its own: half of
        # the time that a small edit spends in a room. Pinned with the library's version.
        self._watch = elements.integrated.observe_deep(self._on_elements)

    @classmethod
    def load(
        cls, checkpoint: bytes | None, updates: Iterable[bytes], *, watch_elements: bool = False
    ) -> "Document":
        """The document a checkpoint and the updates after it describe. Raises DocumentBroken.

        One transaction per update: what is deleted is collected at the end of a transaction, and yrs takes
        a child of a collected value but not of one that was only just deleted. A room that was told both
        in two batches could never be loaded from one transaction.
        """
        document = cls()
        for _ in document.replaying(checkpoint, updates):
            pass
        if watch_elements:
            document.watch_elements()
        return document

    def replaying(self, checkpoint: bytes | None, updates: Iterable[bytes]) -> Iterator[None]:
        """As `load`, step by step into this empty document."""
        for update in updates if checkpoint is None else (checkpoint, *updates):
            self.replay(update)
            yield

    def replay(self, update: bytes) -> Changes:
        """Apply an update of the journal's in a transaction of its own. Raises DocumentBroken."""
        try:
            with self.batch() as changes:
                self.apply(update)
        except BadUpdate as exc:
            raise DocumentBroken from exc
        return changes

    def batch(self) -> AbstractContextManager[Changes]:
        """One transaction around several `apply`; the changes are complete when it ends.

        Raises DocumentBroken; the document is then unusable and must be loaded anew.
        """
        self._changes = Changes()
        return _Batch(self._doc.transaction(), self._changes)

    def apply(self, update: bytes) -> None:
        """Apply one update inside a `batch`. Raises BadUpdate (the others are not harmed)."""
        try:
            transaction = self._doc._txn
            if transaction is None or transaction._txn is None:
                raise RuntimeError("There is no batch.")
            # past pycrdt's own `apply_update`, which opens a transaction within this one: 0.5 µs less
            self._doc._doc.apply_update(transaction._txn, update)
        except (ValueError, TypeError) as exc:
            raise BadUpdate(f"The document library refuses the update: {exc}") from exc
        except BaseException as exc:
            raise _translate(exc) from exc

    def repair(self, fixes: Sequence[Fix]) -> bytes:
        """Make forward changes of the server's own; return their update."""
        with self.batch() as changes:
            elements: Map[Any] = self._doc.get(ELEMENTS, type=Map)
            for fix in fixes:
                if fix.key is None:
                    if fix.element_id in elements:
                        del elements[fix.element_id]
                    continue
                element = elements.get(fix.element_id)
                if not isinstance(element, Map):
                    continue
                if fix.remove:
                    if fix.key in element:
                        del element[fix.key]
                else:
                    element[fix.key] = fix.value
        return changes.update

    def values(self, element_id: str, keys: Iterable[str] | None = None) -> dict[str, Any] | None:
        """The plain values of one element by key (all, or those of `keys` it has), None when it is no map.

        A value that is not plain (a shared type, bytes, a format mark) is given as `NotPlain`.
        """
        with _library, self._doc.transaction():
            elements: Map[Any] = self._doc.get(ELEMENTS, type=Map)
            # not `get` and `in`, which ask and then take: 11.6 µs for one key against 14.3
            try:
                element = elements[element_id]
            except KeyError:
                return None
            if not isinstance(element, Map):
                return None
            values: dict[str, Any] = {}
            for key in element.keys() if keys is None else keys:
                try:
                    values[key] = _plain(element[key])
                except KeyError:
                    # gone; or a format mark, of which pycrdt lists the key and has no value
                    if keys is None:
                        values[key] = NotPlain()
            return values

    def has_element(self, element_id: str) -> bool:
        with _library:
            elements: Map[Any] = self._doc.get(ELEMENTS, type=Map)
            return element_id in elements

    def deleted_elements(self) -> set[str]:
        """The ids of the elements that are marked as deleted."""
        with _library, self._doc.transaction():
            elements: Map[Any] = self._doc.get(ELEMENTS, type=Map)
            return {
                element_id
                for element_id, element in elements.items()
                if isinstance(element, Map) and element.get("deleted") is True
            }

    def purge(self, element_ids: Iterable[str]) -> bytes:
        """Remove those of these elements that are marked as deleted; return the update (b"" when none is)."""
        return self.repair(
            [
                Fix(element_id, None, remove=True)
                for element_id in element_ids
                if (self.values(element_id, ("deleted",)) or {}).get("deleted") is True
            ]
        )

    def state_vector(self) -> bytes:
        with _library:
            return self._doc.get_state()

    def vector(self) -> dict[int, int]:
        """Client id to next clock."""
        return decode_state_vector(self.state_vector())

    def diff(self, state_vector: bytes) -> bytes:
        """Everything beyond `state_vector` (the whole delete set included). 0.4-4 ms at 5 MB."""
        with _library:
            return self._doc.get_update(state_vector)

    def encode(self) -> bytes:
        """The whole document as one update. 21-48 ms at 5 MB."""
        with _library:
            return self._doc.get_update()

    def root_names(self) -> list[str]:
        """The roots anything was ever written to, by name. Which type one has is nowhere stored."""
        with _library:
            return sorted(self._doc.keys())

    def read_root(self, name: str, kind: Literal["map", "array", "text", "xml"]) -> str:
        """The content of a root: JSON of a map or an array, the plain text of a text, the markup of XML.

        Twice as fast as `to_py`. Makes the root one of this type: for documents that are thrown away.
        """
        with _library:
            return str(self._doc.get(name, type=ROOT_TYPES[kind]))

    def close(self) -> None:
        """Let go of the observers: a Doc with a live one is never freed."""
        for source, subscription in self._subscriptions:
            with suppress(Exception):
                source.unobserve(subscription)
        self._subscriptions.clear()
        if self._watch is not None:
            self._watch.drop()
            self._watch = None

    def _on_update(self, event: TransactionEvent) -> None:
        self._changes.update = event.update

    def _on_elements(self, events: list[Any]) -> None:
        """The library's own events: `path` and, of a map, `keys` with what became of each."""
        touched = self._changes.touched
        for event in events:
            path = event.path
            depth = len(path)
            # asked for once: the library makes it anew each time
            keys = getattr(event, "keys", None)
            if depth > 1 or keys is None:
                touched[str(path[0]), str(path[1]) if depth > 1 else None] = UNREAD
                continue
            for key, change in keys.items():
                if change["action"] == "delete":
                    continue
                if depth == 0:
                    touched[key, None] = UNREAD
                else:
                    # a format mark has no new value
                    touched[path[0], key] = _plain(change.get("newValue", UNREAD))


class NotPlain:
    """Stands for a shared type where a plain JSON value belongs."""


_PLAIN: Final = frozenset({type(None), bool, int, float, str, list, dict, Unread})


def _plain(value: Any) -> Any:
    return value if type(value) in _PLAIN else NotPlain()


def compact(checkpoint: bytes | None, updates: Sequence[bytes]) -> bytes:
    """Replay database bytes into a fresh document and return its full state, verified (J5).

    Runs in a child process for large rooms, so it takes and gives plain bytes only.
    Raises DocumentBroken when the bytes do not replay, or the result does not load to the same state.
    """
    document = Document.load(checkpoint, updates)
    state = _verified_state(document)
    document.close()
    return state


def make_checkpoint(stored: StoredRoom) -> Checkpoint:
    """What `compact` gives, and the tombstones of a canvas. Runs where it runs, raises what it raises."""
    if stored.schema != "canvas":
        return Checkpoint(compact(stored.checkpoint, stored.updates))
    document = Document.load(stored.checkpoint, (), watch_elements=True)
    flagged: set[str] = set()
    for update in stored.updates:
        # an element that was brought back and deleted again is deleted since then, not since the first time
        touched = document.replay(update).touched
        flagged.update(element_id for element_id, key in touched if key in (None, "deleted"))
    state = _verified_state(document)
    deleted = document.deleted_elements()
    document.close()
    return Checkpoint(state, Tombstones(old=frozenset(deleted - flagged), new=frozenset(deleted & flagged)))


def _verified_state(document: Document) -> bytes:
    state = document.encode()
    again = Document.load(state, ())
    same = again.vector() == document.vector()
    anatomy = dissect(state, is_own=True)
    same = same and _joined(anatomy.deletions) == _joined(dissect(again.encode(), is_own=True).deletions)
    again.close()
    # a document with something pending encodes it with a gap; admission lets none in (D4)
    if not same or anatomy.missing({}):
        raise DocumentBroken("The checkpoint does not load to the state it was made from.")
    return state


def _joined(deletions: dict[int, list[tuple[int, int]]]) -> dict[int, list[tuple[int, int]]]:
    """Deleted ranges with neighbours joined.

    This and the state vector are what two encodings of one document have in common: yrs writes the keys of
    a plain object in random order, and joins collected structs when it loads but not when it collects them.
    """
    joined: dict[int, list[tuple[int, int]]] = {}
    for client, ranges in deletions.items():
        out = joined[client] = []
        for start, stop in sorted(ranges):
            if out and start <= out[-1][1]:
                out[-1] = (out[-1][0], max(stop, out[-1][1]))
            else:
                out.append((start, stop))
    return joined
