"""server.frames: a client's bytes in, messages out; our messages in, bytes out. No sockets."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from server import frames
from server.bounds import Bounds
from server.frames import Closing, Control, Event, Large, Reader, Violation

BOUNDS = Bounds(max_message_bytes=10_000, large_bytes=1_000)


def sent(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A masked frame, as another implementation writes it."""
    return bytes(Frame(Opcode(opcode), data, fin=fin).serialize(mask=True))


def binary(data: bytes) -> bytes:
    return sent(frames.BINARY, data)


def events(data: bytes, *sizes: int, bounds: Bounds = BOUNDS) -> list[Event]:
    """What comes of `data` in chunks of these sizes, the last one repeated."""
    reader = Reader(bounds)
    found: list[Event] = []
    at = 0
    steps = list(sizes) or [len(data) or 1]
    while at < len(data):
        size = steps.pop(0) if len(steps) > 1 else steps[0]
        reader.feed(data[at : at + size])
        at += size
        while (event := reader.next()) is not None:
            found.append(event)
    return found


def refusal(data: bytes, bounds: Bounds = BOUNDS) -> tuple[int, str]:
    with pytest.raises(Violation) as caught:
        events(data, bounds=bounds)
    return caught.value.code, caught.value.reason


# -- what comes in ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 127, 999, 1000])
@pytest.mark.parametrize("chunk", [1, 2, 7, 5000])
def test_a_message_is_what_was_sent_however_it_arrives(size: int, chunk: int) -> None:
    """W7: all three lengths, every mask offset, cut anywhere."""
    message = bytes(n % 251 for n in range(size))
    assert events(binary(message) + binary(b"next"), chunk) == [message, b"next"]


def test_long_lengths_are_read() -> None:
    """W7: 64-bit lengths; RFC 6455 5.2."""
    bounds = Bounds(max_message_bytes=1 << 20, large_bytes=1 << 20)
    message = bytes(70_000)
    assert events(binary(message), 1 << 14, bounds=bounds) == [message]
    assert events(binary(message), bounds=bounds) == [message]


def test_fragments_are_joined_and_control_frames_come_between_them() -> None:
    """W7: RFC 6455 5.4."""
    data = (
        sent(frames.BINARY, b"one ", fin=False)
        + sent(frames.PING, b"?")
        + sent(frames.CONTINUATION, b"", fin=False)
        + sent(frames.CONTINUATION, b"message")
        + sent(frames.PONG)
    )
    for chunk in (1, 5, 1000):
        assert events(data, chunk) == [
            Control(frames.PING, b"?"),
            b"one message",
            Control(frames.PONG, b""),
        ]


