"""Fetching over real sockets: where it connects, what it takes, how much, how long, and what it leaves."""

import asyncio
import gzip
import hashlib
import os
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from party.errors import Unavailable
from server.imports.fetch import MAX_REDIRECTS, Fetched, fetch
from server.imports.wire import Resolver, is_own, judge, look_up
from server.problems import AssetTooLarge, ImportAddressRefused, ImportFailed, ImportUrlInvalid, KanvasError
from tests.imports.far import LOOPBACK, Far, Script, answer, far_server, make_certificate, server_tls
from tests.servers import run

PICTURE = os.urandom(300_000)


@pytest.fixture
async def far() -> AsyncIterator[Far]:
    async with far_server() as running:
        running.pages["/a.png"] = answer(PICTURE)
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "fetched"


async def get(url: str, target: Path, **options: Any) -> Fetched:
    """With the loopback allowed."""
    return await fetch(url, target, **({"max_bytes": 1 << 20, "networks": LOOPBACK} | options))


async def refused(kind: type[KanvasError], url: str, target: Path, **options: Any) -> str:
    """The words it fails with; no file is left."""
    with pytest.raises(kind) as error:
        await get(url, target, **options)
    assert not target.exists()
    return error.value.message


def answers(*addresses: str) -> Resolver:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def redirect(to: str, status: str = "302 Found") -> bytes:
    return answer(status=status, location=to)


# -- what comes ------------------------------------------------------------------------------------


async def test_a_file_is_fetched_counted_and_named(far: Far, target: Path) -> None:
    far.pages["/dir/%C3%BC"] = answer(PICTURE, content_disposition='inline; filename="photo.png"')
    got = await get(far.url("/dir/ü?x=1#frag"), target)
    assert target.read_bytes() == PICTURE
    digest = hashlib.sha256(PICTURE).hexdigest()
    assert got == Fetched(len(PICTURE), digest, "photo.png", far.url("/dir/%C3%BC?x=1"))


async def test_the_request_says_who_asks_and_nothing_else(far: Far, target: Path) -> None:
    far.pages["/"] = answer(status="302 Found", location="/a.png", set_cookie="session=1")
    assert (await get(far.url(), target)).filename == "a.png"
    lines = far.heads[1].decode().split("\r\n")
    assert lines[0] == "GET /a.png HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines[1:] if line)
    assert set(headers) == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}
    assert headers["Host"] == f"127.0.0.1:{far.port}"
    assert headers["User-Agent"].startswith("Kanvas/")
    assert headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("body", [b"", b"x"])
async def test_small_bodies_and_chunked_ones(far: Far, target: Path, body: bytes) -> None:
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    far.pages["/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
    far.pages["/closed"] = b"HTTP/1.1 200 OK\r\n\r\n" + body
    for path in ("/", "/closed"):
        got = await get(far.url(path), target)
        assert (got.size_bytes, target.read_bytes()) == (len(body), body)


async def test_a_file_that_was_there_is_replaced(far: Far, target: Path) -> None:
    target.write_bytes(b"x" * 1_000_000)
    await get(far.url("/a.png"), target)
    assert target.read_bytes() == PICTURE


# -- where it connects -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "LOCALHOST.", "127。0。0。1", "0.0.0.0", "169.254.169.254", "10.0.0.1"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]"),
    ],
)
async def test_nothing_inside_is_reached(far: Far, target: Path, host: str) -> None:
    await refused(ImportAddressRefused, far.url("/a.png", host), target, networks=())
    assert far.connections == 0


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7f000001"])
async def test_other_ways_to_write_it_are_no_address_at_all(far: Far, target: Path, host: str) -> None:
    await refused(ImportUrlInvalid, far.url("/a.png", host), target)
    assert far.connections == 0


