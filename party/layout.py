"""Layout: what lies in what, kept for one room so that no update can bring its document out of shape.

Owns: the home (parent and key) of every item, the depth of every shared type, and the refusal of an update
that contradicts them. Does not own: whether it is complete (admission). Keeps rules D2, D10. Pure.

yrs trusts an update in three things that Yjs clients always do and others need not, and ends the process or
reads freed memory when it is deceived (pycrdt 0.14.13, measured):

- Shared types lie not too deep in each other: it deletes recursively, and 50,000 maps within maps in 450 KB
  overflow the stack when the outermost is deleted.
- The neighbours of an item lie in one parent, under one key. Else lists grow together, an item outlives its
  parent, and the next encoding follows a pointer to freed memory.
- There is one value under a key. A struct of two that is deleted by half leaves such an item, too.

And it fails in the middle of an integration when a parent is a plain value.
"""

from bisect import bisect_right
from collections.abc import Mapping

from party.admission import MAX_CLOCK, SHARED, VALUE, Anatomy, Place, Reference
from party.errors import BadUpdate

Home = tuple[Reference | str, str | None]
"""Parent (an item or the name of a root type) and key; None instead when the item is gone."""

Index = Mapping[int, tuple[list[int], list[Place]]]
"""The places of one update by client: their clocks and themselves, in order."""


