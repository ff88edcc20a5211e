"""`kanvas serve` as a process: its greeting, its port, its end."""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import websockets

from db.migrate import upgrade
from server.app import create_app
from server.serve import CannotListen, KanvasServer, bind, bind_patiently, server_config
from server.services import open_services
from server.settings import Settings
from tests.servers import LiveServer, free_port


@contextmanager
def serving(data_dir: Path, **env: str) -> Iterator["subprocess.Popen[str]"]:
    """The command on any free port, until it has greeted."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KANVAS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "serve"],
        env=clean | {"KANVAS_DATA_DIR": str(data_dir), "KANVAS_PORT": "0"} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def test_it_says_where_it_is_where_the_data_is_and_how_to_stop(tmp_path: Path) -> None:
    data_dir = tmp_path / "with spaces" / "data"
    with serving(data_dir) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(3)]
        address = told[0].split()[-1]
        assert told[1].strip().endswith(str(data_dir))
        assert "Ctrl+C" in told[2]
        assert httpx2.get(f"{address}/readyz", timeout=60).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "stopped" in out
        assert err == "" or "error" not in err


def test_it_warns_when_others_can_reach_it(tmp_path: Path) -> None:
    with serving(tmp_path, KANVAS_HOST="0.0.0.0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        warning = process.stderr.readline()
        assert warning.startswith("Warning: KANVAS_HOST=0.0.0.0")
        assert "guest" in warning


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with serving(tmp_path, KANVAS_PORT=str(port)) as process:
            out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert f"Port {port} of 127.0.0.1 is in use" in err
    assert f"KANVAS_PORT={port + 1}" in err
    assert "Traceback" not in err
    assert not (tmp_path / "kanvas.db").exists()


def test_a_damaged_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "kanvas.db").write_bytes(b"this is no database" * 100)
    with serving(tmp_path) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert err == "The database file is not a SQLite database.\n"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-name.invalid"])
def test_an_address_of_another_machine_is_a_sentence(host: str) -> None:
    with pytest.raises(CannotListen, match=f"KANVAS_HOST={host}"):
        bind(host, 0)


def test_localhost_is_bound_on_one_port() -> None:
    sockets = bind_patiently("localhost", 0)
    assert len({one.getsockname()[1] for one in sockets}) == 1
    for one in sockets:
        one.close()


def test_a_second_start_is_cheap(tmp_path: Path) -> None:
    """Under 2 s on an idle machine; measured in processor time, because tests share theirs."""
    with LiveServer(tmp_path / "data") as server:
        assert server.stop() == 0
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        server.start()
        assert server.stop() == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 8


async def test_a_graceful_stop_tells_the_sockets_and_ends_in_time(tmp_path: Path) -> None:
    with LiveServer(tmp_path / "data") as server:
        token = server.guest()
        room_id = server.room(token)
        async with websockets.connect(f"{server.ws_url}/{room_id}?token={token}") as socket_:
            await socket_.recv()
            idle = await asyncio.open_connection("127.0.0.1", server.port)  # a keep-alive that says nothing
            code = await asyncio.to_thread(server.stop)
            assert code == 0
            with contextlib.suppress(websockets.ConnectionClosed):
                while True:
                    await socket_.recv()
            assert socket_.close_code == 1012
            idle[1].close()
        assert token not in server.log()


def test_free_port_is_free() -> None:
    port = free_port()
    for one in bind("127.0.0.1", port):
        one.close()


def test_a_free_port_is_given_to_nobody_else() -> None:
    """Neither here, nor by another process of tests, nor by the kernel to a connection."""
    mine = [free_port() for _ in range(3)]
    code = "from tests.servers import free_port; print(free_port())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len({*mine, int(told.stdout)}) == 4
    assert max(*mine, int(told.stdout)) < 32_768


async def test_an_order_to_drain_ends_the_server_as_a_signal_does(tmp_path: Path) -> None:
    """M9: what the operator's order calls is the server's own graceful stop. What started with the garbage
    collector off has it on when it serves."""
    settings = Settings(data_dir=tmp_path, port=0)
    upgrade(settings.effective_database_url)
    # the server keeps the handlers to the end of its process, which is not the end of ours
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        async with open_services(settings) as services:
            server = KanvasServer(server_config(create_app(settings, services)), services, lambda: None)
            gc.disable()
            running = asyncio.create_task(server.serve(bind("127.0.0.1", 0)))
            async with asyncio.timeout(60):
                while services.oversight.stop is None:
                    await asyncio.sleep(0.01)
                assert gc.isenabled()
                services.oversight.stop()
                await running
            assert services.readiness.phase == "draining"
    finally:
        gc.enable()
        gc.unfreeze()
        for one, handler in before.items():
            signal.signal(one, handler)