@given(
    messages=st.lists(st.lists(st.binary(max_size=200), min_size=1, max_size=6), max_size=6),
    chunks=st.lists(st.integers(1, 90), min_size=1, max_size=12),
)
def test_any_fragments_in_any_chunks_are_the_messages(messages: list[list[bytes]], chunks: list[int]) -> None:
    """W7: how the bytes are cut, by the peer into fragments or by TCP, changes nothing."""
    bounds = replace(BOUNDS, large_bytes=5_000)
    data = b""
    for parts in messages:
        for number, part in enumerate(parts):
            opcode = frames.CONTINUATION if number else frames.BINARY
            data += sent(opcode, part, fin=number == len(parts) - 1)
    assert events(data, *chunks, bounds=bounds) == [b"".join(parts) for parts in messages]


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_end_in_events_or_one_violation(data: bytes, chunk: int) -> None:
    """W7: nothing a peer sends raises anything else, or makes the reader hold more than it sent."""
    reader = Reader(BOUNDS)
    violations: list[Violation] = []
    for at in range(0, len(data), chunk):
        reader.feed(data[at : at + chunk])
        while True:
            try:
                if reader.next() is None:
                    break
            except Violation as violation:
                violations.append(violation)
    assert {violation.code for violation in violations} <= {1002, 1007, 4400, 4413}
    assert all(len(violation.reason.encode()) <= 123 for violation in violations)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xc2\x80\0\0\0\0", "a reserved bit"),
        (b"\x92\x80\0\0\0\0", "another"),
        (b"\x82\x04oops", "no mask"),
        (b"\x83\x80\0\0\0\0", "an unknown opcode"),
        (b"\x8b\x80\0\0\0\0", "an unknown control opcode"),
        (b"\x09\x80\0\0\0\0", "a fragmented ping"),
        (b"\x89\xfe\0\x7e\0\0\0\0", "a ping of 126 bytes"),
        (b"\x80\x80\0\0\0\0", "a continuation of nothing"),
        (b"\x82\xff" + b"\xff" * 8 + b"\0\0\0\0", "a length of 64 bits"),
        # with masks of zeros: bytes of chance in a test's name would differ between processes
        (b"\x02\x81\0\0\0\0a" + b"\x82\x81\0\0\0\0b", "a message within a message"),
        (b"\x88\x81\0\0\0\0x", "half a close code"),
        (b"\x88\x82\0\0\0\0\x03\xed", "a close code that is never sent (1005)"),
        (b"\x88\x82\0\0\0\0\x0b\xb7", "a close code of nobody (2999)"),
    ],
)
def test_what_is_no_frame_is_1002(data: bytes, why: str) -> None:
    """W7: and the reason is a sentence."""
    code, reason = refusal(data)
    assert code == 1002, why
    assert reason.endswith(".")


def test_nothing_is_read_after_the_borders_are_lost() -> None:
    """W7: bytes after a violation of the framing mean nothing."""
    reader = Reader(BOUNDS)
    reader.feed(b"\x82\x04oops" + binary(b"x"))
    with pytest.raises(Violation):
        reader.next()
    reader.feed(binary(b"y"))
    assert reader.next() is None


def test_a_close_frame_is_the_last() -> None:
    """W7: with and without a code, and nothing after it."""
    assert events(sent(frames.CLOSE) + binary(b"late")) == [Closing(None, "")]
    assert events(sent(frames.CLOSE, struct.pack("!H", 1001) + "grüß".encode())) == [Closing(1001, "grüß")]
    assert refusal(sent(frames.CLOSE, struct.pack("!H", 1000) + b"\xff"))[0] == 1007


def test_text_is_refused_and_the_close_frame_is_still_found() -> None:
    """W1: 4400, before a byte of it has come; a client that closes politely is heard."""
    reader = Reader(BOUNDS)
    reader.feed(sent(frames.TEXT, b"hello", fin=False) + binary(b"x"))
    with pytest.raises(Violation) as caught:
        reader.next()
    assert caught.value.code == 4400
    reader = Reader(BOUNDS)
    reader.feed(sent(frames.TEXT, b"hello") + binary(b"x") + sent(frames.PING) + sent(frames.CLOSE))
    with pytest.raises(Violation):
        reader.next()
    assert [reader.next() for _ in range(4)] == [b"", b"", Control(frames.PING, b""), Closing(None, "")]


# -- limits -------------------------------------------------------------------------------------


def test_too_large_is_told_by_the_header() -> None:
    """W6: 4413 before the payload comes; the same for what fragments add up to."""
    code, reason = refusal(b"\x82\xff" + struct.pack("!Q", 10_001) + b"\0\0\0\0")
    assert code == 4413
    assert "10000" in reason
    parts = sent(frames.BINARY, bytes(6000), fin=False) + sent(frames.CONTINUATION, bytes(4001))
    reader = Reader(BOUNDS)
    reader.feed(parts + sent(frames.CLOSE))
    assert reader.next() == Large(10_000, b"\0\0")
    with pytest.raises(Violation) as caught:
        reader.next()
    assert caught.value.code == 4413
    assert [reader.next(), reader.next()] == [b"", Closing(None, "")]


