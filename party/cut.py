"""Cut: an update without the structs of some clients.

Owns: taking out whole client blocks, and then what can't stand without them. Does not own: whose they are
(ownership). Keeps rule O3. Pure. Source: yjs src/utils/encoding.js.
"""

from collections.abc import Mapping

from party.admission import Anatomy, Reference, dissect
from party.wire import encode_uint


def cut(update: bytes, anatomy: Anatomy, clients: set[int], known: Mapping[int, int]) -> bytes:
    """`update` without the structs of `clients`, nor anything that builds on them or deletes them.

    `known` is the room's client id -> next clock. An update that only depends on what is left or known
    stays complete.
    """
    if not anatomy.places:
        anatomy = dissect(update)
    wanted: dict[int, set[Reference]] = {}
    for place in anatomy.places:
        near = wanted.setdefault(place.client, set())
        for one in (place.left, place.right, place.parent):
            if isinstance(one, tuple):
                near.add(one)
    ends = {client: max(known.get(client, 0), spans[-1][1]) for client, spans in anatomy.spans.items()}
    # who goes when one goes: those that point at what only it brings. Looked up: a chain of 44 KB took 3.7 s
    # when all were searched for each of its blocks
    builders: dict[int, list[int]] = {}
    gone = set(clients)
    for client, references in wanted.items():
        for near_client, clock in references:
            if clock < known.get(near_client, 0):
                continue
            if clock < ends.get(near_client, 0):
                builders.setdefault(near_client, []).append(client)
            else:
                gone.add(client)
    todo = list(gone)
    while todo:
        for client in builders.get(todo.pop(), ()):
            if client not in gone:
                gone.add(client)
                todo.append(client)
    kept = set(anatomy.blocks) - gone
    reach = dict(known) | {client: ends[client] for client in kept}
    out = bytearray(encode_uint(len(kept)))
    # in the order of the update: Yjs writes the greatest client id first
    for client, (start, stop) in anatomy.blocks.items():
        if client in kept:
            out += update[start:stop]
    out += _deletions(anatomy.deletions, reach)
    return bytes(out)


def _deletions(deletions: Mapping[int, list[Reference]], reach: Mapping[int, int]) -> bytes:
    """The delete set, of what can be reached."""
    out = bytearray()
    count = 0
    for client, ranges in deletions.items():
        end = reach.get(client, 0)
        left = [(start, min(stop, end)) for start, stop in ranges if start < end]
        if not left:
            continue
        count += 1
        out += encode_uint(client) + encode_uint(len(left))
        for start, stop in left:
            out += encode_uint(start) + encode_uint(stop - start)
    return encode_uint(count) + bytes(out)
