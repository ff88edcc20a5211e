"""What runs on Linux alone is named at the top of every other run: nothing is left out in silence."""

import sys

ON_LINUX = ["test_disk_faults.py", "test_fsync_order.py", "test_workers.py"]
"""strace, prlimit, and /proc."""

collect_ignore = [] if sys.platform == "linux" else ON_LINUX


def pytest_report_header() -> list[str]:
    return [f"not run on {sys.platform}: tests/live/{name}" for name in collect_ignore]
