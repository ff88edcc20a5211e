"""Tests of the engine; the files mirror `party/`, driven by the clients of `peers` and `updates`."""

from hypothesis import settings

# One core, no clock: the same examples on every run, so that a red run can be repeated.
settings.register_profile("engine", deadline=None, derandomize=True, max_examples=60, database=None)
settings.load_profile("engine")
