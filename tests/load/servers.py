"""Servers under load: ours as a child process, and one that somebody else runs.

Owns: starting and stopping a server, its log, its free port, and the seats it offers. Does not own: other
people's servers (peers).
"""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

from server.auth import Tokens
from tests.backends.ports import free_ports
from tests.load.client import Seat
from tests.load.processes import Usage, pinned, read_alone, read_tree

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 90.0
STOP_S: Final = 10.0
LOOPBACK: Final = "127.0.0.1"

OUR_SETTINGS: Final[dict[str, str]] = {"KANVAS_LOG_LEVEL": "warning", "KANVAS_RATE_LIMITS": "off"}
"""What ours is started with; --setting adds to it. The database is the default one: SQLite, FULL."""


class ServerError(Exception):
    """A server could not be started or reached; the message is for people."""


class Server(Protocol):
    """A server that runs."""

    name: str

    def death(self) -> str | None:
        """What to tell when it has ended by itself: how, and the end of its log; None when it runs."""

    def seats(self, rooms: int, clients: int) -> list[list[Seat]]:
        """For each of so many new rooms a seat for each client."""

    def usage(self) -> Usage | None:
        """What it has used so far; None where nobody can tell."""


class Target(Protocol):
    """Something that can be put under load."""

    name: str
    notes: tuple[str, ...]

    def install(self) -> None:
        """Whatever it takes before it can be started. Raises ServerError."""

    @contextmanager
    def running(self, core: int | None) -> Iterator[Server]:
        """A fresh server with nothing in it, if it is ours to start."""


# -- a child process ------------------------------------------------------------------------------


@dataclass
class Child:
    """A server process of which we have the command line, in a session of its own."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    port: int
    core: int | None = None
    ready_path: str | None = None
    """What answers 200 over HTTP when it is ready; None: it is when it listens."""

    started_in_s: float = 0.0
    _process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def death(self) -> str | None:
        process = self._process
        if process is None or process.poll() is None:
            return None
        return f"{self.name} ended by itself ({process.returncode}). The end of its log:\n{self.last_lines()}"

    def usage(self) -> Usage | None:
        return read_tree(self._process.pid) if self._process is not None else None

    def usage_alone(self) -> Usage | None:
        """Without the processes it started."""
        return read_alone(self._process.pid) if self._process is not None else None

    def start(self) -> None:
        """Returns when it can be used. Raises ServerError."""
        began = time.monotonic()
        with self.log_path.open("ab") as log, pinned(self.core):
            try:
                self._process = subprocess.Popen(
                    self.command,
                    env=dict(self.env),
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise ServerError(f"{self.name} can't be started: {self.command[0]}: {error}") from error
        while time.monotonic() < began + START_S:
            if not self.is_alive:
                raise ServerError(f"{self.name} ended at once. The end of its log:\n{self.last_lines()}")
            if self._is_ready():
                self.started_in_s = time.monotonic() - began
                return
            time.sleep(0.01)
        self.stop()
        raise ServerError(f"{self.name} was not ready in {START_S:.0f} s. Its log:\n{self.last_lines()}")

    def _is_ready(self) -> bool:
        if self.ready_path is None:
            with socket.socket() as probe:
                return probe.connect_ex((LOOPBACK, self.port)) == 0
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=2)
        try:
            connection.request("GET", self.ready_path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """SIGTERM, and when that takes too long SIGKILL to everything in its session."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def last_lines(self, most: int = 12) -> str:
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-most:])
        except OSError:
            return "(there is no log)"


def free_port() -> int:
    """A port of the loopback nobody listens on."""
    return free_ports(1)[0]


