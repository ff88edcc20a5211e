"""How a file is sealed: sizes, pieces of any length, and everything that can be done to it."""

import random

import pytest

from db.errors import Damaged
from server.vault.segments import (
    HEADER_BYTES,
    SEALED_BYTES,
    SEGMENT_BYTES,
    Opener,
    Sealer,
    plain_size,
    sealed_size,
)

RAW = b"k" * 32
NAME = "images/ada/a.png"
SIZES = (0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES, 3 * SEGMENT_BYTES + 5)


def seal(data: bytes, step: int = 50_000, name: str = NAME) -> bytes:
    sealer = Sealer(RAW, name)
    return sealer.header + b"".join(
        [*(sealer.push(data[at : at + step]) for at in range(0, len(data), step)), sealer.end()]
    )


def unseal(sealed: bytes, step: int = 70_000, name: str = NAME) -> bytes:
    opener = Opener(RAW, name, sealed[:HEADER_BYTES], 0)
    rest = sealed[HEADER_BYTES:]
    return b"".join([*(opener.push(rest[at : at + step]) for at in range(0, len(rest), step)), opener.end()])


@pytest.mark.parametrize("size_bytes", SIZES)
def test_a_file_of_any_size_in_pieces_of_any_size(size_bytes: int) -> None:
    """Z5."""
    data = random.Random(size_bytes).randbytes(size_bytes)
    for step in (7_001, SEGMENT_BYTES, SEALED_BYTES, 1_000_000):
        sealed = seal(data, step)
        assert len(sealed) == sealed_size(size_bytes)
        assert plain_size(len(sealed)) == size_bytes
        assert unseal(sealed, step) == data
    if size_bytes > 16:
        assert data[:16] not in seal(data)


def test_whatever_is_done_to_it_is_noticed() -> None:
    """Z2 Z5: cut off at any place, segments left out, moved, repeated or of another file; another name."""
    data = random.Random(1).randbytes(3 * SEGMENT_BYTES + 5)
    sealed, other = seal(data), seal(data)
    header, rest = sealed[:HEADER_BYTES], sealed[HEADER_BYTES:]
    parts = [rest[at : at + SEALED_BYTES] for at in range(0, len(rest), SEALED_BYTES)]
    first, second, third, last = parts
    broken = [
        b"",
        header,
        header[:-1],
        *(header + b"".join(parts[:count]) for count in (1, 2, 3)),
        *(sealed[:-cut] for cut in (1, 5, 20, 21, 22)),
        header + second + first + third + last,
        header + first + third + last,
        header + first + first + third + last,
        header + b"".join(parts) + last,
        sealed + b"x",
        other[:HEADER_BYTES] + rest,
        header + other[HEADER_BYTES:][:SEALED_BYTES] + second + third + last,
        b"KVB2" + sealed[4:],
        sealed[:100] + bytes([sealed[100] ^ 1]) + sealed[101:],
    ]
    for one in broken:
        with pytest.raises(Damaged):
            unseal(one)
    with pytest.raises(Damaged, match=r"images/ada/b\.png"):
        unseal(sealed, name="images/ada/b.png")
    assert unseal(sealed) == data


@pytest.mark.parametrize("sealed_bytes", [0, 1, HEADER_BYTES, HEADER_BYTES + 1, HEADER_BYTES + 16])
def test_what_can_be_none_has_no_size(sealed_bytes: int) -> None:
    assert plain_size(sealed_bytes) == 0
