"""What a browser asked for and complained about, over its whole life.

Owns: the record of requests, sockets, console errors, page errors and policy violations of one context, and
the verdict. Rule: nothing leaves the server's origin, and nothing is complained about but what a test announced.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, ConsoleMessage, Page

# Makes policy violations speak even where the console would not.
VIOLATIONS = """document.addEventListener("securitypolicyviolation",
  (event) => console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI}`))"""

NO_SERVER = re.compile(r"ERR_CONNECTION_(REFUSED|RESET|CLOSED)|ERR_EMPTY_RESPONSE|ERR_INTERNET_DISCONNECTED")
"""What Chromium itself says while the server is away."""


@dataclass
class Expectation:
    """Complaints that are no surprise while it holds; afterwards those about what was asked for meanwhile."""

    patterns: list[re.Pattern[str]]
    asked: set[str] = field(default_factory=set)
    is_over: bool = False

    def covers(self, text: str, url: str) -> bool:
        # the page may have shown what became of one request before the answer to its next one is there
        holds = not self.is_over or url in self.asked
        return holds and any(pattern.search(text) for pattern in self.patterns)


class Watch:
    """Everything one browser context asked for and complained about."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self._hosts = {urlsplit(origin).netloc}
        self.asked = 0
        self.foreign: set[str] = set()
        self.complaints: list[str] = []
        self._expected: list[Expectation] = []
        context.on("request", lambda request: self._ask(request.url))
        context.on("page", self._on_page)
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))

    def allow(self, origin: str) -> None:
        """Storage of the server's own: its pages may go there, too."""
        self._hosts.add(urlsplit(origin).netloc)

    @contextmanager
    def expecting(self, *patterns: "str | re.Pattern[str]") -> Iterator[None]:
        """Complaints that match one of these are no surprise from here to the end of the block."""
        expectation = Expectation([re.compile(pattern) for pattern in patterns])
        self._expected.append(expectation)
        try:
            yield
        finally:
            expectation.is_over = True

    def forget(self) -> None:
        """What was expected, at the end of a test."""
        self._expected.clear()

    def verdict(self) -> list[str]:
        """Everything that must not have happened so far."""
        return [f"left the origin: {url}" for url in sorted(self.foreign)] + self.complaints

    def _on_page(self, page: Page) -> None:
        page.on("websocket", lambda socket: self._ask(socket.url))

    def _ask(self, url: str) -> None:
        self.asked += 1
        for one in self._expected:
            if not one.is_over:
                one.asked.add(url)
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.netloc not in self._hosts:
            self.foreign.add(url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        url = message.location.get("url", "")
        text = f"{message.text} ({url})"
        if not any(one.covers(text, url) for one in self._expected):
            self.complaints.append(f"console: {text}")