@pytest.mark.parametrize("chunk", [1, 600, 50_000])
def test_a_large_message_is_announced_once_with_its_first_bytes(chunk: int) -> None:
    """W9: a frame with its own size; fragments with the most they may come to."""
    message = b"\x00\x01" + bytes(4_998)
    assert events(binary(message) + binary(b"x"), chunk) == [Large(5_000, b"\x00\x01"), message, b"x"]
    parts = [message[:800], message[800:1600], message[1600:]]
    data = (
        sent(frames.BINARY, parts[0], fin=False)
        + sent(frames.CONTINUATION, parts[1], fin=False)
        + sent(frames.CONTINUATION, parts[2])
    )
    assert events(data, chunk) == [Large(10_000, b"\x00\x01"), message]


def test_many_small_fragments_are_refused() -> None:
    """W8: 64 of any size, then 1 KiB on average."""
    bounds = Bounds()
    first = sent(frames.BINARY, b"", fin=False)
    tiny = sent(frames.CONTINUATION, b"x", fin=False)
    assert events(first + tiny * 63 + sent(frames.PING), bounds=bounds) == [Control(frames.PING, b"")]
    code, reason = refusal(first + tiny * 64, bounds)
    assert code == 4400
    assert "fragments" in reason
    large = sent(frames.CONTINUATION, bytes(1024), fin=False)
    end = sent(frames.CONTINUATION)
    assert events(first + large * 200 + end, bounds=bounds) == [bytes(200 * 1024)]


def test_a_message_half_read_is_known() -> None:
    """W8: also when it is only the header that is half there; not when all that came is complete."""
    whole = sent(frames.BINARY, b"part", fin=False) + sent(frames.CONTINUATION, b"rest")
    for cut in range(1, len(whole)):
        reader = Reader(BOUNDS)
        reader.feed(whole[:cut])
        assert reader.next() is None
        assert reader.is_midway
        reader.feed(whole[cut:])
        assert reader.next() == b"partrest"
        assert not reader.is_midway


def test_skimming_drops_messages_and_finds_the_close_frame() -> None:
    """S6: after our close frame only the peer's is looked for; a message half read goes on into nothing."""
    reader = Reader(BOUNDS)
    whole = binary(bytes(5_000))
    reader.feed(whole[:2_000])
    assert reader.next() == Large(5_000, b"\0\0")
    reader.skim()
    reader.feed(whole[2_000:] + binary(b"x") + sent(frames.BINARY, b"y", fin=False) + sent(frames.CLOSE))
    assert [reader.next() for _ in range(4)] == [b"", b"", b"", Closing(None, "")]


# -- what goes out ------------------------------------------------------------------------------


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
    framed = frames.frames((message,))
    assert (framed if isinstance(framed, bytes) else b"".join(framed)) == head + message


def test_messages_go_out_as_a_frame_each_in_order() -> None:
    """W1: one y-protocols message per WebSocket message, however many are written at once."""
    assert frames.frames((b"one", b"", b"three")) == b"\x82\x03one\x82\x00\x82\x05three"


def test_a_fan_out_is_framed_once_with_and_without_presence() -> None:
    update, presence = b"u" * 50, b"p" * 20
    both, alone = frames.frames((update, presence)), frames.frames((update,))
    for _ in range(3):
        assert frames.frames((update, presence)) is both
        assert frames.frames((update,)) is alone


def test_a_large_message_is_not_copied() -> None:
    """S1: a thousand who join at once share one document."""
    large = b"x" * (1 << 20)
    parts = frames.frames((b"a", large))
    assert parts == [b"\x82\x01", b"a", b"\x82\x7f" + struct.pack("!Q", 1 << 20), large]
    assert parts[3] is large


def test_close_frames_carry_code_and_reason() -> None:
    assert frames.close(4404, "gone") == b"\x88\x06\x11\x34gone"
    assert frames.close(None) == b"\x88\x00"
    assert frames.control(frames.PONG, b"abc") == b"\x8a\x03abc"
