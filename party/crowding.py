"""Crowding: how far the CRDT library would walk to put an update's structs in order, told beforehand.

Owns: the count of those steps. Does not own: the limit on them, refusing (admission). Keeps rule D12. Pure.

To place a struct the library walks from its left origin to its right one, past all that lies between. Where
clients inserted one after the other nothing does: each struct's right neighbour is the one put there last.
So only what was written at the same time costs, and what says it was: 6,000 structs behind one character in
64 KB took 8.8 s, 16,000 values of one key in 336 KB 34.7 s (0.3 to 0.5 us a step). What lies behind a struct
is walked past as well, so each branch counts with all that was inserted behind its structs.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from party.admission import Place, Reference


class _Piece(NamedTuple):
    """A struct, or a part of one between two places where something was inserted."""

    first: "Reference"
    last: "Reference"
    right: "Reference | None"


def steps(places: "Sequence[Place]") -> int:
    """The steps at most, within the update: 2 to 3 us per struct where nothing is crowded."""
    groups = _groups(places)
    crowded = {origin: branches for origin, all_ in groups.items() if (branches := _branches(all_))}
    if not crowded:
        return 0
    sizes = _sizes(groups)
    found = 0
    for branches in crowded.values():
        behind = [sum(1 + sizes.get(piece.last, 0) for piece in branch) for branch in branches]
        whole = sum(behind)
        found += sum(len(branch) * (whole - own) for branch, own in zip(branches, behind, strict=True))
    return found


def _groups(places: "Sequence[Place]") -> dict[Hashable, list[_Piece]]:
    """The pieces by what they were inserted behind: a struct, or the beginning of a list or key."""
    cuts: dict[int, set[int]] = defaultdict(set)
    heads: dict[Reference, Place] = {}
    for place in places:
        if place.left is not None:
            cuts[place.left[0]].add(place.left[1] + 1)
        elif place.parent is not None or place.right is not None:
            heads[place.client, place.clock] = place
        if place.right is not None:
            cuts[place.right[0]].add(place.right[1])
    ordered = {client: sorted(clocks) for client, clocks in cuts.items()}
    groups: dict[Hashable, list[_Piece]] = defaultdict(list)
    homes: dict[Reference, Hashable] = {}
    nth: dict[int, int] = {}
    for place in places:
        client, start, stop = place.client, place.clock, place.clock + place.length
        origin: Hashable = place.left
        if origin is None:
            if place.parent is None and place.right is None:
                continue
            origin = _beginning(place, heads, homes)
        clocks = ordered.get(client, ())
        at = nth.get(client, 0)
        right = place.right
        while at < len(clocks) and clocks[at] < stop:
            cut = clocks[at]
            at += 1
            if cut > start:
                groups[origin].append(_Piece((client, start), (client, cut - 1), right))
                # the rest lies behind the part before it, and is no news to what was inserted between
                origin, start, right = (client, cut - 1), cut, None
        nth[client] = at
        groups[origin].append(_Piece((client, start), (client, stop - 1), right))
    return groups


def _beginning(
    place: "Place", heads: "dict[Reference, Place]", homes: "dict[Reference, Hashable]"
) -> Hashable:
    """The list or key at whose beginning a struct without a left neighbour was inserted."""
    chain: dict[Reference, None] = {}
    here: Place | None = place
    # where the update does not say, all lie in one
    home: Hashable = None
    while here is not None:
        at = here.client, here.clock
        if at in homes:
            home = homes[at]
            break
        if at in chain:
            break
        chain[at] = None
        if here.right is None:
            home = "", here.parent, here.key
            break
        here = heads.get(here.right)
    homes.update(dict.fromkeys(chain, home))
    return home


def _branches(group: list[_Piece]) -> list[list[_Piece]]:
    """The pieces that were inserted one before the other; nothing when all of them were."""
    if len(group) == 1:
        return []
    by_first = {piece.first: piece for piece in group}
    before: dict[Reference, _Piece] = {}
    roots = []
    for piece in group:
        right = piece.right
        if right is not None and right in by_first and right not in before:
            before[right] = piece
        else:
            roots.append(piece)
    if len(roots) == 1:
        return []
    branches = []
    for root in roots:
        branch = [root]
        while (more := before.get(branch[-1].first)) is not None:
            branch.append(more)
        branches.append(branch)
    return branches


def _sizes(groups: "dict[Hashable, list[_Piece]]") -> "dict[Hashable, int]":
    """How many pieces were inserted behind each, or behind one that was; without recursion."""
    behind: dict[Hashable, Hashable] = {}
    for origin, group in groups.items():
        for piece in group:
            behind[piece.last] = origin
    waiting = {origin: len(group) for origin, group in groups.items()}
    sizes: dict[Hashable, int] = dict.fromkeys(groups, 0)
    todo = [last for last in behind if last not in waiting]
    while todo:
        last = todo.pop()
        origin = behind.get(last, last)
        if origin == last:
            continue
        sizes[origin] += 1 + sizes.get(last, 0)
        waiting[origin] -= 1
        if not waiting[origin]:
            todo.append(origin)
    return sizes
