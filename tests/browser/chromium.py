"""A real Chromium for the browser tests.

Owns: finding and starting it. Does not own: pages and people (`people.py`).
Rule: a missing browser or a client that isn't built fails with what to type; nothing is skipped.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from server.pages import IN_REPOSITORY, INDEX

OVERRIDE = "TEST_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Two people side by side: both are looked at.
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
)


def find_chromium() -> str:
    """The program named by TEST_CHROMIUM, else the first one in PATH."""
    found = os.environ.get(OVERRIDE) or next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        raise RuntimeError(f"no Chromium in PATH; `make test` finds or installs one, or set {OVERRIDE}")
    return found


def check_built() -> None:
    """Raises when the client isn't built."""
    if not (IN_REPOSITORY / INDEX).is_file():
        raise RuntimeError(f"{IN_REPOSITORY} holds no built client; type: make setup")


@asynccontextmanager
async def open_chromium() -> AsyncIterator[Browser]:
    """A headless Chromium; it ends with the block."""
    check_built()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
