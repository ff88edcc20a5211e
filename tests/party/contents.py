"""What a document holds, as plain values that can be compared.

Owns: reading any shared type wherever it lies: where two pages have one client id a map may be an attribute
of an XML element, or an element an item of a list. Does not own: vectors and delete sets (peers).

Nothing here depends on the order of a hash table, in which the library lists keys and writes markup. A list
with a surrogate pair in it the library reads for ever; then the structure tells what lists hold.
"""

from typing import Any

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText

from party.admission import GONE, dissect

Unit = tuple[int, int]


def content(doc: Doc[Any]) -> dict[str, Any]:
    """The roots that the tests write to; a text without formats is a plain string."""
    plain = Reader(reads_lists=not has_pairs_in_lists(doc.get_update())).plain
    xml = doc.get("xml", type=XmlFragment)
    return {
        "elements": plain(doc.get("elements", type=Map)),
        "text": plain(doc.get("text", type=Text)),
        "list": plain(doc.get("list", type=Array)),
        # as a list: of an XML type the library gives the children that are XML only
        "xml": [plain(doc.get("xml", type=Array)), *_shown(xml)],
    }


def structure(state: bytes) -> dict[Unit, Any]:
    """Where each unit of what is not deleted says that it lies, however the structs are joined."""
    return _units(state)


def _units(state: bytes, *, with_gone: bool = False) -> dict[Unit, Any]:
    units: dict[Unit, Any] = {}
    for place in dissect(state, is_own=True).places:
        # a hostile client's may be 2^31 long
        for nth in range(place.length if with_gone or place.kind != GONE else 0):
            at = (place.client, place.clock + nth)
            before = (place.client, place.clock + nth - 1)
            says = (place.left, place.parent, place.key) if nth == 0 else (before, None, None)
            units[at] = place.kind, place.right, *says
    return units


def has_pairs_in_lists(state: bytes) -> bool:
    """Whether one may lie in a list of the tests: in a root but the text, in a map's value, or who knows."""
    pairs = dissect(state, is_own=True).pairs
    units = _units(state, with_gone=True) if pairs else {}
    homes: dict[Unit, Any] = {}
    for at in pairs:
        home = _home(units, at, homes)
        if home in (None, "list", "xml") or (home in units and _key(units, home) is not None):
            return True
    return False


def _home(units: dict[Unit, Any], at: Unit, homes: dict[Unit, Any]) -> Any:
    """The root or the type that a unit lies in, as its neighbours say."""
    way = []
    while at in units and at not in homes:
        way.append(at)
        _, right, left, parent, _ = units[at]
        if parent is not None:
            homes[at] = parent
            break
        at = left or right
    home = homes.get(at)
    homes.update(dict.fromkeys(way, home))
    return home


def _key(units: dict[Unit, Any], at: Unit) -> str | None:
    while at in units:
        _, right, left, parent, key = units[at]
        if parent is not None or key is not None:
            return key
        at = left or right
    return None


class Reader:
    """Reads values and all within them."""

    def __init__(self, *, reads_lists: bool) -> None:
        self._reads_lists = reads_lists

    def plain(self, value: Any) -> Any:
        plain = self.plain
        match value:
            case Map():
                return {key: plain(one) for key, one in _items(value)}
            case Array():
                return [plain(value[at]) for at in range(len(value))] if self._reads_lists else len(value)
            case Text():
                return self._text(value.diff())
            case XmlText():
                return ("xml text", self._text(value.diff()), self._attributes(value))
            case XmlElement():
                children = [*map(plain, value.children)]
                return ("xml", value.tag, self._attributes(value), children, *_shown(value))
            case XmlFragment():
                return ("fragment", [*map(plain, value.children)], *_shown(value))
            case Doc():
                return ("document", value.guid)
            case float() if value != value:
                return "not a number"
            case list():
                return [plain(one) for one in value]
            case dict():
                return {key: plain(one) for key, one in value.items()}
        return value

    def _text(self, parts: list[tuple[Any, dict[str, Any] | None]]) -> Any:
        """A string, or the pieces of different format; how the library cuts it up does not count."""
        joined: list[tuple[Any, Any]] = []
        for value, attributes in parts:
            formats = self.plain(attributes or {})
            is_more = bool(joined) and isinstance(value, str) and isinstance(joined[-1][0], str)
            if is_more and joined[-1][1] == formats:
                joined[-1] = (joined[-1][0] + value, formats)
            else:
                joined.append((self.plain(value), formats))
        if not joined:
            return ""
        return joined[0][0] if len(joined) == 1 and joined[0][1] == {} else joined

    def _attributes(self, node: XmlElement | XmlText) -> dict[str, Any]:
        return {key: self.plain(node._maybe_as_type_or_doc(value)) for key, value in node.attributes}


def _items(shared: Map[Any]) -> list[tuple[str, Any]]:
    items = []
    for key in shared.keys():  # noqa: SIM118 - a Map is no dict
        try:
            items.append((key, shared[key]))
        except KeyError:
            # a format mark: the key is listed and has no value
            items.append((key, "no value"))
    return items


def _shown(node: XmlElement | XmlFragment) -> tuple[int, str]:
    """Of children that are no XML the library says how many there are, and writes them in the markup.

    There the keys of objects are in the order of a hash table, so its characters are compared, sorted.
    """
    return len(node.children), "".join(sorted(str(node)))
