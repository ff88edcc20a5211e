"""The fuzzer of admission. `python -m tests.fuzz --help`; a bounded slice is in test_admission.py."""
