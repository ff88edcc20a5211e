"""A real OpenID Connect provider as a process of its own, which insists on PKCE and a nonce.

    python -m tests.server.identity.provider PORT

Owns: starting oidc-provider-mock, and what it leaves out: it takes a code without its verifier, which no
real provider does for a request that had a challenge. The gate in front of it refuses, as RFC 7636 section
4.6 says.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.backends.ports import free_ports

START_S = 60.0
Answer = Callable[..., Any]


class PkceGate:
    """WSGI: remembers each code's challenge, and lets nobody redeem it without the verifier."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.challenges: dict[str, str] = {}

    def __call__(self, environ: dict[str, Any], start: Answer) -> Iterable[bytes]:
        query = {name: one[0] for name, one in parse_qs(environ.get("QUERY_STRING", "")).items()}
        path = environ["PATH_INFO"]
        if path == "/oauth2/authorize":
            if query.get("code_challenge_method") != "S256" or not query.get("nonce"):
                return refuse(start, "invalid_request")
            return self.app(environ, self.remember(start, query["code_challenge"]))
        if path == "/oauth2/token":
            raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(raw)
            form = {name: one[0] for name, one in parse_qs(raw.decode()).items()}
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            given = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if self.challenges.get(form.get("code", "")) != given:
                return refuse(start, "invalid_grant")
        return self.app(environ, start)

    def remember(self, start: Answer, challenge: str) -> Answer:
        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            for name, value in headers:
                if name.lower() == "location":
                    for code in parse_qs(urlsplit(value).query).get("code", ()):
                        self.challenges[code] = challenge
            return start(status, headers, *more)

        return started


def refuse(start: Answer, error: str) -> Iterable[bytes]:
    start("400 Bad Request", [("Content-Type", "application/json")])
    return [json.dumps({"error": error}).encode()]


def main() -> None:
    from werkzeug.serving import run_simple

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import oidc_provider_mock

        app = oidc_provider_mock.app(require_nonce=True)
    run_simple("127.0.0.1", int(sys.argv[1]), PkceGate(app), threaded=True)


@contextmanager
def open_provider() -> Iterator[str]:
    """A running provider; its issuer."""
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.server.identity.provider", str(port)],
        env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + START_S
        with httpx2.Client(base_url=url, timeout=START_S) as http:
            while True:
                try:
                    assert http.get("/jwks").status_code == 200
                    break
                except httpx2.TransportError:
                    assert process.poll() is None, "the provider ended"
                    assert time.monotonic() < end, "the provider did not start"
                    time.sleep(0.05)
            for sub, name in (("ada", "Ada of the provider"), ("grace", "Grace")):
                http.put(f"/users/{sub}", json={"name": name, "email": f"{sub}@example.org"})
        yield url
    finally:
        process.terminate()
        process.wait(10)


if __name__ == "__main__":
    main()
