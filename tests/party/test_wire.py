"""party.wire: bytes to messages and back, against pycrdt's own encoders where they are right."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycrdt import Doc, Map, create_awareness_message, create_sync_message, create_update_message

from party import wire
from party.errors import BadFrame, BadUpdate
from party.wire import MAX_SAFE_INTEGER, ClientState
from tests.party.updates import text, uint

numbers = st.integers(0, MAX_SAFE_INTEGER)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
messages = st.one_of(
    st.builds(wire.Step1, st.binary()),
    st.builds(wire.Step2, st.binary()),
    st.builds(wire.Update, st.binary()),
    st.builds(wire.Awareness, st.binary()),
    st.just(wire.QueryAwareness()),
)


def encode(message: wire.Message) -> bytes:
    match message:
        case wire.Step1(state_vector):
            return wire.encode_step_1(state_vector)
        case wire.Step2(update):
            return wire.encode_step_2(update)
        case wire.Update(update):
            return wire.encode_update(update)
        case wire.Awareness(payload):
            return wire.encode_awareness(payload)
        case wire.QueryAwareness():
            return b"\x03"


@given(messages)
def test_messages_round_trip(message: wire.Message) -> None:
    """W1, W4: what we write is one message, and it is the one we read."""
    assert wire.decode_message(encode(message)) == message


@given(messages, st.binary(min_size=1))
def test_trailing_bytes_are_refused(message: wire.Message, more: bytes) -> None:
    """W1: y-websocket would read the first message and drop the rest silently; we refuse both."""
    with pytest.raises(BadFrame):
        wire.decode_message(encode(message) + more)


@given(messages, st.data())
def test_a_message_that_is_cut_off_is_refused(message: wire.Message, data: st.DataObject) -> None:
    """W1: every shorter beginning of a message is no message."""
    whole = encode(message)
    with pytest.raises(BadFrame):
        wire.decode_message(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("data", [b"", b"\x02\x00", b"\x04", b"\x00\x03\x00", b"\x05\x01\x00", b"\x7f"])
def test_unknown_types_are_refused(data: bytes) -> None:
    """W1: auth, types of other servers and unknown sync steps close their sender."""
    with pytest.raises(BadFrame):
        wire.decode_message(data)


@given(st.binary(max_size=200))
def test_nothing_but_bad_frame_comes_out(data: bytes) -> None:
    """W1, W3: whatever the bytes are, the answer is a message or BadFrame."""
    for decode in (wire.decode_message, wire.decode_state_vector, wire.decode_awareness):
        with suppress(BadFrame):
            decode(data)


@given(numbers)
def test_numbers_round_trip(number: int) -> None:
    """W2: up to 2^53 - 1, in at most eight groups."""
    encoded = wire.encode_uint(number)
    assert encoded == uint(number)
    assert len(encoded) <= 8
    reader = wire.Reader(encoded)
    assert reader.uint() == number
    reader.finish()


@pytest.mark.parametrize(
    "data",
    [
        uint(2**53),
        uint(2**56),
        uint(2**64),
        b"\x80" * 8 + b"\x00",
        b"\xff" * 9,
        b"\x80",
        b"",
        b"\x80" * 100_000,
    ],
)
def test_numbers_that_are_too_large_are_refused(data: bytes) -> None:
    """W2: a ninth group, a larger value, an end without a last group."""
    for error in (BadFrame, BadUpdate):
        with pytest.raises(error):
            wire.Reader(data, error).uint()


@pytest.mark.parametrize("count", [1, 1000, 2**31, MAX_SAFE_INTEGER])
def test_counts_are_checked_before_loops(count: int) -> None:
    """W3: a promise of a billion entries in three bytes costs nothing."""
    with pytest.raises(BadFrame, match="promises more"):
        wire.decode_state_vector(uint(count))
    with pytest.raises(BadFrame, match="promises more"):
        wire.decode_awareness(uint(count) + b"\x01")
    with pytest.raises(BadFrame):
        wire.Reader(uint(count)).buffer()


@given(st.dictionaries(numbers, numbers, max_size=20))
def test_state_vectors_round_trip(vector: dict[int, int]) -> None:
    """W4: and they are written in the order of Yjs, highest client first."""
    encoded = wire.encode_state_vector(vector)
    assert wire.decode_state_vector(encoded) == vector
    assert list(wire.decode_state_vector(encoded)) == sorted(vector, reverse=True)


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_pycrdt_encodes_we_decode(key: str, value: str) -> None:
    """W4: sync messages of a Yjs document with any text in it, and back into one."""
    doc: Doc[Any] = Doc()
    doc.get("m", type=Map)[key] = value
    update = doc.get_update()
    assert wire.decode_message(create_update_message(update)) == wire.Update(update)
    assert wire.decode_message(create_sync_message(doc)) == wire.Step1(doc.get_state())
    assert wire.encode_update(update) == create_update_message(update)
    assert wire.decode_message(create_awareness_message(b"abc")) == wire.Awareness(b"abc")
    assert wire.decode_state_vector(doc.get_state()) == {doc.client_id: 1}


@given(st.lists(st.tuples(numbers, numbers, json_values), max_size=5))
def test_awareness_round_trips(states: list[tuple[int, int, Any]]) -> None:
    """W4, W5: any JSON value, any Unicode text."""
    given_states = [ClientState(*one) for one in states]
    payload = wire.encode_awareness_states(given_states)
    assert wire.decode_awareness(payload) == given_states


def test_awareness_is_written_as_json_stringify_does() -> None:
    """W4: compact, UTF-8 unescaped, keys in their order; a lone surrogate stays escaped."""
    assert wire.encode_state({"b": [1, None, "é😀"], "a": True}) == '{"b":[1,null,"é😀"],"a":true}'.encode()
    assert wire.encode_state("\ud800") == b'"\\ud800"'


def awareness(state: bytes) -> bytes:
    return uint(1) + uint(7) + uint(1) + text(state)


@pytest.mark.parametrize(
    "state",
    [
        b"NaN",
        b"Infinity",
        b'{"x":-Infinity}',
        b"1e999",
        b'{"x":[-1e400]}',
        b"",
        b"{",
        b"'a'",
        b"{}x",
        b"\xff",
    ],
)
def test_what_is_not_json_is_refused(state: bytes) -> None:
    """W5: also a number that could only be written again as Infinity."""
    with pytest.raises(BadFrame):
        wire.decode_awareness(awareness(state))


@pytest.mark.parametrize("depth", [990, 5_000, 100_000])
def test_deep_json_is_refused_or_read_but_never_ends_the_process(depth: int) -> None:
    """W5: nesting costs its sender, not the stack."""
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        try:
            states = wire.decode_awareness(awareness(opening * depth + b"1" + closing * depth))
            wire.encode_awareness_states(states)
        except BadFrame:
            continue


def test_a_value_that_is_no_json_is_not_written() -> None:
    """W5: neither NaN nor Infinity leaves the server."""
    for value in (
        float("nan"),
        float("inf"),
        {"x": [float("-inf")]},
        "\ud800" + json.dumps(1),
        [float("nan"), "\ud800"],
    ):
        try:
            encoded = wire.encode_state(value)
        except BadFrame:
            continue
        assert b"NaN" not in encoded
        assert b"Infinity" not in encoded
