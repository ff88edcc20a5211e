"""Real Yjs in Node against a live server: all documents, the server's and a cold restart's are equal."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.servers import LiveServer, run

FUZZ = str(Path(__file__).with_name("fuzz.mjs"))
SEEDS = range(1, 1 + int(os.environ.get("TEST_FUZZ_SEEDS", "6")))
NODE = os.environ.get("TEST_NODE") or shutil.which("node") or "node"


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed{seed}")
async def test_five_yjs_clients_and_two_servers_converge(tmp_path: Path, seed: int) -> None:
    """D4 W4: five stock y-websocket clients, random edits and disconnects, then everybody has the same."""
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token, schema="open")
        clients = json.loads(
            await run(NODE, FUZZ, "edit", server.ws_url, room_id, token, str(seed), "5", "400")
        )
        warm = json.loads(await run(NODE, FUZZ, "state", server.url, room_id, token))
        version, _ = server.state(token, room_id)
        server.kill()
        server.start()
        cold = json.loads(await run(NODE, FUZZ, "state", server.url, room_id, token))
        assert server.state(token, room_id)[0] == version
    assert clients["vector"]
    assert warm == clients
    assert cold == clients
