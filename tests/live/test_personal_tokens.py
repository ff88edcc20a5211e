"""Personal tokens and open sockets: a script that may only look, and one whose token is revoked."""

import asyncio
import time
from pathlib import Path

import httpx2
import websockets
from pycrdt import Doc, Map

from party import wire
from party.room import VIEW_ONLY
from tests.live.pulse import Pulse
from tests.live.test_identity import closed
from tests.servers import LiveServer, bearer


async def told(line: websockets.ClientConnection, message: bytes) -> None:
    """Returns once this message came. Raises TimeoutError."""
    async with asyncio.timeout(30):
        while await line.recv(decode=False) != message:
            pass


async def test_a_socket_is_bound_by_the_scopes_and_closed_with_its_token(tmp_path: Path) -> None:
    """U2, U4, G5: what it draws without rooms:write changes nothing, in words; a revoked one is closed."""
    with LiveServer(tmp_path / "data", {"KANVAS_SUPERVISOR": "off"}) as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        async with httpx2.AsyncClient(base_url=server.url, headers=bearer(token), timeout=30) as http:

            async def make(*scopes: str) -> dict[str, str]:
                made = await http.post("/api/v1/me/tokens", json={"name": "s", "scopes": list(scopes)})
                own: dict[str, str] = made.json()
                return own

            reader, writer = await make("rooms:read"), await make("rooms:read", "rooms:write")
            blind = await make("rooms:write")
            doc: Doc[Map] = Doc()
            doc.get("map", type=Map)["key"] = True
            drawn = wire.encode_update(doc.get_update())
            at = f"{server.ws_url}/{room_id}?token="
            async with websockets.connect(at + blind["token"]) as line:
                assert await closed(line) == 4403
            async with websockets.connect(at + reader["token"]) as line:
                await line.send(drawn)
                await told(line, wire.encode_notice(VIEW_ONLY))
                assert (await http.get(f"/parties/{room_id}")).json()["version"] == "1-0"
            async with websockets.connect(at + writer["token"]) as line:
                await line.send(drawn)
                while (await http.get(f"/parties/{room_id}")).json()["version"] != "1-1":
                    await asyncio.sleep(0.02)
                async with Pulse(server) as pulse:
                    assert (await http.delete(f"/api/v1/me/tokens/{writer['id']}")).status_code == 204
                    begin = time.monotonic()
                    assert await closed(line) == 4401
                    assert pulse.worked_s(begin) < 1.0
