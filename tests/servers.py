"""A real Kanvas server as a child process, for tests that kill it, restart it and look at its files."""

import asyncio
import atexit
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from tests.backends.ports import free_ports

START_S = 90.0
KANVAS = (str(Path(sys.executable).with_name("kanvas")),)
COMPOSED = (sys.executable, "-m", "tests.live.composed")
"""The same with faults built in (tests/live/composed.py)."""


@cache
def migrated() -> Path:
    """A migrated database with nothing in it, to be copied; it goes with this process."""
    from db.migrate import upgrade

    folder = Path(tempfile.mkdtemp(prefix="kanvas-migrated-"))
    atexit.register(shutil.rmtree, folder)
    upgrade(f"sqlite:///{folder / 'kanvas.db'}")
    return folder / "kanvas.db"


def whole(text: str) -> dict[str, Any] | None:
    """The object a line of a log ends with: a kill tears a line, and the next one begins where it is torn."""
    start = text.find("{")
    while start >= 0:
        try:
            line: dict[str, Any] = json.loads(text[start:])
        except json.JSONDecodeError:
            start = text.find("{", start + 1)
        else:
            return line
    return None


class LiveServer:
    """`kanvas serve` on a free loopback port, with its data in `data_dir`.

    The port is chosen once, so that clients find the server again after a restart.
    """

    def __init__(
        self, data_dir: Path, env: Mapping[str, str] | None = None, program: Sequence[str] = KANVAS
    ) -> None:
        self.data_dir = data_dir
        self._program = [*program, "serve"]
        self.port = 0
        self.env = dict(env or {})
        self.started_in_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self.log_path = data_dir.parent / f"{data_dir.name}.{id(self)}.log"
        data_dir.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/parties"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def is_serving(self) -> bool:
        """It got ready, and was not told to end."""
        return self.is_running and self.started_in_s > 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it told (of one kind of event); with KANVAS_LOG_FORMAT=json."""
        told = [line for text in self.log().splitlines() if (line := whole(text)) is not None]
        return [line for line in told if event is None or line.get("event") == event]

    def start(self) -> Self:
        assert self._process is None
        if self.port == 0:
            self.port = free_port()
        database = self.data_dir / "kanvas.db"
        if "KANVAS_DATABASE_URL" not in self.env and not database.exists():
            # packaging/ begins from nothing; the migrations are 0.2 s of processor time of each other start
            shutil.copy(migrated(), database)
        # without the compiled modules every start takes 0.7 s longer
        left_out = ("KANVAS_", "PYTHONDONTWRITEBYTECODE")
        env = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        env |= {"KANVAS_PORT": str(self.port), "KANVAS_DATA_DIR": str(self.data_dir)}
        # tests make more rooms in a minute than anybody; those of the limits turn them on
        env |= {"KANVAS_RATE_LIMITS": "off"} | self.env
        with self.log_path.open("ab") as out:
            self._process = subprocess.Popen(
                self._program,
                env=env,
                cwd=self.data_dir,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.started_in_s = 0.0
        begin = time.monotonic()
        while time.monotonic() < begin + START_S:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}:\n{self.log()[-4000:]}")
            if self._is_ready():
                self.started_in_s = time.monotonic() - begin
                return self
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"the server did not get ready in {START_S} s:\n{self.log()[-4000:]}")

    def _is_ready(self) -> bool:
        # http.client: an httpx2 client costs 30 ms each time
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def rss_bytes(self) -> int:
        """Resident memory of the process that was started: the server itself with KANVAS_SUPERVISOR=off."""
        status = Path(f"/proc/{self.pid}/statm")
        if status.exists():
            return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        told = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, check=True, text=True
        )
        return int(told.stdout) * 1024

    def kill(self) -> None:
        """SIGKILL: nothing of the process gets another chance."""
        self._end(signal.SIGKILL)

    def wait(self, deadline_s: float = 60.0) -> int:
        """Wait until it ends by itself; returns the exit code, -9 for a SIGKILL. Raises TimeoutExpired."""
        assert self._process is not None
        code = self._process.wait(deadline_s)
        self._process = None
        return code

    @property
    def stop_deadline_s(self) -> float:
        """10 s, and more on a machine that took longer than 2 s to start: its processor is elsewhere."""
        return 10 * max(1.0, self.started_in_s / 2)

    def stop(self) -> int:
        """SIGTERM; returns the exit code. Fails when it takes longer than the deadline."""
        return self._end(signal.SIGTERM, self.stop_deadline_s)

    def _end(self, sig: signal.Signals, deadline_s: float = 60.0) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(sig)
        try:
            code = process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        # the worker of a killed supervisor, perhaps in a write, has the port and the files a moment longer
        end = time.monotonic() + deadline_s
        while self._is_held() and time.monotonic() < end:
            time.sleep(0.01)
        return code

    def _is_held(self) -> bool:
        """Whether a process, also one that is dying, still has the port."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    # -- a person's first steps -----------------------------------------------------------------

    def guest(self, name: str = "Ada") -> str:
        """Sign in as a guest; returns the bearer token."""
        answer = httpx2.post(f"{self.url}/api/v1/auth/guest", json={"name": name}, timeout=60)
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    def admin(self) -> str:
        """An operator's token, as `kanvas token --admin` makes it."""
        from server.auth import Tokens

        secret = (self.data_dir / "secret").read_bytes().strip()
        return Tokens(secret, ttl_s=3600).issue("operator", "Operator", is_admin=True).token

    def order(self, path: str, **body: Any) -> None:
        """An operator's order: a POST below /api/v1/admin."""
        more = {"json": body} if body else {}
        headers = bearer(self.admin())
        answer = httpx2.post(f"{self.url}/api/v1/admin/{path}", headers=headers, timeout=60, **more)
        assert answer.status_code in (200, 204), answer.text

    def room(self, token: str, **fields: Any) -> str:
        """Create a room; returns its id."""
        answer = httpx2.post(f"{self.url}/api/v1/rooms", json=fields, headers=bearer(token), timeout=60)
        assert answer.status_code == 201, answer.text
        room_id: str = answer.json()["id"]
        return room_id

    def state(self, token: str, room_id: str) -> tuple[str, bytes]:
        """The room's version and its state as a Yjs update."""
        headers = bearer(token) | {"Accept": "application/octet-stream"}
        answer = httpx2.get(f"{self.url}/parties/{room_id}", headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.headers["etag"].strip('"'), answer.content


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def free_port() -> int:
    return free_ports(1)[0]


async def run(*command: str, timeout_s: float = 240.0, cwd: Path | None = None) -> str:
    """Run a program to its end and return what it printed; fails with its output otherwise."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=cwd
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    text = out.decode(errors="replace")
    assert process.returncode == 0, re.sub(r"\n+", "\n", text)[-6000:]
    return text
