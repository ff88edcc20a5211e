"""A storm of joins over HTTP to one large document, against a live server: it holds one copy."""

import gzip
import socket
import subprocess
from pathlib import Path

import httpx2
from pycrdt import Doc

from tests.drawings import drawing
from tests.servers import LiveServer, bearer

JOINS = 100
SIZE_BYTES = 3_000_000
MIB = 1024 * 1024


def memory_bytes(pid: int) -> int:
    """What the process has in memory now."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(shown.stdout) * 1024


def ask_for_base(server: LiveServer, token: str, room_id: str) -> socket.socket:
    """A client that asks and reads nothing."""
    raw = socket.socket()
    # before it connects: how much the server may send ahead is chosen then
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    raw.settimeout(60)
    raw.connect(("127.0.0.1", server.port))
    raw.sendall(
        f"GET /parties/{room_id}/base HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAccept-Encoding: gzip\r\n"
        f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
    )
    return raw


def rest_of(raw: socket.socket) -> tuple[bytes, bytes]:
    """Head and body, to the end."""
    parts = []
    while part := raw.recv(MIB):
        parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return head, body


def test_a_hundred_joins_to_a_large_document_hold_one_copy(tmp_path: Path) -> None:
    """H9: a hundred readers that do not read cost slices, not copies; then all get the same bytes."""
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token)
        headers = bearer(token) | {"Content-Type": "application/octet-stream"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as http:
            for update in drawing(SIZE_BYTES):
                assert http.post(f"/parties/{room_id}", content=update).status_code == 200
        version, state = server.state(token, room_id)
        head, first = rest_of(ask_for_base(server, token, room_id))
        assert b" 200 " in head.splitlines()[0]
        assert len(first) > 0.5 * MIB
        before = memory_bytes(server.pid)
        clients = [ask_for_base(server, token, room_id) for _ in range(JOINS)]
        try:
            # every answer has begun
            begun = [client.recv(1, socket.MSG_PEEK) for client in clients]
            grown = memory_bytes(server.pid) - before
            bodies = {rest_of(client)[1] for client in clients}
        finally:
            for client in clients:
                client.close()
    print(
        f"{JOINS} joins to {len(state) / 1e6:.1f} MB, {len(first) / 1e6:.2f} MB packed: {grown / MIB:.1f} MiB"
    )
    assert begun == [b"H"] * JOINS
    # a copy each would be {JOINS} times 0.8 MB; a slice and what a request needs is a fifth of that
    assert grown < JOINS * len(first) / 3
    assert bodies == {first}
    doc: Doc[object] = Doc()
    doc.apply_update(gzip.decompress(first))
    whole: Doc[object] = Doc()
    whole.apply_update(state)
    assert doc.get_state() == whole.get_state()
    assert version.startswith("1-")
