"""An identity provider's HTTP side, as good or as bad as a test wants it: a real server in a thread.

Owns: answering its document, keys, tokens and userinfo from what the test put there, slowly, too large,
elsewhere, or not at all. A real provider is in `provider.py`.
"""

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Idp:
    """What it answers: a path to an object, bytes, or a mode of misbehaving."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.modes: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.gate = threading.Event()
        """What is `slow` waits for it."""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def document(self, **changed: Any) -> None:
        """Publish a provider's document; None leaves something out."""
        whole = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "userinfo_endpoint": f"{self.url}/userinfo",
        } | changed
        self.answers["/.well-known/openid-configuration"] = {
            name: value for name, value in whole.items() if value is not None
        }


class _Handler(BaseHTTPRequestHandler):
    idp: Idp

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self.idp.forms.append({name: values[0] for name, values in parse_qs(raw).items()})
        self.do_GET()

    def do_GET(self) -> None:
        idp, path = self.idp, self.path.partition("?")[0]
        idp.asked[path] += 1
        idp.headers.append(dict(self.headers.items()))
        mode = idp.modes.get(path, "")
        if mode == "slow":
            idp.gate.wait(120)
        if mode == "redirect":
            self.send_response(302)
            self.send_header("Location", f"{idp.url}/elsewhere")
            self.end_headers()
            return
        status = int(mode) if mode.isdigit() else 200
        answer = idp.answers.get(path)
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        if mode == "huge":
            body += b" " * 400_000
        if mode == "bomb":
            body = gzip.compress(body + b" " * 50_000_000)
        self.send_response(404 if answer is None else status)
        if mode == "bomb":
            self.send_header("Content-Encoding", "gzip")
        if mode not in ("huge", "dribble"):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            if mode == "dribble":
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    time.sleep(0.05)
            else:
                self.wfile.write(body)
        except OSError:
            # who asked has hung up, which is what the test is about
            self.close_connection = True


@contextmanager
def open_idp() -> Iterator[Idp]:
    """A running server."""
    idp = Idp()
    handler = type("Handler", (_Handler,), {"idp": idp})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    idp.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield idp
    finally:
        idp.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
