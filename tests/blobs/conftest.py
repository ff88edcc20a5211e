"""What needs /proc is run on Linux alone."""

import sys

ON_LINUX = ["test_live.py", "test_delivery.py"]
collect_ignore = [] if sys.platform == "linux" else ON_LINUX


def pytest_report_header() -> list[str]:
    """Whoever runs this elsewhere is told what is left out."""
    return [f"not run on {sys.platform}: tests/blobs/{name}" for name in collect_ignore]