def plain_environment() -> dict[str, str]:
    """Ours without settings of a Kanvas that may be meant for another one."""
    left_out = ("KANVAS_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


# -- ours -----------------------------------------------------------------------------------------


class Kanvas:
    """`python -m server serve` from this tree, with a database of its own."""

    name = "kanvas"
    notes: tuple[str, ...] = ()

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = OUR_SETTINGS | dict(settings or {})

    def install(self) -> None:
        """It runs from this tree."""

    @contextmanager
    def running(self, core: int | None) -> "Iterator[KanvasServer]":
        folder = Path(tempfile.mkdtemp(prefix="kanvas-load-"))
        port = free_port()
        env = {**plain_environment(), "KANVAS_PORT": str(port), "KANVAS_DATA_DIR": str(folder / "data")}
        command = [sys.executable, "-m", "server", "serve"]
        child = Child(self.name, command, env | self._settings, folder, port, core, "/readyz")
        try:
            child.start()
            yield KanvasServer(child, folder / "data")
        finally:
            child.stop()
            shutil.rmtree(folder, ignore_errors=True)


class KanvasServer:
    """Ours while it runs. Tokens are signed here with its secret: thousands of users cost nothing."""

    name = Kanvas.name

    def __init__(self, child: Child, data_dir: Path) -> None:
        self.child = child
        self._users = count(1)
        self._tokens = Tokens((data_dir / "secret").read_text(encoding="ascii").strip().encode(), ttl_s=86400)

    def death(self) -> str | None:
        return self.child.death()

    def usage(self) -> Usage | None:
        return self.child.usage()

    def restart(self) -> float:
        """Stop it and start it again over the same data; the seconds until it was ready."""
        self.child.stop()
        self.child.start()
        return self.child.started_in_s

    def token(self) -> str:
        number = next(self._users)
        return self._tokens.issue(f"load-{number}", f"Load {number}", is_guest=True).token

    def seats(self, rooms: int, clients: int) -> list[list[Seat]]:
        api = Api(f"http://{LOOPBACK}:{self.child.port}")
        found = []
        for _ in range(rooms):
            room_id = api.make_room(self.token())
            paths = [f"/parties/{room_id}?token={self.token()}" for _ in range(clients)]
            found.append([Seat(LOOPBACK, self.child.port, path) for path in paths])
        return found


class Api:
    """What a load needs of Kanvas' REST API, over one connection."""

    def __init__(self, base: str, headers: Mapping[str, str] | None = None) -> None:
        where = urlsplit(base)
        kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(where.hostname or "", where.port, timeout=30)
        self._headers = {"Content-Type": "application/json", **(headers or {})}

    def sign_in(self, name: str) -> str:
        """A guest's token."""
        return str(self._post("/api/v1/auth/guest", {"name": name}, {})["token"])

    def make_room(self, token: str) -> str:
        """The id of a new, unlisted room."""
        body = {"title": "Load", "visibility": "unlisted"}
        return str(self._post("/api/v1/rooms", body, {"Authorization": f"Bearer {token}"})["id"])

    def _post(self, path: str, body: Mapping[str, str], headers: Mapping[str, str]) -> Any:
        try:
            self._connection.request("POST", path, json.dumps(body), {**self._headers, **headers})
            answer = self._connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"POST {path} got no answer: {error or type(error).__name__}") from error
        if answer.status != 201:
            raise ServerError(
                f"POST {path} was answered with {answer.status}: {said[:300].decode(errors='replace')}"
            )
        return json.loads(said)


# -- somebody else's ------------------------------------------------------------------------------


class Deployment:
    """A server that runs already, at an address with `{room}` in it (or of one room)."""

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        url: str,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        pid: int | None = None,
    ) -> None:
        where = urlsplit(url)
        if where.scheme not in ("ws", "wss") or not where.hostname:
            raise ServerError(f"--url {url} is no WebSocket address; give one like ws://host/path/{{room}}")
        self.name = where.netloc
        self._where = where
        self._template = where.path + (f"?{where.query}" if where.query else "")
        self._token = token
        self._headers = dict(headers or {})
        self._pid = pid
        self._rooms = count(1)
        self._api: Api | None = None
        if where.path.endswith("/parties/{room}"):
            # a Kanvas: its rooms have to be made before anybody can enter
            scheme = "https" if where.scheme == "wss" else "http"
            self._api = Api(f"{scheme}://{where.netloc}", self._headers)

    def install(self) -> None:
        """It runs already."""

    @contextmanager
    def running(self, core: int | None) -> "Iterator[Deployment]":
        del core
        yield self

    def death(self) -> str | None:
        return None

    def usage(self) -> Usage | None:
        return read_tree(self._pid) if self._pid is not None else None

    def seats(self, rooms: int, clients: int) -> list[list[Seat]]:
        if rooms > 1 and "{room}" not in self._template:
            raise ServerError("This scenario needs many rooms; put {room} into the address.")
        run = f"{time.time_ns() // 1_000_000:x}"
        found = []
        for _ in range(rooms):
            tokens = self._sign_in(clients)
            room = f"load-{run}-{next(self._rooms)}"
            if self._api is not None:
                room = self._api.make_room(tokens[0])
            found.append([self._seat(room, token) for token in tokens])
        return found

    def _sign_in(self, clients: int) -> list[str]:
        if self._api is not None and self._token is None:
            return [self._api.sign_in(f"Load {number}") for number in range(clients)]
        return [self._token or ""] * clients

    def _seat(self, room: str, token: str) -> Seat:
        path = self._template.replace("{room}", quote(room, safe=""))
        if token:
            path += f"{'&' if '?' in path else '?'}token={quote(token, safe='')}"
        where = self._where
        tls = ssl.create_default_context() if where.scheme == "wss" else None
        port = where.port or (443 if tls else 80)
        return Seat(where.hostname or "", port, path or "/", headers=tuple(self._headers.items()), tls=tls)
