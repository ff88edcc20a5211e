"""The whole application in this process, reached without a socket.

Owns: opening the real services on a fresh data folder, and people who ask over HTTP.
"""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette

from db.scopes import Scoped, as_system
from server.app import create_app
from server.jobs.base import JobHandler
from server.services import Services, open_services
from server.settings import Settings

HOST = "http://kanvas.test"
ROOMS = "/api/v1/rooms"


class Person:
    """Somebody with a bearer token."""

    def __init__(self, http: httpx2.AsyncClient, token: str, user_id: str) -> None:
        self.http = http
        self.token = token
        self.user_id = user_id

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str | bytes] | None = None, **more: Any
    ) -> httpx2.Response:
        signed = [("Authorization", f"Bearer {self.token}"), *(headers or {}).items()]
        raw = [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in signed]
        return await self.http.request(method, path, headers=raw, **more)

    async def room(self, **fields: Any) -> dict[str, Any]:
        """Make a room."""
        made = await self.ask("POST", ROOMS, json=fields)
        assert made.status_code == 201, made.text
        room: dict[str, Any] = made.json()
        return room


class Edge:
    """The application and what it stands on."""

    def __init__(self, app: Starlette, services: Services, http: httpx2.AsyncClient) -> None:
        self.app = app
        self.services = services
        self.http = http

    @property
    def database(self) -> Scoped:
        """The database as the server itself sees it: all of it."""
        return as_system(self.services.database)

    async def guest(self, name: str = "Ada") -> Person:
        """Sign in. The cookie it sets is not kept: who wants it says so."""
        answer = await self.http.post("/api/v1/auth/guest", json={"name": name})
        assert answer.status_code == 201, answer.text
        self.http.cookies.clear()
        told = answer.json()
        return Person(self.http, told["token"], told["user"]["id"])


def copy_database(data_dir: Path, empty_database: Path) -> Path:
    """A migrated database in this folder, if it has none yet."""
    data_dir.mkdir(parents=True, exist_ok=True)
    path = data_dir / "kanvas.db"
    if not path.exists():
        shutil.copy(empty_database, path)
    return path


@asynccontextmanager
async def open_edge(
    data_dir: Path,
    empty_database: Path | str,
    handlers: Mapping[str, JobHandler] | None = None,
    **settings: Any,
) -> AsyncIterator[Edge]:
    """The application on a fresh database in `data_dir`, with its own kinds of jobs or these.

    `empty_database` is a SQLite file to copy, or the address of a database to use.
    """
    if isinstance(empty_database, str):
        data_dir.mkdir(parents=True, exist_ok=True)
        # transactions that wait for each other on a busy machine
        settings = {"database_timeout_s": 30, **settings, "database_url": empty_database}
    else:
        copy_database(data_dir, empty_database)
    # tests make more rooms in a minute than anybody; those of the limits turn them on
    made = Settings(**{"data_dir": data_dir, "rate_limits": "off", **settings})
    async with open_services(made, handlers=handlers) as services:
        app = create_app(made, services)
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=HOST) as http:
            yield Edge(app, services, http)


def field_names(answer: httpx2.Response) -> list[str]:
    """What a 422 complains about."""
    assert answer.status_code == 422, answer.text
    return [one.get("pointer", one.get("field")) for one in answer.json()["errors"]]
