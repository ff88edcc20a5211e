"""SVG made harmless: a sanitiser, and a second look at what it left.

Owns: what may stay in an SVG. Does not own: parsing and writing (`svg_tree.py`), how an SVG is served (always
as an attachment, in a sandbox).
py_svg_hush (Cloudflare's svg-hush) keeps a list of elements and attributes and filters URLs and CSS. It
also, as tried: turns `https://other/x` into `/x` of whoever serves the file; keeps addresses that functions
take as strings (`image-set("...")`); keeps `to="javascript:..."` of an animation that lost its attribute;
expands entities; loses the namespace of prefixed elements; indents, which shows as blanks in text. So it
decides what goes and how attributes and style sheets read; the tree and its text are ours, and what remains
must pass `_check`.
Rules: no reference leaves the document but to a raster image inside it, which is cleaned (`embedded.py`);
sanitising twice changes nothing.
Source: SVG 2 sections 5, 13 and 16; CSS Images 4 (functions that load); github.com/cloudflare/svg-hush.
"""

import re
from typing import Final

from py_svg_hush import filter_svg

from server.media.base import MOST_SVG_BYTES
from server.media.embedded import Album
from server.media.svg_tree import Node, parse, write
from server.problems import AssetTooLarge, SvgRefused

INLINE_IMAGES: Final = {"image": ["png", "jpeg", "gif", "webp"]}
MARK: Final = "data-n"
ROUNDS: Final = 4
MOST_DRAWN: Final = 1_000_000
"""Elements, each counted as often as `use` repeats it."""

MOST_REPEATS: Final = 32
"""`use` of what contains `use` of what contains ..."""

MOST_SIDE_PX: Final = 1_000_000

FORBIDDEN: Final = frozenset(
    {"script", "foreignobject", "handler", "listener", "iframe", "object", "embed", "audio", "video"}
    | {"canvas", "link", "meta", "base", "html", "body", "discard", "animation", "prefetch", "cursor"}
)
ANIMATIONS: Final = frozenset({"set", "animate", "animateColor", "animateTransform"})
_HIDDEN: Final = re.compile(
    r"javascript:|vbscript:|livescript:|data:(?!image/(?:png|jpe?g|gif|webp)[;,])|expression\(|@import|"
    r"(?:image-set|cross-fade|image|src|element|paint)\(|(?:-moz-binding|behavior):|"
    r"@(?:namespace|charset|document|-moz-document)|//|\\",
    re.IGNORECASE,
)
"""What no attribute and no style sheet needs; looked for with all blanks and controls taken out."""

_REMARK: Final = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_URL: Final = re.compile(r"url\(([^()]*)\)", re.IGNORECASE)
_OWN_IMAGE: Final = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+\Z")
_BLANK: Final = re.compile(r"[\x00-\x20\x7f-\xa0\u2000-\u200f\u2028-\u202f\ufeff]+")
_LENGTH: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(px|pt|pc|mm|cm|in|)\Z")
_PX: Final = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0}
_PLAIN: Final = frozenset({"href", "xmlns", "xml:space", "id", "class", "d", "points"})
"""Attributes with rules of their own, or which nothing reads as an address."""


def sanitise(data: bytes) -> tuple[bytes, int | None, int | None]:
    """The harmless form of an SVG, its width and height in pixels.

    Raises SvgRefused, AssetTooLarge, and the caps' errors of pictures in it.
    """
    if len(data) > MOST_SVG_BYTES:
        raise AssetTooLarge("The SVG is larger than 10 MB; simplify it, or send a PNG.")
    for _ in range(ROUNDS):
        root = _filter(parse(data))
        _check(root)
        written = write(root)
        if written == data:
            return (written, *_size(root))
        data = written
    raise SvgRefused


