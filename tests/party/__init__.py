"""Tests of the engine; the files mirror `party/`, driven by the clients of `peers` and `updates`."""