@pytest.mark.parametrize("form", ["::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "::{}", "fe80::5efe:{}"])
async def test_a_name_that_answers_with_an_inside_address_in_disguise(
    far: Far, target: Path, form: str
) -> None:
    inside = form.format("127.0.0.1")
    resolve = answers(inside)
    await refused(
        ImportAddressRefused, far.url("/a.png", "cdn.example"), target, networks=(), resolve=resolve
    )
    assert far.connections == 0


async def test_one_address_inside_refuses_the_name_with_all_its_others(far: Far, target: Path) -> None:
    resolve = answers("127.0.0.1", "10.0.0.1")
    await refused(ImportAddressRefused, far.url("/a.png", "cdn.example"), target, resolve=resolve)
    assert far.connections == 0


async def test_a_refusal_tells_nothing_of_the_network_inside(far: Far, target: Path) -> None:
    """The same words for what listens, what does not, names that are there and names that are not."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = probe.getsockname()[1]
    far.pages["/inner"] = redirect("http://10.9.8.7:8080/")
    words = {
        await refused(ImportAddressRefused, far.url("/a.png"), target, networks=()),
        await refused(ImportAddressRefused, f"http://127.0.0.1:{closed}/", target, networks=()),
        await refused(ImportAddressRefused, "http://10.0.0.1/", target, networks=()),
        await refused(ImportAddressRefused, far.url("/inner"), target),
        await refused(ImportAddressRefused, "http://db.internal/", target, resolve=answers("10.0.0.2")),
        await refused(ImportAddressRefused, "http://db.internal/", target, resolve=answers()),
        await refused(ImportAddressRefused, "http://db.internal/", target, resolve=answers("nonsense")),
        await refused(ImportAddressRefused, "http://nothing.invalid/", target, resolve=no_such_name),
    }
    assert len(words) == 1


async def no_such_name(host: str, port: int) -> Sequence[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_a_name_is_looked_up_once_and_the_answer_is_where_it_connects(target: Path) -> None:
    """DNS rebinding: the second answer would lead elsewhere, and is never asked for."""
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    async with far_server("127.0.0.2") as right, far_server("127.0.0.1", right.port) as wrong:
        right.pages["/a.png"] = answer(b"right")
        wrong.pages["/a.png"] = answer(b"wrong")
        networks = [ip_network("127.0.0.2/32")]
        await get(right.url("/a.png", "cdn.example"), target, resolve=resolve, networks=networks)
        assert target.read_bytes() == b"right"
        assert asked == [("cdn.example", right.port)]
        assert f"Host: cdn.example:{right.port}\r\n".encode() in right.heads[0]
        # the next hop is looked up anew, and judged anew
        asked.clear()
        right.pages["/again"] = redirect("/a.png")
        await refused(
            ImportAddressRefused,
            right.url("/again", "cdn.example"),
            target,
            resolve=resolve,
            networks=networks,
        )
        assert len(asked) == 2
        assert wrong.connections == 0


async def test_the_next_address_is_tried_when_one_does_not_answer(far: Far, target: Path) -> None:
    resolve = answers("127.0.0.3", "127.0.0.1")
    await get(far.url("/a.png", "cdn.example"), target, resolve=resolve)
    assert target.read_bytes() == PICTURE


async def test_names_are_looked_up_by_the_system(far: Far, target: Path) -> None:
    assert "127.0.0.1" in await look_up("localhost", far.port)
    with pytest.raises(socket.gaierror):
        await look_up("nothing.invalid", 80)
    await get(far.url("/a.png", "localhost"), target)
    # one that hangs does not hold up the end of the process
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("import-lookup")]
    assert threads
    assert all(thread.daemon for thread in threads)


async def test_a_lookup_that_hangs_ends_with_the_import(target: Path) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    words = await refused(ImportFailed, "http://cdn.example/", target, resolve=resolve, total_s=0.1)
    assert "longer than 0.1 s" in words


def test_the_machine_knows_its_own_addresses() -> None:
    assert is_own(ip_network("127.0.0.1/32")[0])
    assert is_own(ip_network("::ffff:127.0.0.1/128")[0])
    assert not is_own(ip_network("198.51.100.1/32")[0])


def test_too_many_addresses_are_not_looked_at() -> None:
    assert len(judge(["1.1.1.1"] * 32, ())) == 32
    with pytest.raises(ImportAddressRefused):
        judge(["1.1.1.1"] * 33, ())


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
async def test_proxies_of_the_environment_are_ignored(
    far: Far, target: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with far_server() as proxy:
        for one in (name, name.lower()):
            monkeypatch.setenv(one, proxy.url())
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        await get(far.url("/a.png"), target)
        assert proxy.connections == 0


# -- redirects -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temp", "308 Perm"])
async def test_redirects_are_followed(far: Far, target: Path, status: str) -> None:
    far.pages["/"] = redirect("a.png", status)
    assert (await get(far.url(), target)).url == far.url("/a.png")


@pytest.mark.parametrize(
    ("to", "kind"),
    [
        ("http://127.0.0.9:{port}/a.png", ImportAddressRefused),
        ("http://[::1]:{port}/a.png", ImportAddressRefused),
        ("http://[::ffff:127.0.0.9]:{port}/a.png", ImportAddressRefused),
        ("http://169.254.169.254/latest/meta-data/", ImportAddressRefused),
        ("//10.0.0.1/", ImportAddressRefused),
        ("http://2130706441:{port}/a.png", ImportUrlInvalid),
        ("file:///etc/passwd", ImportUrlInvalid),
        ("gopher://127.0.0.1:6379/_INFO", ImportUrlInvalid),
        ("http://a:b@127.0.0.1:{port}/a.png", ImportUrlInvalid),
        ("http://127.0.0.1:25/", ImportUrlInvalid),
    ],
)
async def test_each_redirect_is_judged_like_the_first_address(
    far: Far, target: Path, to: str, kind: type[KanvasError]
) -> None:
    far.pages["/"] = redirect(to.format(port=far.port))
    await refused(kind, far.url(), target, networks=[ip_network("127.0.0.1/32")])
    assert far.connections == 1


async def test_five_redirects_are_followed_and_no_sixth(far: Far, target: Path) -> None:
    for number in range(MAX_REDIRECTS):
        far.pages[f"/{number + 1}"] = redirect(f"/{number}")
    far.pages["/0"] = answer(b"there")
    await get(far.url(f"/{MAX_REDIRECTS}"), target)
    assert target.read_bytes() == b"there"
    far.pages["/0"] = redirect(f"/{MAX_REDIRECTS}")
    far.connections = 0
    assert "more than 5 times" in await refused(ImportFailed, far.url("/0"), target)
    assert far.connections == MAX_REDIRECTS + 1


# -- what is not taken -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial", "304 Not", "401 Who", "404 No", "500 Oh"]
)
async def test_every_status_but_200_is_told_without_the_body(far: Far, target: Path, status: str) -> None:
    far.pages["/"] = answer(b"" if status[0] in "23" else b"inside talk", status=status)
    words = await refused(ImportFailed, far.url(), target)
    assert status[:3] in words
    assert "inside" not in words


async def test_a_redirect_to_nowhere_is_a_status(far: Far, target: Path) -> None:
    far.pages["/"] = answer(status="302 Found")
    assert "302" in await refused(ImportFailed, far.url(), target)


async def test_what_is_longer_than_allowed_is_refused_before_it_comes(far: Far, target: Path) -> None:
    far.pages["/"] = answer(b"", content_length=str(10**15))
    await refused(AssetTooLarge, far.url(), target)
    await refused(AssetTooLarge, far.url("/a.png"), target, max_bytes=len(PICTURE) - 1)
    await get(far.url("/a.png"), target, max_bytes=len(PICTURE))


def endless(head: bytes, piece: bytes, wait_s: float = 0.0) -> Script:
    async def send(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(wait_s)

    return send


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    ],
)
async def test_an_endless_body_ends_at_the_cap(far: Far, target: Path, head: bytes, piece: bytes) -> None:
    far.pages["/"] = endless(head, piece)
    await refused(AssetTooLarge, far.url(), target)


async def test_a_body_is_as_long_as_its_content_length(far: Far, target: Path) -> None:
    far.pages["/long"] = answer(b"x" * 100, content_length="10")
    assert (await get(far.url("/long"), target)).size_bytes == 10
    far.pages["/short"] = answer(b"x" * 100, content_length="101")
    assert "incomplete" in await refused(ImportFailed, far.url("/short"), target)
    far.pages["/cut"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
    assert "incomplete" in await refused(ImportFailed, far.url("/cut"), target)


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "GZIP, identity", "zstd"])
async def test_compressed_answers_are_refused_unread(far: Far, target: Path, coding: str) -> None:
    far.pages["/"] = answer(gzip.compress(bytes(10_000_000)), content_encoding=coding)
    assert "compressed" in await refused(ImportFailed, far.url(), target)
    far.pages["/"] = answer(b"plain", content_encoding="identity")
    await get(far.url(), target)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00" * 50,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"+PONG\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 40_000 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ],
)
async def test_what_is_no_proper_http_is_refused(far: Far, target: Path, raw: bytes) -> None:
    far.pages["/"] = raw
    await refused(ImportFailed, far.url(), target)


# -- how long --------------------------------------------------------------------------------------


async def test_a_drip_ends_at_the_total_cap(far: Far, target: Path) -> None:
    far.pages["/"] = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x", 0.05)
    began = time.monotonic()
    words = await refused(ImportFailed, far.url(), target, total_s=0.5, stall_s=0.4)
    assert "longer than 0.5 s" in words
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_so_does_a_head_that_drips(far: Far, target: Path, piece: bytes) -> None:
    far.pages["/"] = endless(b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n", piece, 0.05)
    assert "longer than" in await refused(ImportFailed, far.url(), target, total_s=0.5)


async def test_a_server_that_falls_silent_is_left(far: Far, target: Path) -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
        await writer.drain()
        await asyncio.sleep(3)

    far.pages["/"] = stall
    assert "nothing for 0.2 s" in await refused(ImportFailed, far.url(), target, stall_s=0.2)


async def test_one_that_refuses_or_never_answers_can_not_be_reached(target: Path) -> None:
    """A full backlog is silent: the system drops what comes."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        place = full.getsockname()
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(place)
        url = f"http://127.0.0.1:{place[1]}/"
        silent = await refused(ImportFailed, url, target, connect_s=0.2)
    assert silent == await refused(ImportFailed, url, target, connect_s=0.2)
    assert "can't be reached" in silent


@pytest.mark.parametrize("where", ["lookup", "head", "body"])
async def test_cancelled_it_leaves_nothing(far: Far, target: Path, where: str) -> None:
    reached, gone = asyncio.Event(), asyncio.Event()

    async def resolve(host: str, port: int) -> Sequence[str]:
        if where == "lookup":
            reached.set()
            await asyncio.sleep(60)
        return ["127.0.0.1"]

    async def send(writer: asyncio.StreamWriter) -> None:
        if where == "body":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + PICTURE)
            await writer.drain()
        reached.set()
        await _until_closed(writer)
        gone.set()

    far.pages["/"] = send
    task = asyncio.create_task(
        get(far.url(host="cdn.example"), target, max_bytes=10_000_000, resolve=resolve)
    )
    await reached.wait()
    if where == "body":
        while not target.exists():
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not target.exists()
    if where != "lookup":
        await asyncio.wait_for(gone.wait(), 10)


async def _until_closed(writer: asyncio.StreamWriter) -> None:
    """Until the other side is gone: then writing fails."""
    try:
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)
    except OSError:
        return