def _filter(root: Node) -> Node:
    """What the sanitiser leaves of a tree, and without what it overlooks."""
    for node in root.walk():
        node.attributes = {name: value for name, value in node.attributes.items() if name != MARK}
        node.attributes[MARK] = str(node.number)
    try:
        hushed = parse(filter_svg(write(root), keep_data_url_mime_types=INLINE_IMAGES))
    except ValueError as exc:
        raise SvgRefused from exc
    left = {node.attributes.pop(MARK, ""): node for node in hushed.walk()}
    waiting, album = [root], Album()
    while waiting:
        node = waiting.pop()
        kept = left[str(node.number)]
        space = node.attributes.get("xml:space")
        mended = {name: _mend(name, value, album) for name, value in kept.attributes.items()}
        node.attributes = {name: value for name, value in mended.items() if value is not None}
        if node.name in ANIMATIONS and "attributeName" not in node.attributes:
            # what it would have set to something was none of its business
            node.attributes = {}
        if space in ("preserve", "default"):
            node.attributes["xml:space"] = space
        if node.name == "style":
            node.inside = [_mend("style", kept.text, album) or ""]
        node.inside = [
            one for one in node.inside if (one if isinstance(one, str) else str(one.number) in left)
        ]
        waiting.extend(one for one in node.inside if isinstance(one, Node))
    return root


def _mend(name: str, value: str, album: Album) -> str | None:
    """An attribute's value, or a style sheet, without references to elsewhere; None: leave it out."""
    if name == "href":
        return value if value.startswith("#") else album.clean(value)
    if name in _PLAIN or name.startswith("aria-"):
        return value
    if name.startswith("data-"):
        return None
    if name == "style":
        # remarks name web sites, and could hide a word in two halves
        value = _REMARK.sub("", value)
    value = _URL.sub(
        lambda found: found[0] if found[1].strip(" \t\r\n\"'").startswith("#") else "none", value
    )
    return None if _is_dangerous(value) else value


def _is_dangerous(value: str) -> bool:
    squeezed = _BLANK.sub("", value)
    return _HIDDEN.search(squeezed) is not None or any(
        not found.strip("'\"").startswith("#") for found in re.split(r"url\(", squeezed, flags=re.I)[1:]
    )


def _check(root: Node) -> None:
    """Raises SvgRefused when anything is left that should not be, whoever overlooked it."""
    targets: dict[str, Node] = {}
    for node in root.walk():
        if node.name.lower() in FORBIDDEN or (node.name == "style" and _is_dangerous(node.text)):
            raise SvgRefused
        for name, value in node.attributes.items():
            if name.lower().startswith("on") or (":" in name and name != "xml:space"):
                raise SvgRefused
            if name == "href" and not value.startswith("#") and not _OWN_IMAGE.match(value):
                raise SvgRefused
            if name not in _PLAIN and not name.startswith("aria-") and _is_dangerous(value):
                raise SvgRefused
            if name == "attributeName" and _BLANK.sub("", value).lower().split(":")[-1] in ("href", "style"):
                raise SvgRefused
        targets.setdefault(node.attributes.get("id", ""), node)
    if _Drawing(targets).count(root, 0) > MOST_DRAWN:
        raise SvgRefused("The SVG repeats its parts too often; simplify it, or send a PNG.")


class _Drawing:
    """How many elements are drawn, with those that `use` repeats."""

    def __init__(self, targets: dict[str, Node]) -> None:
        self._targets = targets
        self._counts: dict[int, int] = {}
        self._steps = 0

    def count(self, node: Node, depth: int) -> int:
        if node.number in self._counts:
            return self._counts[node.number]
        if depth > MOST_REPEATS:
            raise SvgRefused("The SVG repeats parts that repeat parts; simplify it, or send a PNG.")
        # a circle draws nothing
        self._counts[node.number] = 0
        total = 0
        for one in node.walk():
            total += 1
            self._steps += 1
            if self._steps > 4 * MOST_DRAWN:
                raise SvgRefused
            target = self._targets.get(one.attributes.get("href", "")[1:]) if one.name == "use" else None
            if target is not None:
                total += self.count(target, depth + 1)
        self._counts[node.number] = total
        return total


def _size(root: Node) -> tuple[int | None, int | None]:
    """As the root says in lengths, or else in its view box."""
    found = [_LENGTH.match(root.attributes.get(name, "").strip()) for name in ("width", "height")]
    sides = [round(float(one[1]) * _PX[one[2]]) for one in found if one is not None]
    if len(sides) < 2:
        box = re.split(r"[\s,]+", root.attributes.get("viewBox", "").strip())
        found = [_LENGTH.match(one) for one in box[2:4]] if len(box) == 4 else []
        sides = [round(float(one[1])) for one in found if one is not None]
    if len(sides) < 2 or not all(0 < side <= MOST_SIDE_PX for side in sides):
        return None, None
    return sides[0], sides[1]
