"""party.bus: what nodes say comes through whole or not at all."""

from random import Random

import pytest

from party.bus import Beat, Codec, Here, Left, Message, Note, Opened, Presence, Rows, State
from party.errors import BadFrame
from party.freshness import MOST_NODES, OLDEST_US, WINDOW, Freshness
from party.ports import Owner, Principal

ADA = Principal("ada", "Ada é😀", "owner")
VERA = Principal("vera", "", "viewer")
STATES = (State(2**53 - 1, 7, b'{"a":1}', "ada"), State(3, 0, b"null", ""))
MESSAGES: list[Message] = [
    Beat(0),
    Beat(2**40),
    Opened(()),
    Opened(("r", "é"), asks=False),
    Here("r", 3, 70_000, STATES, (ADA, VERA), asks=True),
    Here("r", 1, 0, (), (), asks=False),
    Left("r"),
    Rows("r", 1, 5, 9, (b"", b"\xff" * 300), {7: Owner("ada"), 2**53 - 1: Owner("vera", is_relayed=True)}),
    Rows("r", 1, 1, 1, is_whole=False),
    Presence("r", STATES),
    Presence("r", (), ()),
    Presence("r", (), (ADA,)),
    Note("evict", bytes(range(256))),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    """B1."""
    assert Codec("b", b"secret").decode(Codec("a", b"secret").encode(message), "a") == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_another_installation_is_not_understood(message: Message) -> None:
    """B1: nor is anybody who does not know the key."""
    with pytest.raises(BadFrame):
        Codec("b", b"secret").decode(Codec("a", b"other").encode(message), "a")
    # nor is one node taken for another
    with pytest.raises(BadFrame):
        Codec("b", b"secret").decode(Codec("a", b"secret").encode(message), "c")


def test_damaged_bytes_are_refused() -> None:
    """B1: a bit turned, an end cut off, bytes behind it, anything at random."""
    random, codec = Random(5), Codec("a")
    for message in MESSAGES * 20:
        data = bytearray(codec.encode(message))
        how = random.randrange(4)
        if how == 0:
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        elif how == 1:
            del data[random.randrange(len(data)) :]
        elif how == 2:
            data += random.randbytes(1 + random.randrange(4))
        else:
            data = bytearray(random.randbytes(random.randrange(60)))
        with pytest.raises(BadFrame):
            codec.decode(bytes(data), "a")


def test_bytes_with_the_right_digest_are_read_with_care() -> None:
    """B1: another version's, or a mistake of ours: an error and nothing else."""
    random, codec = Random(6), Codec("a")
    for message in MESSAGES * 60:
        body = bytearray(codec.encode(message)[16:])
        for _ in range(1 + random.randrange(3)):
            body[random.randrange(len(body))] = random.randrange(256)
        try:
            codec.decode(codec._digest("a", body) + body, "a")
        except BadFrame:
            continue


def test_a_message_is_heard_once() -> None:
    """B12: also when another came in between; and late ones as long as not too many overtook them."""
    codec, other = Codec("a"), Codec("b")
    first, late, *many = (codec.encode(Beat(number)) for number in range(WINDOW + 5))
    assert other.decode(first, "a") == Beat(0)
    assert other.decode(many[0], "a") == Beat(2)
    assert other.decode(late, "a") == Beat(1)
    for again in (first, late, many[0]):
        with pytest.raises(BadFrame):
            other.decode(again, "a")
    for one in many[2:]:
        other.decode(one, "a")
    with pytest.raises(BadFrame):
        other.decode(many[1], "a")


def test_an_old_message_of_nobody_who_is_known_is_not_heard() -> None:
    """B12: a node that has just started knows of no numbers; clocks may differ a little."""
    now_us = 10**15
    codec = Codec("a", clock=lambda: now_us)
    evict = codec.encode(Note("evict", b"room_not_found r words"))
    with pytest.raises(BadFrame):
        Codec("b", clock=lambda: now_us + OLDEST_US + 1).decode(evict, "a")
    assert Codec("b", clock=lambda: now_us + OLDEST_US).decode(evict, "a")
    assert Codec("b", clock=lambda: now_us - OLDEST_US).decode(evict, "a")


def test_numbers_grow_when_the_clock_does_not() -> None:
    """B12: it may be set back."""
    times = iter([10**15, 10**15, 5, 10**15 + 7])
    codec, other = Codec("a", clock=lambda: next(times)), Codec("b", clock=lambda: 10**15)
    for number in range(4):
        assert other.decode(codec.encode(Beat(number)), "a") == Beat(number)


def test_the_nodes_that_are_remembered_are_bounded() -> None:
    """B12."""
    fresh = Freshness()
    for number in range(MOST_NODES + 5):
        assert fresh.is_new(f"n{number}", 1, 0)
    assert len(fresh._nodes) == MOST_NODES
    assert not fresh.is_new(f"n{MOST_NODES}", 1, 0)
