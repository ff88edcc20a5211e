"""tests.party.contents: what is compared is all there is, and nothing that a hash table decides."""

from typing import Any

from pycrdt import Doc, Text

from tests.party.contents import content, has_pairs_in_lists, structure
from tests.party.peers import doc_of
from tests.party.updates import ANY, ANY_FIVE, EMPTY_MAP, TYPE, item, text, update

XML_ELEMENT = b"\x03" + text("p")
KEYS = [f"key{number}" for number in range(9)]
OBJECT = b"\x01\x76\x09" + b"".join(text(key) + b"\x7d\x05" for key in KEYS)

ODD = [
    item(TYPE, XML_ELEMENT, parent="list"),
    item(TYPE, XML_ELEMENT, parent="xml"),
    item(ANY, OBJECT, parent=(1, 1), key="object"),
    item(TYPE, EMPTY_MAP, parent=(1, 1), key="map"),
    item(ANY, ANY_FIVE, parent=(1, 3), key="deep"),
    item(TYPE, EMPTY_MAP, parent=(1, 1)),
    item(TYPE, EMPTY_MAP, parent="xml"),
    item(ANY, ANY_FIVE, parent=(1, 6), key="behind"),
    item(TYPE, XML_ELEMENT, parent="elements", key="a"),
]
"""XML in a list and in a map, maps in XML and as attributes: what two pages with one client id make."""

AT: list[dict[str, Any]] = [{"left": (1, 2)}, {"right": (1, 2)}]


def test_a_document_is_equal_to_itself_loaded_again() -> None:
    """Whatever lies where; the library writes an attribute's keys in another order each time."""
    data = update((1, 0, ODD))
    first = content(doc_of(data))
    assert all(content(doc_of(data)) == first for _ in range(20))
    assert first["elements"]["a"][:2] == first["list"][0][:2] == ("xml", "p")


def test_what_lies_deep_in_a_strange_place_counts() -> None:
    """A value of each struct is changed, and the change is seen."""
    first = content(doc_of(update((1, 0, ODD))))
    for at, before in ((2, b"\x7d\x05"), (4, ANY_FIVE), (7, ANY_FIVE)):
        other = list(ODD)
        other[at] = before.replace(b"\x05", b"\x06").join(ODD[at].rsplit(before, 1))
        assert other[at] != ODD[at]
        assert content(doc_of(update((1, 0, other)))) != first


def test_a_list_with_a_surrogate_pair_in_it_is_not_read() -> None:
    """The library would read for ever; what lies where is in the structure."""
    inner = [
        item(TYPE, EMPTY_MAP, parent="list"),
        item(TYPE, b"\x00", parent=(1, 0), key="a"),
        item(ANY, ANY_FIVE, parent=(1, 1)),
    ]
    behind = item(4, text("x😀"), left=(1, 2))
    assert content(doc_of(update((1, 0, inner))))["list"] == [{"a": [5.0]}]
    for structs in ([item(4, text("x😀"), parent="list")], [*inner, behind]):
        doc = doc_of(update((1, 0, structs)))
        assert has_pairs_in_lists(doc.get_update())
        assert isinstance(content(doc)["list"], int)
    one, other = (doc_of(update((1, 0, [*inner, item(4, text("ab"), **at)]))) for at in AT)
    assert structure(one.get_update()) != structure(other.get_update())


def test_a_text_says_its_formats() -> None:
    doc: Doc[Text] = Doc()
    shared = doc.get("text", type=Text)
    shared += "one"
    shared.insert(1, "-")
    assert content(doc)["text"] == "o-ne"
    shared.format(1, 2, {"bold": True})
    assert content(doc)["text"] == [("o", {}), ("-", {"bold": True}), ("ne", {})]