class Layout:
    """Homes by client id and clock, in runs of neighbours that share one."""

    def __init__(self, max_depth: int) -> None:
        self._max_depth = max_depth
        self._clocks: dict[int, list[int]] = {}
        self._homes: dict[int, list[tuple[Home | None, bool]]] = {}
        """With each home whether plain values live there (or did when they came)."""

        self._depths: dict[Reference, int] = {}
        """Every shared type, 1 for one in a root type."""

    def add(self, anatomy: Anatomy, known: Mapping[int, int]) -> None:
        """Take in a complete update on top of `known`, the room's client id -> next clock before it.

        Raises BadUpdate when it does not fit; nothing is taken in then.
        """
        places = _beyond(anatomy, known)
        index: dict[int, tuple[list[int], list[Place]]] = {}
        for place in places:
            clocks, mine = index.setdefault(place.client, ([], []))
            clocks.append(place.clock)
            mine.append(place)
        homes = self._find_homes(places, known, index)
        deleted = {client: sorted(ranges) for client, ranges in anatomy.deletions.items()}
        for place in places:
            self._check(place, homes, known, index, deleted)
        depths = self._find_depths(places, homes)
        self._depths |= depths
        for place in places:
            clocks = self._clocks.setdefault(place.client, [])
            runs = self._homes.setdefault(place.client, [])
            run = homes[place], place.kind == VALUE
            if not runs or runs[-1] != run:
                clocks.append(max(place.clock, known.get(place.client, 0)))
                runs.append(run)

    def _at(self, client: int, clock: int) -> tuple[Home | None, bool]:
        nth = bisect_right(self._clocks.get(client, ()), clock)
        return self._homes[client][nth - 1] if nth else (None, False)

    def _find_homes(
        self, places: list[Place], known: Mapping[int, int], index: Index
    ) -> dict[Place, Home | None]:
        """The home of each item, without recursion: chains of neighbours are as long as an update."""
        homes: dict[Place, Home | None] = {}
        for first in places:
            chain: dict[Place, None] = {}
            here: Place | None = first
            home: Home | None = None
            # a ring ends where it began: it is never integrated, and refused after the batch (D4)
            while here is not None and here not in chain:
                if here in homes:
                    home = homes[here]
                    break
                chain[here] = None
                near = here.left or here.right
                if near is None:
                    home = self._home_of(here, known, index)
                    break
                here = _find(near, known, index)
                if here is None:
                    home = self._at(*near)[0]
            homes.update(dict.fromkeys(chain, home))
        return homes

    def _home_of(self, place: Place, known: Mapping[int, int], index: Index) -> Home | None:
        """The home of a struct that names its parent, None when that is gone."""
        parent = place.parent
        if parent is None:
            return None
        if isinstance(parent, tuple) and parent not in self._depths and _find(parent, known, index) is None:
            home, is_value = self._at(*parent)
            # a child of a value is refused later; what became of a deleted type takes none, but quietly
            if home is None or not is_value:
                return None
        return parent, place.key

    def _check(
        self,
        place: Place,
        homes: Mapping[Place, Home | None],
        known: Mapping[int, int],
        index: Index,
        deletions: Mapping[int, list[Reference]],
    ) -> None:
        home = homes[place]
        client, clock = place.client, place.clock
        end = known.get(client, 0)
        around = [near for near in (place.left, place.right) if near is not None]
        if clock < end and (around or place.parent is not None):
            # half known: what is new of it goes behind what is known of it
            around.append((client, end - 1))
        for near in around:
            other = _find(near, known, index)
            if (self._at(*near)[0] if other is None else homes[other]) != home:
                raise BadUpdate("A struct in the update lies between structs of different parents or keys.")
        if home is None:
            return
        if home[1] is not None and place.right is not None:
            # clients put a value behind the one it replaces; with one before another, deleted itself or not,
            # it depends on the order of arrival which of them are deleted
            raise BadUpdate("A struct in the update puts a value under a key before another one.")
        if isinstance(home[0], tuple) and place.parent is not None:
            self._check_parent(home[0], homes, known, index)
        if place.kind == VALUE and place.length > 1 and home[1] is not None:
            ranges = deletions.get(client, [])
            nth = bisect_right(ranges, (clock, MAX_CLOCK))
            # clients write ranges that do not overlap, so the last one to begin before it is the one
            if not nth or ranges[nth - 1][1] < clock + place.length:
                raise BadUpdate("The update puts several values under one key.")

    def _check_parent(
        self, parent: Reference, homes: Mapping[Place, Home | None], known: Mapping[int, int], index: Index
    ) -> None:
        if parent in self._depths:
            return
        inside = _find(parent, known, index)
        if inside is None:
            home, is_value = self._at(*parent)
        else:
            home, is_value = homes[inside], inside.kind == VALUE
        if is_value and home is not None:
            raise BadUpdate("The parent of a struct in the update is no shared type.")

    def _find_depths(self, places: list[Place], homes: Mapping[Place, Home | None]) -> dict[Reference, int]:
        """The depth of each new shared type, without recursion."""
        parents: dict[Reference, Reference | None] = {}
        for place in places:
            home = homes[place]
            if place.kind == SHARED and home is not None:
                parents[place.client, place.clock] = home[0] if isinstance(home[0], tuple) else None
        depths: dict[Reference, int] = {}
        for first in parents:
            chain: dict[Reference, None] = {}
            here: Reference | None = first
            while here in parents and here not in depths and here not in chain:
                chain[here] = None
                here = parents[here]
            depth = 0 if here is None else depths.get(here) or self._depths.get(here, 0)
            for one in reversed(chain):
                depth += 1
                depths[one] = depth
        if depths and max(depths.values()) > self._max_depth:
            raise BadUpdate(f"Shared types may lie {self._max_depth} deep within each other, not deeper.")
        return depths


def _find(at: Reference, known: Mapping[int, int], index: Index) -> Place | None:
    """The struct of the same update that holds `at`; None when it is known from before."""
    client, clock = at
    if clock < known.get(client, 0) or client not in index:
        return None
    clocks, mine = index[client]
    nth = bisect_right(clocks, clock)
    return mine[nth - 1] if nth else None


def _beyond(anatomy: Anatomy, known: Mapping[int, int]) -> list[Place]:
    """The structs that are not wholly known."""
    return [one for one in anatomy.places if one.clock + one.length > known.get(one.client, 0)]
