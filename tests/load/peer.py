"""Other people's servers, installed from locks and run beside ours.

Owns: installing each, and its command line. Does not own: their code (registries have it).
None of them stores anything as it is run here, and ours commits every edit to disk before it is sent on.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from tests.load.client import Seat
from tests.load.dialect import Dialect, hocuspocus
from tests.load.processes import Usage
from tests.load.servers import LOOPBACK, Child, ServerError, free_port, plain_environment

HERE: Final = Path(__file__).resolve().parent / "peers"
MODULES: Final = HERE / "node_modules"
VENV: Final = HERE / ".venv"
INSTALL_S: Final = 300

NOT_DURABLE: Final = "keeps nothing on disk"


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: how it is installed and started, and how its clients talk."""

    name: str
    installer: Callable[[], None]
    command: Callable[[int], list[str]]
    dialect: Callable[[str], Dialect]
    in_path: bool = True
    """The room is in the address."""

    notes: tuple[str, ...] = (NOT_DURABLE,)

    def install(self) -> None:
        """Once per lock; needs a way to the registry. Raises ServerError."""
        self.installer()

    @contextmanager
    def running(self, core: int | None) -> "Iterator[PeerServer]":
        folder = Path(tempfile.mkdtemp(prefix="kanvas-load-"))
        port = free_port()
        env = {**plain_environment(), "HOST": LOOPBACK, "PORT": str(port), "NODE_ENV": "production"}
        # a path of ours would put our modules before the peer's
        env.pop("PYTHONPATH", None)
        child = Child(self.name, self.command(port), env, folder, port, core)
        try:
            child.start()
            yield PeerServer(self, child)
        finally:
            child.stop()
            shutil.rmtree(folder, ignore_errors=True)


class PeerServer:
    """A peer while it runs."""

    def __init__(self, peer: Peer, child: Child) -> None:
        self.name = peer.name
        self.child = child
        self._peer = peer
        self._rooms = count(1)

    def death(self) -> str | None:
        return self.child.death()

    def usage(self) -> Usage | None:
        return self.child.usage()

    def seats(self, rooms: int, clients: int) -> list[list[Seat]]:
        names = [f"load-{next(self._rooms)}" for _ in range(rooms)]
        return [
            [
                Seat(
                    LOOPBACK,
                    self.child.port,
                    f"/{name}" if self._peer.in_path else "/",
                    self._peer.dialect(name),
                )
            ]
            * clients
            for name in names
        ]


def install_node_peers() -> None:
    """`npm ci` into tests/load/peers/node_modules, once per lock."""
    lock = (HERE / "package-lock.json").read_bytes()
    stamp = MODULES / ".installed"
    if stamp.is_file() and stamp.read_bytes() == lock:
        return
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise ServerError("This peer needs Node.js 20 or later with npm, and there is none in PATH.")
    # scripts of packages are not needed: what is native comes ready-made
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], "npm could not install the peers")
    stamp.write_bytes(lock)


def install_python_peer() -> None:
    """pycrdt-websocket from its hash-pinned lock into an environment of its own."""
    lock = (HERE / "requirements.lock").read_bytes()
    stamp = VENV / ".installed"
    if stamp.is_file() and stamp.read_bytes() == lock:
        return
    run([sys.executable, "-m", "venv", "--clear", str(VENV)], "no Python environment could be made")
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(
        [*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(HERE / "requirements.lock")],
        "pip could not install the peer",
    )
    stamp.write_bytes(lock)


def run(command: list[str], failed: str) -> None:
    """A command of an installer. Raises ServerError with the end of what it said."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            command,
            cwd=HERE,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"{failed}: {error}") from error
    if done.returncode:
        told = "\n".join(done.stdout.splitlines()[-8:])
        raise ServerError(f"{failed}; is there a way to the registry? It said:\n{told}")


def plain(room: str) -> Dialect:
    """The y-protocols as they are; the room is in the address."""
    del room
    return Dialect()


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer(
            "hocuspocus",
            install_node_peers,
            lambda port: ["node", str(HERE / "hocuspocus.mjs"), str(port)],
            hocuspocus,
            in_path=False,
        ),
        Peer(
            "y-websocket",
            install_node_peers,
            lambda _: ["node", str(MODULES / "@y" / "websocket-server" / "src" / "server.js")],
            plain,
        ),
        Peer(
            "pycrdt-websocket",
            install_python_peer,
            lambda port: [str(VENV / "bin" / "python"), str(HERE / "pycrdt_server.py"), str(port)],
            plain,
        ),
    )
}
