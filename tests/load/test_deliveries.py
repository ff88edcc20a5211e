"""Counting deliveries: the author's echo is none, what comes twice counts once, what comes late too."""

from tests.load.deliveries import Author, Digest, Knowledge, Ledger, Room


class Hearing:
    """One client that hears of a room with two authors of ten edits each, sent 0.01 s apart."""

    def __init__(self, listens_as: int | None = None) -> None:
        self.room = Room()
        self.ledger = Ledger()
        for index in range(2):
            sent = [0.01 * number for number in range(10)]
            self.room.authors.append(Author(self.room, index, 100 + index, first_clock=5, sent=sent))
        self.known: Knowledge = self.room.start()
        self.me = None if listens_as is None else self.room.authors[listens_as]

    def hear(self, *ranges: tuple[int, int, int], at: float = 1.0) -> None:
        authors = self.room.authors
        digest = Digest([(authors[index], start, stop) for index, start, stop in ranges], [])
        self.known, gain = self.room.learn(self.known, digest)
        if gain is not None:
            self.ledger.receive(gain, at, self.me)


def test_an_edit_is_counted_once_however_it_comes() -> None:
    client = Hearing()
    client.hear((0, 5, 7))
    client.hear((0, 5, 7))
    client.hear((0, 6, 9), (1, 5, 6))
    assert client.ledger.delivered == 5


def test_what_lies_before_the_first_edit_does_not_count() -> None:
    client = Hearing()
    client.hear((0, 0, 5))
    client.hear((0, 0, 6))
    assert client.ledger.delivered == 1


def test_an_edit_that_was_overtaken_counts_when_it_comes() -> None:
    client = Hearing()
    client.hear((0, 7, 8))
    assert client.ledger.delivered == 1
    client.hear((0, 5, 6))
    client.hear((0, 5, 7))
    client.hear((0, 5, 8))
    assert client.ledger.delivered == 3


def test_the_echo_of_an_own_edit_is_no_delivery_and_has_no_latency() -> None:
    client = Hearing(listens_as=0)
    client.hear((0, 5, 15), (1, 5, 6), at=2.0)
    assert client.ledger.delivered == 1
    assert client.ledger.quantile_ms(0.5) is not None
    assert abs((client.ledger.quantile_ms(0.99) or 0) - 2000) < 0.1


def test_quantiles_are_those_of_the_latencies() -> None:
    client = Hearing()
    for number in range(10):
        client.hear((0, 5 + number, 6 + number), at=0.01 * number + 0.001 * (number + 1))
    assert abs((client.ledger.quantile_ms(0.5) or 0) - 5) < 0.1
    assert abs((client.ledger.quantile_ms(0.99) or 0) - 10) < 0.1


def test_clients_that_know_the_same_share_it() -> None:
    """That is what makes counting for a hundred clients as cheap as for one."""
    client = Hearing()
    first = client.known
    client.hear((0, 5, 6))
    client.hear((0, 6, 7))
    one = client.known
    client.known = first
    client.hear((0, 5, 7))
    assert client.known is one
