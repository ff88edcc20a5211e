"""One sign-in at the provider, from the button to the way back, bound to the browser that began it.

Owns: the cookie that remembers it, and what is derived from it: state, nonce, PKCE verifier; which addresses
people are sent on to. Does not own: the provider (`provider.py`), routes. Pure. Keeps rule I5.

Nothing is kept here: the cookie holds a random id, signed; nonce and verifier are made from the id with our
key, so that neither who reads the address bar nor who reads the cookie has them. Each sign-in has a cookie of
its own, so that two tabs do not disturb each other. Sources: RFC 9700 (OAuth security), RFC 7636 (PKCE).
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import Final

LIFE_S: Final = 600
SKEW_S: Final = 30
MAX_NEXT_CHARS: Final = 512
OWN_PATH: Final = re.compile(r"/(?![/\\])[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
DOTS: Final = re.compile(r"/(\.|%2e){0,2}/|/(\.|%2e){1,2}$", re.IGNORECASE)
"""Empty and dotted parts of a path: browsers take them out, and then it is another one."""

STATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in under way; `state` names it, `next_path` is where it goes on."""

    state: str
    next_path: str
    started_at_s: int


class Flows:
    """Makes and reads them."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"kanvas: sign-in at a provider", "sha256")

    def begin(self, next_path: str, now_s: float) -> Flow:
        return Flow(secrets.token_urlsafe(32), own_path(next_path), int(now_s))

    def nonce(self, flow: Flow) -> str:
        """What the id token has to repeat."""
        return self._derive("nonce", flow.state)

    def verifier(self, flow: Flow) -> str:
        """The PKCE code verifier."""
        return self._derive("verifier", flow.state)

    def seal(self, flow: Flow) -> str:
        """The cookie's value."""
        told = json.dumps([flow.state, flow.next_path, flow.started_at_s]).encode()
        return f"{_encode(told)}.{self._derive('cookie', told.decode())}"

    def open(self, sealed: str | None, state: str, now_s: float) -> Flow | None:
        """The sign-in of this cookie, if it is ours, of this state, and not too old."""
        body, _, mark = (sealed or "").partition(".")
        try:
            told = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
            is_ours = hmac.compare_digest(mark, self._derive("cookie", told.decode()))
        except (ValueError, TypeError):
            return None
        if not is_ours:
            return None
        flow = Flow(*json.loads(told))
        if not STATE.fullmatch(state) or not hmac.compare_digest(flow.state, state):
            return None
        # it may have begun in another process, whose clock is ahead
        return flow if -SKEW_S <= now_s - flow.started_at_s <= LIFE_S else None

    def _derive(self, purpose: str, text: str) -> str:
        return _encode(hmac.digest(self._key, f"{purpose}:{text}".encode(), "sha256"))


def cookie_name(state: str, *, is_https: bool) -> str:
    """One for each sign-in; over https no neighbour below the same domain can set it (RFC 6265bis)."""
    name = "kanvas_oidc_" + hashlib.sha256(state.encode()).hexdigest()[:12]
    return f"__Host-{name}" if is_https else name


def own_path(given: str) -> str:
    """The path if it is one of our pages, else the lobby: nobody is sent on to another site."""
    if len(given) > MAX_NEXT_CHARS or not OWN_PATH.fullmatch(given):
        return "/"
    is_ours = not given.startswith("/api/") and not DOTS.search(given.partition("?")[0])
    return given if is_ours else "/"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
