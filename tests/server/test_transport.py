"""server.transport: bytes in, events out, without a socket."""

import struct

import pytest

from server.transport import frames


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\x00"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65535, b"\x82\x7e\xff\xff"),
        (65536, b"\x82\x7f" + struct.pack("!Q", 65536)),
    ],
)
def test_a_message_is_one_final_unmasked_binary_frame(size: int, head: bytes) -> None:
    """W1: RFC 6455 section 5.2; the shortest of the three lengths."""
    message = b"m" * size
    assert frames((message,)) == head + message


def test_messages_go_out_as_a_frame_each_in_order() -> None:
    """W1: one y-protocols message per WebSocket message, however many are written at once."""
    assert frames((b"one", b"", b"three")) == b"\x82\x03one\x82\x00\x82\x05three"


def test_a_fan_out_is_framed_once_with_and_without_presence() -> None:
    update, presence = b"u" * 50, b"p" * 20
    both, alone = frames((update, presence)), frames((update,))
    for _ in range(3):
        assert frames((update, presence)) is both
        assert frames((update,)) is alone


def test_a_large_frame_is_not_kept() -> None:
    large = b"x" * (1 << 20)
    assert frames((large,)) is not frames((large,))
