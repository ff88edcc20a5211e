"""Which worker a connection goes to."""

from collections import Counter

import pytest

from server.placement import HEAD_BYTES, MOST_ID_BYTES, find_room, find_slot, rank

ROOM = b"01jd3m8c2kqv7x0w5y9z4t6r1n"


@pytest.mark.parametrize(
    "line",
    [
        b"GET /parties/%s HTTP/1.1\r\n",
        b"GET /parties/%s?token=abc HTTP/1.1\r\n",
        b"GET /parties/%s/base HTTP/1.1\r\n",
        b"POST /parties/%s HTTP/1.1\r\n",
        b"PATCH /api/v1/rooms/%s HTTP/1.1\r\n",
        b"GET /api/v1/rooms/%s/document?root=notes HTTP/1.1\r\n",
        b"DELETE /api/v1/rooms/%s/assets/1/parts HTTP/1.0\r\n",
        b"GET /parties/%s",
    ],
)
def test_every_kind_of_request_names_its_room(line: bytes) -> None:
    """N1: the socket, the base and REST meet in one process."""
    head = line.replace(b"%s", ROOM)
    expected = None if head.endswith(ROOM) else ROOM
    assert find_room(head) == expected


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET /api/v1/rooms HTTP/1.1\r\n",
        b"GET /api/v1/rooms?limit=3 HTTP/1.1\r\n",
        b"GET /partiesx/abc HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"X" * 100,
        b"GET /parties/ HTTP/1.1\r\n",
    ],
)
def test_what_is_for_no_room_goes_anywhere(head: bytes) -> None:
    """N1: pages, sign-in, lists, and what is no request at all."""
    assert find_room(head) == b""


def test_a_request_that_comes_byte_by_byte_is_waited_for() -> None:
    """N1: until the room is told, and no byte longer."""
    head = b"GET /parties/" + ROOM + b"?token=x HTTP/1.1\r\n"
    told = head.index(b"?") + 1
    assert [find_room(head[:size]) for size in range(1, told)] == [None] * (told - 1)
    assert find_room(head[:told]) == ROOM


@pytest.mark.parametrize(
    ("head", "slot"),
    [
        (b"GET /metrics/0 HTTP/1.1\r\n", 0),
        (b"GET /metrics/12?x=1 HTTP/1.1\r\n", 12),
        (b"GET /metrics HTTP/1.1\r\n", None),
        (b"GET /metrics/ HTTP/1.1\r\n", None),
        (b"GET /metrics/-1 HTTP/1.1\r\n", None),
        (b"GET /metrics/1x HTTP/1.1\r\n", None),
        (b"GET /metrics/99999 HTTP/1.1\r\n", None),
        (b"GET /metricsx/1 HTTP/1.1\r\n", None),
        (b"GET /parties/1 HTTP/1.1\r\n", None),
        (b"X" * 100, None),
    ],
)
def test_a_worker_is_named_by_its_number(head: bytes, slot: int | None) -> None:
    """N10: complete, and a number that can be one."""
    assert find_slot(head) == slot


def test_a_worker_s_number_that_comes_byte_by_byte_is_waited_for() -> None:
    """N10: 1 may be the beginning of 12; noise is not waited for."""
    head = b"GET /metrics/12 HTTP/1.1\r\n"
    told = head.index(b" HTTP") + 1
    assert [find_room(head[:size]) for size in range(1, told)] == [None] * (told - 1)
    assert (find_room(head[:told]), find_slot(head[:told])) == (b"", 12)
    assert find_room(b"GET /metrics/12345") == find_room(b"GET /metrics/x") == b""


def test_a_room_of_any_length_is_told_within_the_bytes_that_are_looked_at() -> None:
    """N3: nobody is waited for who says nothing new."""
    for path in (b"/parties/", b"/api/v1/rooms/"):
        found = find_room((b"OPTIONS " + path + b"r" * 5000)[:HEAD_BYTES])
        assert found == b"r" * MOST_ID_BYTES
    for size in range(HEAD_BYTES, HEAD_BYTES + 3):
        for letter in (b" ", b"X", b"/", b"?"):
            assert find_room(letter * size) is not None


@pytest.mark.parametrize("workers", [2, 3, 5, 8])
def test_rooms_are_spread_evenly_and_only_a_lost_worker_s_rooms_move(workers: int) -> None:
    """N2: and they move to all the others, and back to where they were."""
    slots = list(range(workers))
    rooms = [b"room-%d" % number for number in range(6000)]
    before = {room: rank(room, slots) for room in rooms}
    shares = Counter(order[0] for order in before.values())
    fair = len(rooms) / workers
    assert all(0.88 * fair < shares[slot] < 1.12 * fair for slot in slots)
    left = [slot for slot in slots if slot != 1]
    stands_in: Counter[int] = Counter()
    for room, order in before.items():
        now = rank(room, left)
        assert now == [slot for slot in order if slot != 1]
        if order[0] == 1:
            stands_in[now[0]] += 1
    assert sorted(stands_in) == left
    assert min(stands_in.values()) > 0.75 * fair / len(left)
    assert rank(rooms[0], [3]) == [3]
    assert rank(rooms[0], []) == []
