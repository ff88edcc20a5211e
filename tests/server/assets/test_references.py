"""What a document refers to, in every place a name can stand in an update."""

import random

import pytest
from pycrdt import Array, Doc, Map, Text

from server.assets.references import PIECE_BYTES, find_names

HASH = "ab" * 32
ULID = "01kf3w9d2rj4x0v7c8m5qh6t1b"
PLACES = {
    "an image": lambda doc: doc.get("elements", type=Map).update(
        {"a": Map({"image": {"fileId": HASH, "scale": [1, 1]}})}
    ),
    "a link": lambda doc: doc.get("elements", type=Map).update(
        {"a": Map({"meta": {"link": f"https://kanvas.example/api/v1/assets/{ULID}?x"}})}
    ),
    "a text": lambda doc: doc.get("text", type=Text).insert(0, f"see aa{HASH}ff and {ULID}."),
    "a list": lambda doc: doc.get("list", type=Array).extend([1, HASH, None, [ULID]]),
    "a key": lambda doc: doc.get("map", type=Map).update({HASH: ULID}),
    "bytes": lambda doc: doc.get("map", type=Map).update({"a": HASH.encode() + ULID.encode()}),
}


@pytest.mark.parametrize("place", PLACES)
def test_named_anywhere(place: str) -> None:
    """A8."""
    doc = Doc()
    PLACES[place](doc)
    update = doc.get_update()
    found = find_names([update], [HASH, ULID, "cd" * 32])
    assert found == {name for name in (HASH, ULID) if name.encode() in update}
    assert found


def test_a_name_across_pieces() -> None:
    for shift in range(-70, 5):
        update = b"\x00" * (PIECE_BYTES + shift) + HASH.encode() + b"\x00" * 10
        assert find_names([update], [HASH]) == {HASH}


def test_what_is_not_named_is_not_found() -> None:
    assert find_names([], [HASH]) == set()
    assert find_names([HASH[:-1].encode(), ULID[1:].encode()], [HASH, ULID]) == set()
    noise = random.Random(1).randbytes(200_000)
    assert find_names([noise], [HASH, ULID]) == set()


def test_purged_content_is_not_found() -> None:
    """What the CRDT has forgotten keeps nothing."""
    doc = Doc()
    map_ = doc.get("map", type=Map)
    map_["a"] = HASH
    del map_["a"]
    fresh = Doc()
    fresh.apply_update(doc.get_update())
    assert find_names([fresh.get_update()], [HASH]) == set()
