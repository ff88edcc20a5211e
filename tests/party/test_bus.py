"""party.bus: what nodes say comes through whole or not at all."""

from random import Random

import pytest

from party.bus import Beat, Codec, Here, Left, Message, Note, Opened, Presence, Rows, State
from party.errors import BadFrame
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
    codec = Codec(b"secret")
    assert codec.decode(codec.encode(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_another_installation_is_not_understood(message: Message) -> None:
    """B1: nor is anybody who does not know the key."""
    with pytest.raises(BadFrame):
        Codec(b"secret").decode(Codec(b"other").encode(message))


def test_damaged_bytes_are_refused() -> None:
    """B1: a bit turned, an end cut off, bytes behind it, anything at random."""
    random, codec = Random(5), Codec()
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
            codec.decode(bytes(data))


def test_bytes_with_the_right_digest_are_read_with_care() -> None:
    """B1: another version's, or a mistake of ours: an error and nothing else."""
    random, codec = Random(6), Codec()
    for message in MESSAGES * 60:
        body = bytearray(codec.encode(message)[16:])
        for _ in range(1 + random.randrange(3)):
            body[random.randrange(len(body))] = random.randrange(256)
        try:
            codec.decode(codec._digest(body) + body)
        except BadFrame:
            continue
