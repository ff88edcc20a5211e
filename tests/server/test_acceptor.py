"""The acceptor with real sockets and a clock of the test's; the workers are lists."""

import os
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server import acceptor
from server.acceptor import HEAD_S, MOST_WAITING, Acceptor
from server.placement import rank


class Port:
    """A listening socket, an acceptor before it, and what each worker was handed.

    Its time passes only while nothing comes: a machine that is busy is never too late.
    """

    def __init__(self, workers: int) -> None:
        self.now_s = 1000.0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.address = self.listener.getsockname()
        self.poll = select.poll()
        self.up = list(range(workers))
        self.full: set[int] = set()
        self.handed: dict[int, list[socket.socket]] = {slot: [] for slot in self.up}
        self.acceptor = Acceptor([self.listener], self.poll, lambda: list(self.up), self.hand)
        self.clients: list[socket.socket] = []

    def hand(self, slot: int, connection: socket.socket) -> bool:
        if slot in self.full:
            return False
        self.handed[slot].append(connection.dup())
        return True

    def connect(self, head: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.address, timeout=60)
        client.sendall(head)
        self.clients.append(client)
        return client

    def turn(self, until: Callable[[], object]) -> float:
        """The supervisor's loop until something is so; returns how long it took."""
        began, end = self.now_s, time.monotonic() + 60
        while not until():
            assert time.monotonic() < end, "waited in vain"
            due_s = self.acceptor.due_s(self.now_s)
            wait_s = min(0.1, 0.1 if due_s is None else due_s)
            events = self.poll.poll(wait_s * 1000)
            if not events:
                # a moment more: sums of fractions are not exact
                self.now_s += wait_s + 1e-6
            for handle, _ in events:
                assert self.acceptor.mine(handle)
                self.acceptor.ready(handle, self.now_s)
            self.acceptor.tick(self.now_s)
        return self.now_s - began

    def count(self) -> int:
        return sum(map(len, self.handed.values()))

    def close(self) -> None:
        self.acceptor.close()
        for one in [*self.clients, *(each for slot in self.handed.values() for each in slot)]:
            one.close()


@pytest.fixture
def port() -> Iterator[Port]:
    made = Port(3)
    yield made
    made.close()


def count_handles() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def request(room: str) -> bytes:
    return f"GET /parties/{room}?token=x HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def test_a_connection_goes_to_its_room_s_worker_unread(port: Port) -> None:
    """N1, N3: all of a request is still in the socket, and it has the client's address."""
    for number in range(60):
        port.connect(request(f"room-{number % 12}"))
    port.turn(lambda: port.count() == 60)
    for slot, handed in port.handed.items():
        for connection in handed:
            head = connection.recv(1000)
            room = head.split(b"?")[0].rpartition(b"/")[2]
            assert rank(room, [0, 1, 2])[0] == slot
            assert head == request(room.decode())
    peers = {one.getpeername() for handed in port.handed.values() for one in handed}
    assert peers == {client.getsockname() for client in port.clients}


def test_what_has_no_room_goes_round_robin(port: Port) -> None:
    """N1: to each worker as many."""
    for _ in range(30):
        port.connect(b"GET / HTTP/1.1\r\n\r\n")
    port.turn(lambda: port.count() == 30)
    assert [len(handed) for handed in port.handed.values()] == [10, 10, 10]


def test_a_worker_that_is_named_gets_the_connection(port: Port) -> None:
    """N10: each time the same, whosever turn it is; one that is not there is answered by another."""
    for _ in range(3):
        port.connect(b"GET /metrics/2 HTTP/1.1\r\nHost: a\r\n\r\n")
    port.turn(lambda: port.count() == 3)
    assert len(port.handed[2]) == 3
    port.connect(b"GET /metrics/7 HTTP/1.1\r\n")
    port.turn(lambda: port.count() == 4)
    port.full = {2}
    port.connect(b"GET /metrics/2 HTTP/1.1\r\n")
    port.connect(request("other"))
    port.turn(lambda: port.count() == 5)
    port.full = set()
    port.turn(lambda: len(port.handed[2]) >= 4)


def test_slow_heads_hold_up_nobody_and_are_handed_on(port: Port) -> None:
    """N3: who says nothing, or half a line, goes to any worker after half a second."""
    port.connect()
    slow = port.connect(b"GET /par")
    port.connect(request("quick"))
    assert port.turn(lambda: port.count() == 1) < HEAD_S
    slow.sendall(b"ties/slow?x")
    assert port.turn(lambda: port.count() == 2) < HEAD_S
    assert len(port.handed[rank(b"slow", [0, 1, 2])[0]]) >= 1
    port.turn(lambda: port.count() == 3)
    client = port.connect(b"GET /part")
    port.turn(lambda: port.count() == 4)
    client.close()


