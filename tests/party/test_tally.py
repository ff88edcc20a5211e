"""What is counted, and how little of it there can be."""

from hypothesis import given
from hypothesis import strategies as st

from party.tally import MOST_KEYS, OTHER, Buckets, Family, Meter


@given(st.lists(st.floats(min_value=0, max_value=100, allow_nan=False)))
def test_every_value_is_in_one_bucket(values: list[float]) -> None:
    """M1: at most its bound, and the last one takes the rest."""
    buckets = Buckets((0.1, 1.0, 10.0))
    for value in values:
        buckets.note(value)
    assert buckets.count == len(values)
    assert buckets.counts[0] == sum(value <= 0.1 for value in values)
    assert buckets.counts[-1] == sum(value > 10.0 for value in values)


def test_a_family_stays_small_whatever_is_counted() -> None:
    """M2: words beyond the most are one."""
    family, meter = Family(), Meter()
    for number in range(10 * MOST_KEYS):
        family.bump(f"w{number}")
        meter.operation(f"o{number}").took.note(0.1)
    assert len(family) == MOST_KEYS + 1
    assert family[OTHER] == 9 * MOST_KEYS
    assert len(meter.operations) <= MOST_KEYS + 1
    assert sum(one.took.count for one in meter.operations.values()) == 10 * MOST_KEYS
