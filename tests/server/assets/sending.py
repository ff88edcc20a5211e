"""Somebody who uploads files as the contract says, over the application in this process.

Owns: announcing, sending to whatever address is given, completing; waiting for jobs.
"""

import asyncio
from typing import Any

import httpx2

from tests.server.assets.pictures import sha256
from tests.server.edge import ROOMS, Edge, Person

DEADLINE_S = 120.0


class Sender:
    """A person in a room of theirs."""

    def __init__(
        self, edge: Edge, person: Person, room_id: str, outside: httpx2.AsyncClient | None = None
    ) -> None:
        """`outside` is how storage elsewhere is reached, which the application itself is not."""
        self.edge = edge
        self.person = person
        self.room_id = room_id
        self.outside = outside
        self.at = f"{ROOMS}/{room_id}/assets"

    async def announce(self, data: bytes, kind: str = "image/png", **fields: Any) -> httpx2.Response:
        body = {"filename": "a.png", "content_type": kind, "size": len(data), "sha256": sha256(data)}
        return await self.person.ask("POST", self.at, json=body | fields)

    async def send(self, request: dict[str, Any], data: bytes, **headers: str) -> httpx2.Response:
        """To the address in an answer, without any sign-in."""
        url = request["url"]
        http = self.edge.http if url.startswith("/") else self._elsewhere()
        return await http.request(request["method"], url, headers=request["headers"] | headers, content=data)

    def _elsewhere(self) -> httpx2.AsyncClient:
        assert self.outside is not None, "storage is elsewhere"
        return self.outside

    async def complete(self, upload_id: str) -> httpx2.Response:
        return await self.person.ask("POST", f"{self.at}/{upload_id}/complete")

    async def upload(self, data: bytes, kind: str = "image/png", **fields: Any) -> httpx2.Response:
        """All three steps; the answer to the last, or to the first that was refused."""
        announced = await self.announce(data, kind, **fields)
        if announced.status_code != 201:
            return announced
        upload = announced.json()["upload"]
        sent = await self.send(upload["request"], data)
        if sent.is_error:
            return sent
        return await self.complete(upload["id"])

    async def stored(self, data: bytes, kind: str = "image/png", **fields: Any) -> dict[str, Any]:
        answer = await self.upload(data, kind, **fields)
        assert answer.status_code in (200, 201), answer.text
        asset: dict[str, Any] = answer.json()
        return asset

    async def put(self, data: bytes, kind: str = "image/png", **query: str) -> httpx2.Response:
        return await self.person.ask(
            "PUT",
            f"{self.at}/{sha256(data)}",
            content=data,
            headers={"Content-Type": kind},
            params=query,
        )

    async def read(self, name: str, **headers: str) -> httpx2.Response:
        return await self.person.ask("GET", f"{self.at}/{name}", headers=headers)

    async def follow(self, answer: httpx2.Response, **headers: str) -> httpx2.Response:
        """Where a read is sent to storage: what that answers, asked as a browser does, without the token."""
        if answer.status_code != 302:
            return answer
        return await self._elsewhere().get(answer.headers["location"], headers=headers)

    async def content(self, name: str) -> bytes:
        """The bytes of an asset, wherever they come from."""
        read = await self.follow(await self.read(name))
        assert read.status_code == 200, read.text
        return read.content

    async def with_renditions(self, asset_id: str, *names: str) -> dict[str, Any]:
        """The asset once it has these."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                answer = await self.person.ask("GET", f"/api/v1/assets/{asset_id}/metadata")
                asset: dict[str, Any] = answer.json()
                if {one["name"] for one in asset["renditions"]} >= set(names):
                    return asset
                await asyncio.sleep(0.02)


async def enter(edge: Edge, name: str = "Ada", outside: httpx2.AsyncClient | None = None) -> Sender:
    """Somebody signs in and makes a room."""
    person = await edge.guest(name)
    return Sender(edge, person, (await person.room())["id"], outside)


def code(answer: httpx2.Response) -> tuple[int, str]:
    """What was refused, and how."""
    return answer.status_code, answer.json()["code"]
