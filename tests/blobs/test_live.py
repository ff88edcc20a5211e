"""A real server: its memory while a large file is read slowly, and uploads that are cut off. On Linux."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

from server.blobs.files import FileBlobs
from tests.blobs.blobs_contract import KEY, keys
from tests.servers import LiveServer

MIB = 1024 * 1024


def memory_kb(pid: int, name: str = "VmRSS") -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")


def serving_pid(server: LiveServer) -> int:
    """Of the process that serves, which is a child of the supervisor."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return max((int(one) for one in children), key=memory_kb, default=server.pid)


def blobs_of(server: LiveServer) -> FileBlobs:
    """The same storage, signing as the server does."""
    return FileBlobs(server.data_dir / "blobs", (server.data_dir / "secret").read_bytes().strip())


async def request(server: LiveServer, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=64 * 1024)
    writer.write(f"{head}\r\nHost: {urlsplit(server.url).netloc}\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def test_live(tmp_path: Path) -> None:
    """One server for both: it takes two seconds to start."""
    with LiveServer(tmp_path / "data") as server:
        await slow_readers_cost_next_to_nothing(server)
        await uploads_that_are_cut_off_leave_nothing(server)


async def slow_readers_cost_next_to_nothing(server: LiveServer) -> None:
    blobs = blobs_of(server)
    path = server.data_dir / "blobs" / KEY
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(100 * MIB)
    signed = await blobs.sign_get(KEY, content_type="video/mp4", disposition="inline", expires_s=600)
    pid = serving_pid(server)
    before_kb = memory_kb(pid)
    # five that take nothing, one that reads slowly, one that reads all at once
    stalled = [await request(server, f"GET {signed.url} HTTP/1.1") for _ in range(5)]
    reader, writer = await request(server, f"GET {signed.url} HTTP/1.1")
    for _ in range(20):
        assert await reader.read(64 * 1024)
        await asyncio.sleep(0.02)
    seen_bytes = 20 * 64 * 1024
    while data := await reader.read(MIB):
        seen_bytes += len(data)
    assert seen_bytes >= 100 * MIB
    grown_kb = memory_kb(pid, "VmHWM") - before_kb
    print(f"100 MB read slowly beside five stalled readers: {grown_kb / 1024:.1f} MB more")
    assert grown_kb < 20 * 1024
    for _, one in [*stalled, (reader, writer)]:
        one.close()
    await blobs.delete([KEY])


async def uploads_that_are_cut_off_leave_nothing(server: LiveServer) -> None:
    blobs = blobs_of(server)
    signed = await blobs.sign_put(
        "trial/photo.png", size_bytes=8 * MIB, content_type="image/png", expires_s=60
    )
    head = f"PUT {signed.url} HTTP/1.1\r\nContent-Length: {8 * MIB}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
    for kill in (False, True):
        _, writer = await request(server, head.rstrip())
        writer.write(bytes(4 * MIB))
        await writer.drain()
        incoming = server.data_dir / "blobs" / ".incoming"
        async with asyncio.timeout(30):
            while not any(one.stat().st_size > MIB for one in _files(incoming)):
                await asyncio.sleep(0.01)
        if kill:
            server.kill()
            server.start()
        writer.close()
        async with asyncio.timeout(30):
            # a killed process leaves its temporary file to a later start
            while _files(incoming) and not kill:
                await asyncio.sleep(0.01)
        assert await keys(blobs) == []


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.exists() else []