# -- the loop and the memory stay free -------------------------------------------------------------


async def longest_turn_s(work: Awaitable[object]) -> float:
    """The most processor time the event loop spent meanwhile before others had their turn."""
    longest = 0.0
    running = asyncio.ensure_future(work)
    while not running.done():
        began = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    await running
    return longest


async def test_a_body_in_tiny_chunks_does_not_hold_up_the_event_loop(far: Far, target: Path) -> None:
    """30,000 chunks of a byte: half a second of work, of which 64 KB at a time are there to be read."""
    far.pages["/"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n"
    )
    await get(far.url("/a.png"), target)
    assert await longest_turn_s(get(far.url(), target)) < 0.03
    assert target.stat().st_size == 30_000


@pytest.mark.parametrize("before", ["", "HTTP/1.1 100 Continue\r\n\r\n" * 3000])
async def test_nor_does_a_head_of_tiny_lines(far: Far, target: Path, before: str) -> None:
    """As many lines as a head may have, and as many heads before it as a server likes."""
    far.pages["/"] = before.encode() + b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 4000 + b"\r\n"
    await get(far.url("/a.png"), target)
    assert await longest_turn_s(get(far.url(), target)) < 0.03


async def test_memory_does_not_grow_with_the_file(far: Far, target: Path) -> None:
    """50 MB in a process of its own, whose peak is read."""
    far.pages["/large"] = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n", bytes(100_000))
    said = await run(
        sys.executable, "-m", "tests.imports.reader", far.url("/a.png"), far.url("/large"), str(target)
    )
    assert target.stat().st_size == 50_000_000
    assert int(said) < 10_000_000


