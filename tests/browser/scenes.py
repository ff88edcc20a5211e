"""Scenes as plain values that can be compared: in an editor, and in the document on the server.

Owns: what counts as equal (CLIENT.md: not `version`, `versionNonce`, `updated`, and not indices that keep the order)
and the way from a Yjs state back to elements. Does not own: how a browser is asked for its scene (`people.py`).
"""

from typing import Any

from pycrdt import Doc, Map

Element = dict[str, Any]
Scene = list[Element]

LOCAL = frozenset({"version", "versionNonce", "updated", "index", "status"})
"""Fields of one browser, which say nothing about what is drawn."""

NOT_STORED = frozenset({"boundElements", "isDeleted"})
"""Fields of a scene that the document keeps under another name, or derives."""

GROUPS_OF_FIELDS = ("kind", "geometry", "text", "style", "image", "meta")


def normal(elements: Scene) -> Scene:
    """Live elements in drawing order without what is local; what is bound to a shape has no order."""
    return [
        {name: value for name, value in element.items() if name not in LOCAL}
        | {"boundElements": sorted(element.get("boundElements") or [], key=lambda bond: bond["id"])}
        for element in elements
        if not element["isDeleted"]
    ]


def stored(scene: Scene) -> Scene:
    """A normalised scene as the document would hold it."""
    return [{name: value for name, value in element.items() if name not in NOT_STORED} for element in scene]


def groups_of(state: bytes) -> dict[str, Element]:
    """Element id to its groups, as in a Yjs state."""
    doc: Doc[Any] = Doc()
    doc.apply_update(state)
    elements: Map[Any] = doc.get("elements", type=Map)
    found: dict[str, Element] = elements.to_py() or {}
    return found


def scene_of(state: bytes) -> Scene:
    """The live elements of a Yjs state, in drawing order, as `stored` makes them from an editor's scene."""
    live = {id_: groups for id_, groups in groups_of(state).items() if not groups["deleted"]}
    return [
        whole(
            {"id": id_}
            | {name: value for group in GROUPS_OF_FIELDS for name, value in groups.get(group, {}).items()}
        )
        for id_, groups in sorted(live.items(), key=lambda item: (item[1]["z"], item[0]))
    ]


def whole(value: Any) -> Any:
    """JSON numbers as JavaScript has them: 3.0 is 3."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


def differences(left: Scene, right: Scene) -> list[str]:
    """What is not equal, one line each, short enough to read; empty when both are the same drawing."""
    ours, theirs = [one["id"] for one in left], [one["id"] for one in right]
    if ours != theirs:
        return [f"elements in order: {shapes(left)} but {shapes(right)}"]
    return [
        f"{one['type']} {one['id']} {name}: {one.get(name)!r} but {other.get(name)!r}"[:400]
        for one, other in zip(left, right, strict=True)
        for name in sorted({*one, *other})
        if whole(one.get(name)) != whole(other.get(name)) or (name in one) != (name in other)
    ]


def shapes(scene: Scene) -> str:
    return ", ".join(f"{one['type']} {one['id']}" for one in scene)
