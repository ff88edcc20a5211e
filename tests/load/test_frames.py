"""The hand-written WebSocket client: what is sent is legal, what arrives is read right however split."""

import os
import random

import pytest
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from tests.load.frames import (
    BINARY,
    PING,
    BadAnswer,
    FrameReader,
    check_upgrade,
    encode_frame,
    upgrade_request,
)

SIZES = (0, 1, 125, 126, 65_535, 65_536, 200_000)


def server_frame(payload: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin=fin).serialize(mask=False)


def test_a_server_reads_what_we_send() -> None:
    server = ServerProtocol(max_size=None)
    request, accept = upgrade_request("127.0.0.1:1", "/room?token=a", (("X-One", "1"),))
    server.receive_data(request)
    asked = server.events_received()[0]
    assert asked.path == "/room?token=a"
    assert asked.headers["X-One"] == "1"
    server.send_response(server.accept(asked))
    check_upgrade(b"".join(server.data_to_send()).partition(b"\r\n\r\n")[0], accept)
    payloads = [os.urandom(size) for size in SIZES]
    server.receive_data(b"".join(encode_frame(one) for one in payloads) + encode_frame(b"?", PING))
    read = server.events_received()
    assert [one.data for one in read] == [*payloads, b"?"]
    assert read[-1].opcode is Opcode.PING


@pytest.mark.parametrize("seed", range(8))
def test_messages_are_whole_wherever_the_bytes_are_split(seed: int) -> None:
    dice = random.Random(seed)
    payloads = [dice.randbytes(size) for size in SIZES]
    halves = (
        server_frame(b"two ", fin=False)
        + server_frame(b"!", Opcode.PING)
        + server_frame(b"pieces", Opcode.CONT)
    )
    data = b"".join(server_frame(one) for one in payloads) + halves
    reader = FrameReader()
    assert reader.is_between
    found = []
    while data:
        size = dice.choice((1, 2, 3, 7, 100, 70_000, 300_000))
        found += reader.feed(data[:size])
        data = data[size:]
    assert reader.is_between
    expected = [(BINARY, one, len(one)) for one in payloads]
    assert found == [*expected, (PING, b"!", 1), (BINARY, b"two pieces", 10)]


def test_of_a_large_message_only_the_beginning_is_kept() -> None:
    payload = os.urandom(300_000)
    reader = FrameReader(keep_bytes=10)
    data = server_frame(payload) + server_frame(b"next")
    found = [message for at in range(0, len(data), 65_536) for message in reader.feed(data[at : at + 65_536])]
    assert found == [(BINARY, payload[:10], 300_000), (BINARY, b"next", 4)]


@pytest.mark.parametrize(
    "data",
    [
        encode_frame(b"masked"),
        b"\xc2\x01x",  # compressed
        b"\x80\x01x",  # goes on with nothing
    ],
)
def test_what_no_server_may_send_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        FrameReader().feed(data)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 403 Forbidden", b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: other"],
)
def test_another_answer_to_the_upgrade_is_told(head: bytes) -> None:
    with pytest.raises(BadAnswer):
        check_upgrade(head, b"accept")
