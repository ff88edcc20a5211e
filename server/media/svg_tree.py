"""SVG as a tree: parsing that no entity can blow up, and writing in one form.

Owns: the parser and its caps, the writer. Does not own: what may stay in an SVG (`svg.py`).
Rules: no document type with rules of its own, no entity but XML's five, comments and instructions are not
read; the same tree is always written as the same bytes.
Source: XML 1.0 sections 2.8 and 4, Namespaces in XML 1.0; CPython's expat.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Union
from xml.parsers import expat

from server.problems import SvgRefused

SVG_NAMESPACE: Final = "http://www.w3.org/2000/svg"
XLINK_NAMESPACE: Final = "http://www.w3.org/1999/xlink"
XML_NAMESPACE: Final = "http://www.w3.org/XML/1998/namespace"

MOST_ELEMENTS: Final = 250_000
MOST_DEPTH: Final = 200
MOST_ATTRIBUTES: Final = 150


@dataclass(slots=True)
class Node:
    """An element of the SVG namespace: local name, attributes (`href`, `xml:space`), text and elements."""

    name: str
    attributes: dict[str, str]
    inside: list[Union["Node", str]] = field(default_factory=list)
    number: int = 0
    """The how manieth of its document it is."""

    def walk(self) -> Iterator["Node"]:
        """This element and all below it, parents first."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(one for one in reversed(node.inside) if isinstance(one, Node))

    @property
    def text(self) -> str:
        return "".join(one for one in self.inside if isinstance(one, str))


class _Builder:
    """Takes the parser's events; elements of other namespaces are left out with all in them."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._skipped = 0
        self._seen = 0

    def start(self, name: str, attributes: list[str]) -> None:
        self._seen += 1
        if self._seen > MOST_ELEMENTS or len(attributes) > 2 * MOST_ATTRIBUTES:
            raise SvgRefused("The SVG has too many elements or attributes; simplify it, or send a PNG.")
        if len(self._open) + self._skipped >= MOST_DEPTH:
            raise SvgRefused("The SVG's groups are nested too deeply; simplify it, or send a PNG.")
        namespace, _, local = name.rpartition(" ")
        if self._skipped or namespace != SVG_NAMESPACE:
            self._skipped += 1
            return
        node = Node(local, _named(attributes), number=self._seen)
        if self._open:
            self._open[-1].inside.append(node)
        else:
            self.root = node
        self._open.append(node)

    def end(self, _: str) -> None:
        if self._skipped:
            self._skipped -= 1
        else:
            self._open.pop()

    def text(self, data: str) -> None:
        if self._skipped or not self._open:
            return
        inside = self._open[-1].inside
        if inside and isinstance(inside[-1], str):
            inside[-1] += data
        else:
            inside.append(data)

    def doctype(self, _name: str, _system: str | None, _public: str | None, has_rules: int) -> None:
        if has_rules:
            raise SvgRefused("The SVG declares entities or rules of its own; save it as plain SVG.")

    def refuse(self, *_: object) -> None:
        raise SvgRefused("The SVG uses entities; save it as plain SVG.")


def _named(attributes: list[str]) -> dict[str, str]:
    """Attributes by local name: those without a namespace, and the two with one that are used."""
    found: dict[str, str] = {}
    for name, value in zip(attributes[::2], attributes[1::2], strict=True):
        namespace, _, local = name.rpartition(" ")
        if not namespace:
            found[local] = value
        elif namespace == XLINK_NAMESPACE and local == "href":
            found.setdefault("href", value)
        elif namespace == XML_NAMESPACE and local == "space":
            found["xml:space"] = value
    return found


def parse(data: bytes) -> Node:
    """The root of an SVG. Raises SvgRefused."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.doctype
    parser.EntityDeclHandler = builder.refuse
    parser.SkippedEntityHandler = builder.refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as exc:
        raise SvgRefused("The SVG is damaged or cut off: it is not well-formed XML.") from exc
    if builder.root is None or builder.root.name != "svg":
        raise SvgRefused("The file is no SVG: its outermost element is not <svg> of the SVG namespace.")
    return builder.root


_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
_VALUE: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}
)


def write(root: Node) -> bytes:
    """The document as UTF-8: no declaration, comments or prefixes."""
    parts: list[str] = []
    # what is still to be written, the next one last; text of ours is told from theirs by its kind
    waiting: list[Node | str | tuple[str]] = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, tuple):
            parts.append(one[0])
        elif isinstance(one, str):
            parts.append(one.translate(_TEXT))
        else:
            told = f' xmlns="{SVG_NAMESPACE}"' if one is root else ""
            told += "".join(f' {name}="{value.translate(_VALUE)}"' for name, value in one.attributes.items())
            parts.append(f"<{one.name}{told}{'>' if one.inside else '/>'}")
            if one.inside:
                waiting.append((f"</{one.name}>",))
                waiting.extend(reversed(one.inside))
    return "".join(parts).encode()
