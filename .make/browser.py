"""A Chromium for the browser tests.

Owns: finding one that starts, and installing Debian's where we may. Rule: never skip; say what to install.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from report import command, environment, fail, run, step, sudo, tail

OVERRIDE = "TEST_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
# Where `playwright install chromium` puts it on Linux and macOS.
PLAYWRIGHT = (
    ".cache/ms-playwright/chromium-*/chrome-linux*/chrome",
    "Library/Caches/ms-playwright/chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
)


def find_chromium() -> Path:
    """The path of a Chromium that starts; installs one by apt as root. Fails with the line to type."""
    named = os.environ.get(OVERRIDE)
    if named:
        if starts(named):
            return Path(shutil.which(named) or named).absolute()
        fail(f"{OVERRIDE}={named} is not a Chromium that starts.", f"Name another, or leave {OVERRIDE} out.")
    there = search()
    if there is None and sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get"):
        output = install()
        there = search()
        if there is None:
            fail(f"apt installed no Chromium that starts.\n{tail(output)}", remedy())
    if there is None:
        fail("The browser tests need Chromium, and none is in PATH.", remedy())
    return there


def search() -> Path | None:
    """The first Chromium that starts, in PATH, in its usual places, or among Playwright's."""
    in_path = [path for path in map(shutil.which, NAMES) if path]
    playwright = [
        str(path) for pattern in PLAYWRIGHT for path in sorted(Path.home().glob(pattern), reverse=True)
    ]
    for candidate in [*in_path, *PLACES, *playwright]:
        if starts(candidate):
            return Path(candidate)
    return None


def starts(path: str) -> bool:
    """Whether it says its version; Ubuntu's `chromium-browser` may be a stub that only asks for snap."""
    try:
        asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and any(word in asked.stdout for word in ("Chromium", "Chrome"))


def install() -> str:
    """Debian's Chromium by apt; returns what apt said. Lists that cannot be renewed may still do."""
    env = environment(DEBIAN_FRONTEND="noninteractive")
    with step("Installing Chromium by apt (about 60 s)"):
        _, updated = run(["apt-get", "-qq", "update"], env=env)
        _, installed = run(
            ["apt-get", "-qq", "install", "-y", "--no-install-recommends", "chromium"], env=env
        )
    return updated + installed


def remedy() -> str:
    if sys.platform == "darwin":
        return f"Type:  brew install --cask chromium && {command()}"
    if shutil.which("apt-get") and "debian" in distribution():
        return f"Type:  {sudo('apt-get install -y --no-install-recommends chromium')} && {command()}"
    if shutil.which("dnf"):
        return f"Type:  {sudo('dnf install -y chromium')} && {command()}"
    return (
        f"Type:  .venv/bin/python -m playwright install --with-deps chromium && {command()}"
        f"   (or name one: {OVERRIDE}=/path/to/chromium {command()})"
    )


def distribution() -> str:
    """The ID line of os-release: Ubuntu's apt has no real Chromium, only a stub for snap."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line for line in lines if line.startswith("ID=")), "")
