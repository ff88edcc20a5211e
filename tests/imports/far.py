"""A server somewhere else, on the loopback: it sends what a test tells it to, byte by byte if need be."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_network
from pathlib import Path

Script = Callable[[asyncio.StreamWriter], Awaitable[None]]

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer; `content_length=...` and others in place of what is right."""
    lines = {"content_length": str(len(body)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


class Far:
    """What runs: its port, what it was asked, and for which names (SNI)."""

    def __init__(self) -> None:
        self.port = 0
        self.pages: dict[str, bytes | Script] = {}
        self.heads: list[bytes] = []
        self.names: list[str | None] = []
        self.connections = 0

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            path = head.split(b" ")[1].decode().partition("?")[0]
            page = self.pages.get(path, answer(status="404 Not Found"))
            if isinstance(page, bytes):
                writer.write(page)
            else:
                await page(writer)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def far_server(
    host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Far]:
    far = Far()
    if tls is not None:

        def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
            far.names.append(name)

        tls.sni_callback = note
    server = await asyncio.start_server(far.serve, host, port, ssl=tls)
    far.port = server.sockets[0].getsockname()[1]
    try:
        yield far
    finally:
        server.close()


def make_certificate(folder: Path, name: str) -> Path:
    """A self-signed certificate for a DNS name, with its key in the same file."""
    pem = folder / f"{name}.pem"
    key = folder / f"{name}.key"
    options = f"-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
    names = ("-addext", f"subjectAltName=DNS:{name}")
    files = ("-keyout", str(key), "-out", str(pem))
    subprocess.run(["openssl", "req", *options.split(), *names, *files], check=True, capture_output=True)
    pem.write_bytes(pem.read_bytes() + key.read_bytes())
    return pem


def server_tls(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