def test_half_a_line_costs_no_processor_time(port: Port) -> None:
    """N3: it stays readable, and yet the loop sleeps."""
    for _ in range(50):
        port.connect(b"GET /part")
    began = time.process_time()
    port.turn(lambda: port.count() == 50)
    assert time.process_time() - began < 0.6 * HEAD_S


def test_who_hangs_up_or_resets_is_forgotten(port: Port) -> None:
    """N3: nothing is left of them."""
    before = count_handles()
    for _ in range(5):
        port.connect().close()
        rude = port.connect(b"GET /par")
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        rude.close()
    port.connect(request("good"))
    port.turn(lambda: port.count() == 1)
    port.turn(lambda: not port.acceptor._waiting)
    assert count_handles() <= before + 2 * port.count() + 1


def test_more_silent_connections_than_are_held_make_room(port: Port) -> None:
    """N3: the oldest are handed on before their time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    try:
        for _ in range(MOST_WAITING + 50):
            port.connect()
        port.connect(request("good"))
        took_s = port.turn(lambda: any(map(is_request, port.handed.values())))
        assert took_s < HEAD_S
        assert port.count() >= 51
        assert len(port.acceptor._waiting) <= MOST_WAITING
    finally:
        port.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def is_request(handed: list[socket.socket]) -> bool:
    for one in handed:
        one.setblocking(False)
        try:
            if one.recv(10, socket.MSG_PEEK):
                return True
        except BlockingIOError:
            continue
    return False


def test_a_full_worker_is_passed_over_and_a_gone_one_s_share_moves(port: Port) -> None:
    """N2, N4: to whoever stands in for that room, and back."""
    order = rank(b"r", [0, 1, 2])
    port.full = {order[0]}
    port.connect(request("r"))
    port.turn(lambda: port.handed[order[1]])
    port.up = [slot for slot in port.up if slot not in order[:2]]
    port.connect(request("r"))
    port.turn(lambda: port.handed[order[2]])
    port.up, port.full = [0, 1, 2], set()
    port.connect(request("r"))
    port.turn(lambda: port.handed[order[0]])


def test_a_closed_port_leaves_nothing_to_wake_for(port: Port) -> None:
    """N3: a drain takes seconds, in which the supervisor sleeps; who waited is let go."""
    waiting = port.connect()
    port.turn(lambda: port.acceptor._waiting)
    port.acceptor.close()
    assert port.poll.poll(100) == []
    assert waiting.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        port.connect()


def test_while_there_is_no_worker_the_kernel_holds_what_comes(port: Port) -> None:
    """N4: nobody is refused, and nothing is held here."""
    port.up = []
    port.connect(request("r"))
    port.acceptor.tick(port.now_s)
    assert port.acceptor.due_s(port.now_s) == acceptor.IDLE_LOOK_S
    end = port.now_s + 0.2
    port.turn(lambda: port.now_s > end)
    assert not port.acceptor._waiting
    port.up = [2]
    port.turn(lambda: port.handed[2])


def test_while_every_worker_is_full_a_bounded_number_waits(port: Port) -> None:
    """N4: and all of them are served once one has room."""
    port.turn(lambda: port.acceptor._is_open)
    port.full = {0, 1, 2}
    for number in range(20):
        port.connect(request(f"r{number}"))
    port.turn(lambda: len(port.acceptor._waiting) == 20)
    port.full = {0}
    port.turn(lambda: port.count() == 20)
    assert not port.handed[0]
    assert not port.acceptor._waiting


def test_a_held_room_waits_for_its_worker_alone(port: Port) -> None:
    """N6: others are served meanwhile; after the hold it goes to whoever stands in."""
    port.turn(lambda: port.acceptor._is_open)
    order = rank(b"bad", [0, 1, 2])
    port.up = order[1:]
    port.acceptor.hold(b"bad", order[0], port.now_s + 0.4)
    port.connect(request("bad"))
    port.connect(request("good"))
    port.turn(lambda: port.count() == 1)
    assert len(port.acceptor._waiting) == 1
    port.up = [0, 1, 2]
    port.turn(lambda: port.handed[order[0]])
    port.up = order[1:]
    port.connect(request("bad"))
    assert port.turn(lambda: port.count() == 3) > 0.1


def test_without_file_handles_it_pauses_and_goes_on(port: Port) -> None:
    """N4: a short pause instead of a busy loop; the connection waits in the kernel's queue."""
    port.turn(lambda: port.acceptor._is_open)
    client = port.connect(request("r"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        port.turn(lambda: port.acceptor._paused_until_s)
        assert not port.acceptor._is_open
        began, end = time.process_time(), port.now_s + 0.3
        port.turn(lambda: port.now_s > end)
        assert time.process_time() - began < 0.1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    port.turn(lambda: port.count() == 1)
    client.close()
