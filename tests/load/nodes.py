"""Several processes of ours as one server: on one PostgreSQL and one Redis, which the load starts too.

Owns: starting them, who sits where, what each of them used. Does not own: one process (servers).

Rooms are put on nodes by their id, as a balancer does; with `spread`, the clients of one room take turns on
all nodes, which is the dearest case. PostgreSQL and Redis are left out of what the server used, and told
beside it.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from zlib import crc32

from server.auth import Tokens
from tests.backends.postgres import open_postgres
from tests.backends.valkey import open_valkey
from tests.load.client import Seat
from tests.load.processes import Usage, read_tree
from tests.load.servers import LOOPBACK, OUR_SETTINGS, Api, Child, Server, free_port, plain_environment

SECRET = "the secret of servers under load, which is no secret"


class Nodes:
    """`count` processes of ours."""

    notes: tuple[str, ...] = ()

    def __init__(
        self, count: int, *, spread: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        self.name = f"kanvas x{count}" + (" spread" if spread else "")
        self._count = count
        self._spread = spread
        self._settings = OUR_SETTINGS | dict(settings or {})

    def install(self) -> None:
        """It runs from this tree."""

    @contextmanager
    def running(self, core: int | None) -> Iterator[Server]:
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="kanvas-load-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            # with the load, so that the core of ours is ours alone
            postgres = stack.enter_context(open_postgres(is_durable=True))
            valkey = stack.enter_context(open_valkey())
            env = {
                **plain_environment(),
                "KANVAS_DATABASE_URL": postgres.create(),
                "KANVAS_REDIS_URL": valkey.url(),
                "KANVAS_SECRET": SECRET,
                **self._settings,
            }
            children = []
            for number in range(1, self._count + 1):
                port = free_port()
                own = {"KANVAS_PORT": str(port), "KANVAS_DATA_DIR": str(folder / f"data-{number}")}
                command = [sys.executable, "-m", "server", "serve"]
                child = Child(f"kanvas-{number}", command, env | own, folder, port, core, "/readyz")
                stack.callback(child.stop)
                child.start()
                children.append(child)
            server = NodesServer(
                self.name, children, {"PostgreSQL": postgres.pid, "Redis": valkey.pid}, self._spread
            )
            yield server
            for line in server.shares():
                sys.stdout.write(f"    {line}\n")


class NodesServer:
    """Several of ours while they run."""

    def __init__(self, name: str, children: list[Child], beside: Mapping[str, int], spread: bool) -> None:
        self.name = name
        self._children = children
        self._beside = beside
        self._spread = spread
        self._users = count(1)
        self._tokens = Tokens(SECRET.encode(), ttl_s=86400)
        self._readings: list[dict[str, float]] = []
        """Processor seconds of each process at the last two readings."""

    def death(self) -> str | None:
        return next((told for child in self._children if (told := child.death())), None)

    def usage(self) -> Usage | None:
        found = {child.name: child.usage() for child in self._children}
        beside = {name: read_tree(pid) for name, pid in self._beside.items()}
        reading = {name: one.cpu_s for name, one in (found | beside).items() if one is not None}
        self._readings = [*self._readings[-1:], reading]
        known = [one for one in found.values() if one is not None]
        if not known:
            return None
        return Usage(
            sum(one.cpu_s for one in known),
            sum(one.rss_bytes for one in known),
            sum(one.waited_s for one in known),
        )

    def shares(self) -> list[str]:
        """What each process used between the last two readings."""
        if len(self._readings) < 2:
            return []
        before, after = self._readings
        return [f"{name} used {after[name] - before.get(name, 0.0):.2f} s" for name in after]

    def token(self) -> str:
        number = next(self._users)
        return self._tokens.issue(f"load-{number}", f"Load {number}", is_guest=True).token

    def seats(self, rooms: int, clients: int) -> list[list[Seat]]:
        apis = [Api(f"http://{LOOPBACK}:{child.port}") for child in self._children]
        found = []
        for number in range(rooms):
            room_id = apis[number % len(apis)].make_room(self.token())
            home = crc32(room_id.encode())
            ports = [
                self._children[(home + (client if self._spread else 0)) % len(self._children)].port
                for client in range(clients)
            ]
            found.append([Seat(LOOPBACK, port, f"/parties/{room_id}?token={self.token()}") for port in ports])
        return found
