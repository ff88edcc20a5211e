"""party.view: what everybody but the room's loop may read."""

from party.view import MAX_RENEW_S, CommittedView
from party.wire import decode_state_vector, encode_update


def view() -> CommittedView:
    return CommittedView(epoch=3, seq=10, base=b"base", vector={1: 5}, now=0.0)


def test_a_commit_moves_everything_at_once() -> None:
    """R4: version, state vector and frames are those of the last commit."""
    seen = view()
    assert (seen.version, decode_state_vector(seen.state_vector)) == ("3-10", {1: 5})
    seen.commit(12, [b"one", b"two"], {1: 7, 2: 1})
    assert seen.version == "3-12"
    assert decode_state_vector(seen.state_vector) == {1: 7, 2: 1}
    assert seen.frames == [(12, b"one"), (12, b"two")]
    assert (seen.tail_bytes, seen.size_bytes) == (6, 10)


def test_a_delete_moves_the_version_but_not_the_state_vector() -> None:
    """R4: the version is what tells two states apart."""
    seen = view()
    before = seen.state_vector
    seen.commit(11, [b"delete"], {})
    assert seen.version == "3-11"
    assert seen.state_vector is before


def test_what_was_missed_is_found_until_it_is_folded() -> None:
    """R8: the frames after a sequence number, or None when only the base has them."""
    seen = view()
    seen.commit(11, [b"a"], {})
    seen.commit(13, [b"b", b"c"], {})
    assert seen.since(10) == [encode_update(one) for one in (b"a", b"b", b"c")]
    assert seen.since(11) == seen.tail_messages()[1:]
    assert seen.since(13) == []
    seen.renew(b"all", 1.0)
    assert seen.since(12) is None
    assert seen.since(13) == []
    assert (seen.base, seen.base_seq, seen.frames, seen.tail_bytes) == (b"all", 13, [], 0)


def test_folding_is_paced_by_size() -> None:
    """R4: a storm of joins encodes nothing."""
    seen = view()
    assert not seen.is_renewable(100.0)
    seen.commit(11, [b"x" * 70_000], {})
    assert not seen.is_renewable(0.01)
    assert seen.is_renewable(0.1)
    assert seen.is_overgrown(0.1)
    seen.renew(b"y" * 100_000_000, 0.1)
    seen.commit(12, [b"x" * 70_000], {})
    assert not seen.is_overgrown(MAX_RENEW_S * 2)
    assert not seen.is_renewable(MAX_RENEW_S)
    assert seen.is_renewable(MAX_RENEW_S + 0.1)