async def test_a_file_that_can_not_be_written_is_told(far: Far, target: Path) -> None:
    with pytest.raises(Unavailable, match="can't be stored now"):
        await get(far.url("/a.png"), target / "below" / "nothing")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        await refused(Unavailable, far.url("/a.png"), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# -- https -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), "cdn.example")


async def test_https_is_checked_for_the_name_whatever_address_it_has(certificate: Path, target: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    resolve = answers("127.0.0.1")
    async with far_server(tls=server_tls(certificate)) as far:
        far.pages["/a.png"] = answer(PICTURE)
        url = far.url("/a.png", "CDN.example.", "https")
        got = await get(url, target, resolve=resolve, tls=trusting)
        assert got.size_bytes == len(PICTURE)
        assert far.names == ["cdn.example"]
        assert f"Host: cdn.example:{far.port}\r\n".encode() in far.heads[0]
        # another name for the same server
        other = far.url("/a.png", "other.example", "https")
        words = await refused(ImportFailed, other, target, resolve=resolve, tls=trusting)
        assert "certificate" in words
        # its address instead of a name
        words = await refused(ImportFailed, far.url("/a.png", scheme="https"), target, tls=trusting)
        assert "certificate" in words
        # nobody vouches for it
        assert "certificate" in await refused(ImportFailed, url, target, resolve=resolve)
        assert len(far.heads) == 1


async def test_https_does_not_lead_to_http(certificate: Path, target: Path, far: Far) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    async with far_server(tls=server_tls(certificate)) as secure:
        secure.pages["/"] = redirect(far.url("/a.png"))
        url = secure.url(host="cdn.example", scheme="https")
        words = await refused(ImportFailed, url, target, resolve=answers("127.0.0.1"), tls=trusting)
        assert "from https to http" in words
        assert far.connections == 0


async def test_a_server_without_tls_is_told_in_a_sentence(far: Far, target: Path) -> None:
    words = await refused(ImportFailed, far.url(scheme="https"), target, connect_s=0.3)
    assert "No secure connection" in words
