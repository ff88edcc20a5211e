"""The sliding window against its definition, on made-up times."""

from hypothesis import given, settings
from hypothesis import strategies as st

from server.rates.base import SLICES, Rate
from server.rates.memory import MemoryLimiter

takes = st.lists(st.tuples(st.floats(0, 25), st.integers(1, 3)), max_size=60)


@settings(max_examples=150, deadline=None)
@given(takes, st.integers(1, 8), st.sampled_from([1.0, 10.0, 60.0]))
def test_never_too_much_and_never_refused_for_longer_than_a_slice(
    steps: list[tuple[float, int]], limit: int, window_s: float
) -> None:
    """L1: in no window more than the limit; refused only while a window and a slice hold too much; and what a
    refusal says is when it ends."""
    rate, now = Rate(limit, window_s), [500.0]
    limiter = MemoryLimiter(lambda: now[0])
    counted: list[tuple[float, int]] = []
    promised: tuple[float, int] | None = None
    for pause_s, cost in steps:
        now[0] += pause_s
        verdict = limiter.take_now("key", rate, cost)
        within = sum(size for at, size in counted if at > now[0] - window_s)
        nearly = sum(size for at, size in counted if at >= now[0] - window_s * (1 + 2 / SLICES))
        if verdict.is_allowed:
            assert within + cost <= limit
            counted.append((now[0], cost))
            assert verdict.remaining <= limit - within - cost
        else:
            assert nearly + cost > limit
            if promised is not None and cost <= promised[1]:
                assert now[0] < promised[0] + 1e-6
            assert 0 <= verdict.retry_after_s <= window_s * (1 + 1 / SLICES) + 1e-6
        promised = None if verdict.is_allowed or cost > limit else (now[0] + verdict.retry_after_s, cost)
