"""An HTTP receiver on this machine that keeps what it is sent: for traces and events.

Owns: one listening socket and one thread. `pause` makes it answer nobody, and `is_asked` says that somebody
waits for that.
"""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Receiver:
    """What came, path and body, gzip taken off."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.answers = threading.Event()
        self.answers.set()
        self.is_asked = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.is_asked.set()
                outer.answers.wait(300)
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.got.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def pause(self) -> None:
        self.answers.clear()

    def everything(self) -> bytes:
        return b"".join(body for _, body in list(self.got))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
