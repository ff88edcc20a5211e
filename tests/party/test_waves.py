"""The portions in which many are sent away."""

import pytest

from party.waves import MOST_WAVES, gap_s, retry_s, split


@pytest.mark.parametrize(
    ("people", "sizes"), [(0, []), (1, [1]), (25, [25]), (26, [13, 13]), (60, [20, 20, 20]), (250, [25] * 10)]
)
def test_few_leave_at_once_and_many_in_waves(people: int, sizes: list[int]) -> None:
    """N8: up to 25 in one."""
    assert [len(wave) for wave in split(range(people))] == sizes


@pytest.mark.parametrize("people", [251, 999, 1000, 12_345])
def test_however_many_there_are_ten_waves_do(people: int) -> None:
    """N8: everybody once, in order."""
    waves = split(range(people))
    assert len(waves) <= MOST_WAVES
    assert [one for wave in waves for one in wave] == list(range(people))


def test_the_gaps_are_uneven_and_end_in_time() -> None:
    """N8: two seconds on average, three at most, and never beyond three quarters of the deadline."""
    assert gap_s(5.0, 0.0) == pytest.approx(0.1)
    assert gap_s(5.0, 1.0) == pytest.approx(0.3)
    assert MOST_WAVES * gap_s(0.4, 1.0) <= 0.3 + 1e-9


def test_who_left_together_comes_back_one_by_one() -> None:
    """N8: within a second."""
    assert [retry_s(chance) for chance in (0.0, 0.5, 1.0)] == pytest.approx([0.1, 0.55, 1.0])
