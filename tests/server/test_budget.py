"""server.budget: who holds a share of the bytes for large messages, and who waits."""

from server.budget import Budget


class Asker:
    """Counts what it is granted."""

    def __init__(self) -> None:
        self.grants = 0

    def granted(self) -> None:
        self.grants += 1


def test_shares_go_in_the_order_they_were_asked_for() -> None:
    """W9: somebody small does not overtake somebody large, who would else wait for ever."""
    budget: Budget[Asker] = Budget(100)
    one, two, large, small = (Asker() for _ in range(4))
    assert budget.take(one, 50, 0.0)
    assert budget.take(two, 50, 0.0)
    assert not budget.take(large, 80, 1.0)
    assert not budget.take(small, 10, 2.0)
    budget.give_back(one)
    assert (large.grants, small.grants) == (0, 0)
    budget.give_back(two)
    assert (large.grants, small.grants) == (1, 1)
    assert budget.held_bytes == 90
    assert large in budget


def test_there_is_always_one_that_can_be_had() -> None:
    """W9: also for a message larger than the whole budget, when it is alone."""
    budget: Budget[Asker] = Budget(100)
    giant, next_one = Asker(), Asker()
    assert budget.take(giant, 1000, 0.0)
    assert not budget.take(next_one, 1, 0.0)
    budget.give_back(giant)
    assert next_one.grants == 1


def test_who_leaves_the_line_is_not_granted_anything() -> None:
    """W9: and lets those behind it go on; giving back twice is harmless."""
    budget: Budget[Asker] = Budget(100)
    holder, gone, behind = Asker(), Asker(), Asker()
    assert budget.take(holder, 60, 0.0)
    assert not budget.take(gone, 60, 0.0)
    assert not budget.take(behind, 30, 0.0)
    budget.give_back(gone)
    assert (gone.grants, behind.grants) == (0, 1)
    for _ in range(2):
        budget.give_back(holder)
        budget.give_back(behind)
    assert budget.held_bytes == 0


def test_who_waited_too_long_is_known() -> None:
    """W9: by when it asked."""
    budget: Budget[Asker] = Budget(100)
    holder, first, second = Asker(), Asker(), Asker()
    budget.take(holder, 100, 0.0)
    budget.take(first, 1, 1.0)
    budget.take(second, 1, 5.0)
    assert list(budget.waiting_since(1.0)) == []
    assert list(budget.waiting_since(5.0)) == [first]
