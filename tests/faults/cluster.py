"""Several processes of Kanvas on one PostgreSQL and one Redis, with a proxy on every line between them.

Owns: starting and ending them all, which line leads where. Does not own: what is done to them (faults).
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import httpx2

from db.database import open_database
from db.journal import open_journal
from tests.backends.postgres import Postgres, open_postgres
from tests.backends.valkey import Valkey, open_valkey
from tests.faults.proxy import FaultProxy, open_proxy
from tests.servers import COMPOSED, LiveServer

SECRET = "one secret for all nodes, known to the tests alone"


class Node:
    """One process, its lines to the database and to Redis, and the line its clients come by."""

    def __init__(
        self, server: LiveServer, database: FaultProxy, redis: FaultProxy, front: FaultProxy
    ) -> None:
        self.server = server
        self.database = database
        self.redis = redis
        self.front = front

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.front.port}/parties"

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def stop(self) -> int:
        """SIGTERM, as a rolling restart does."""
        return await asyncio.to_thread(self.server.stop)

    async def kill(self) -> None:
        await asyncio.to_thread(self.server.kill)

    def freeze(self) -> None:
        os.kill(self.server.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.server.pid, signal.SIGCONT)

    async def state(self, token: str, room_id: str) -> tuple[str, bytes]:
        """The room as this node has it: its version and the document as one update."""
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/octet-stream"}
        async with httpx2.AsyncClient(timeout=30) as http:
            answer = await http.get(f"{self.server.url}/parties/{room_id}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.headers["ETag"].strip('W/"'), answer.content

    async def health(self) -> tuple[int, dict[str, object]]:
        """What /readyz says: status and body."""
        async with httpx2.AsyncClient(timeout=10) as http:
            answer = await http.get(f"{self.server.url}/readyz")
        return answer.status_code, answer.json()


class Cluster:
    """All of it while it runs."""

    def __init__(self, postgres: Postgres, valkey: Valkey, nodes: list[Node], database: str) -> None:
        self._database = database
        self.postgres = postgres
        self.valkey = valkey
        self.nodes = nodes

    async def repair(self) -> None:
        """Start what a test that failed has left behind."""
        for line in self.lines():
            line.cure()
        for backend in (self.postgres, self.valkey):
            if not backend.is_running:
                await asyncio.to_thread(backend.start)
        for node in self.nodes:
            if not node.server.is_running:
                await node.start()

    async def room(self) -> tuple[str, str]:
        """A guest's token and his new room's id. In a thread: the lines in between need the event loop."""
        server = self.nodes[0].server
        token = await asyncio.to_thread(server.guest)
        return token, await asyncio.to_thread(partial(server.room, token, schema="open"))

    async def journalled(self, room_id: str) -> list[bytes]:
        """The room's checkpoint and rows as they lie in the database, past all nodes and proxies."""
        async with open_database(self._database) as database:
            stored = await open_journal(database).load(room_id)
        return [*([stored.checkpoint] if stored.checkpoint else []), *stored.updates]

    def lines(self) -> list[FaultProxy]:
        return [line for node in self.nodes for line in (node.database, node.redis, node.front)]


@asynccontextmanager
async def open_cluster(folder: Path, count: int = 2, **settings: str) -> AsyncIterator[Cluster]:
    """So many nodes that serve; `settings` are theirs, such as TEST_LIMITS. All end with the block."""
    async with AsyncExitStack() as stack:
        postgres = stack.enter_context(open_postgres(is_durable=True))
        valkey = stack.enter_context(open_valkey())
        database = postgres.create().rpartition("/")[2]
        nodes = []
        for number in range(1, count + 1):
            to_database = await stack.enter_async_context(open_proxy(postgres.port))
            to_redis = await stack.enter_async_context(open_proxy(valkey.port))
            env = {
                "KANVAS_DATABASE_URL": postgres.url(database, port=to_database.port),
                "KANVAS_REDIS_URL": valkey.url(port=to_redis.port),
                "KANVAS_SECRET": SECRET,
                "KANVAS_BLOBS_URL": f"file://{folder / 'blobs'}",
                # else what is stopped and killed is the supervisor
                "KANVAS_SUPERVISOR": "off",
                "KANVAS_JOBS": "off",
                **settings,
            }
            server = LiveServer(folder / f"node-{number}", env, COMPOSED)
            stack.callback(server.kill)
            await asyncio.to_thread(server.start)
            front = await stack.enter_async_context(open_proxy(server.port))
            nodes.append(Node(server, to_database, to_redis, front))
        yield Cluster(postgres, valkey, nodes, postgres.url(database))
