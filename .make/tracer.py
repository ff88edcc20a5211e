"""strace, with which a test looks at the order of fsync and send.

Owns: finding it, and installing it by apt where we may. Rule: never skip; say what to install. It exists on
Linux alone: elsewhere tests/live/conftest.py says that the test is not run.
"""

import os
import shutil
import sys
from pathlib import Path

from report import command, environment, fail, run, step, sudo, tail

OVERRIDE = "TEST_STRACE"


def find_strace() -> Path | None:
    """The path of strace; installs it by apt as root. None where there is none for the system."""
    if sys.platform != "linux":
        return None
    found = os.environ.get(OVERRIDE) or shutil.which("strace")
    output = ""
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        output = install()
        found = shutil.which("strace")
    if found is None:
        fail(
            f"A test of the order of fsync and send needs strace, and none is in PATH.\n{tail(output)}",
            remedy(),
        )
    return Path(found)


def install() -> str:
    """Debian's strace by apt; returns what apt said. Lists that cannot be renewed may still do."""
    env = environment(DEBIAN_FRONTEND="noninteractive")
    with step("Installing strace by apt"):
        _, updated = run(["apt-get", "-qq", "update"], env=env)
        _, installed = run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", "strace"], env=env)
    return updated + installed


def remedy() -> str:
    line = (
        "dnf install -y strace"
        if shutil.which("dnf")
        else "apt-get install -y --no-install-recommends strace"
    )
    return f"Type:  {sudo(line)} && {command()}"
