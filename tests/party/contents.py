"""What a document holds, as plain values that can be compared.

Owns: reading any shared type wherever it lies: where two pages have one client id a map may be an attribute
of an XML element, or an element an item of a list. Does not own: vectors and delete sets (peers).

Nothing here depends on the order of a hash table, in which the library lists keys and writes markup.
"""

from typing import Any

from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment, XmlText


def content(doc: Doc[Any]) -> dict[str, Any]:
    """The roots that the tests write to; a text without formats is a plain string."""
    return {
        "elements": plain(doc.get("elements", type=Map)),
        "text": plain(doc.get("text", type=Text)),
        "list": plain(doc.get("list", type=Array)),
        # as a list: of an XML type the library gives the children that are XML only
        "xml": [plain(doc.get("xml", type=Array)), *_shown(doc.get("xml", type=XmlFragment))],
    }


def plain(value: Any) -> Any:
    """One value and all within it."""
    match value:
        case Map():
            return {key: plain(one) for key, one in _items(value)}
        case Array():
            return [plain(value[at]) for at in range(len(value))]
        case Text():
            return _text(value.diff())
        case XmlText():
            return ("xml text", _text(value.diff()), _attributes(value))
        case XmlElement():
            return ("xml", value.tag, _attributes(value), _children(value), *_shown(value))
        case XmlFragment():
            return ("fragment", _children(value), *_shown(value))
        case Doc():
            return ("document", value.guid)
        case float() if value != value:
            return "not a number"
        case list():
            return [plain(one) for one in value]
        case dict():
            return {key: plain(one) for key, one in value.items()}
    return value


def _items(shared: Map[Any]) -> list[tuple[str, Any]]:
    items = []
    for key in shared.keys():  # noqa: SIM118 - a Map is no dict
        try:
            items.append((key, shared[key]))
        except KeyError:
            # a format mark: the key is listed and has no value
            items.append((key, "no value"))
    return items


def _text(parts: list[tuple[Any, dict[str, Any] | None]]) -> Any:
    """A string, or the pieces of different format; how the library cuts it up does not count."""
    joined: list[tuple[Any, Any]] = []
    for value, attributes in parts:
        formats = plain(attributes or {})
        if joined and isinstance(value, str) and isinstance(joined[-1][0], str) and joined[-1][1] == formats:
            joined[-1] = (joined[-1][0] + value, formats)
        else:
            joined.append((plain(value), formats))
    if not joined:
        return ""
    return joined[0][0] if len(joined) == 1 and joined[0][1] == {} else joined


def _attributes(node: XmlElement | XmlText) -> dict[str, Any]:
    return {key: plain(node._maybe_as_type_or_doc(value)) for key, value in node.attributes}


def _children(node: XmlElement | XmlFragment) -> list[Any]:
    return [plain(child) for child in node.children]


def _shown(node: XmlElement | XmlFragment) -> tuple[int, str]:
    """Of children that are no XML the library says how many there are, and writes them in the markup.

    There the keys of objects are in the order of a hash table, so its characters are compared, sorted.
    """
    return len(node.children), "".join(sorted(str(node)))
