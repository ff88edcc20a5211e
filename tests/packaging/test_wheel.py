"""The wheel: what is in it, and that it serves from a folder that has nothing to do with this tree."""

import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import httpx2
import pytest

from tests.packaging import wheels
from tests.servers import bearer, free_port

START_S = 90.0
STOP_S = 60.0


def test_it_holds_the_packages_the_migrations_and_the_client(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/", 1)[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"server", "party", "db"}
    assert {"server/static/index.html", "db/migrations/env.py", "db/migrations/script.py.mako"} <= names
    versions = {path.name for path in (wheels.ROOT / "alembic" / "versions").glob("*.py")}
    assert versions
    assert {f"db/migrations/versions/{name}" for name in versions} <= names
    assert [name for name in names if "__pycache__" in name or "node_modules" in name] == []
    built = wheels.ROOT / "static" / "dist"
    client = {
        f"server/static/{path.relative_to(built).as_posix()}" for path in built.rglob("*") if path.is_file()
    }
    assert client <= names


def test_it_is_not_built_without_the_client(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE", ".make/hatch_build.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(wheels.ROOT / name, tmp_path / name)
    for folder in ("server", "party", "db", "alembic"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    built = wheels.build(tmp_path, tmp_path / "out")
    assert built.returncode != 0
    assert "static/dist/index.html is missing. Type:  make setup" in built.stdout


@pytest.mark.timeout(600)
def test_it_serves_from_another_folder(installed: wheels.Environment, tmp_path: Path) -> None:
    elsewhere = tmp_path / "some where else"
    elsewhere.mkdir()
    where = wheels.run(
        [installed.python, "-c", "import server, party, db; print(server.__file__)"], cwd=elsewhere
    )
    assert str(installed.folder) in where.stdout, where.stdout

    port = free_port()
    log = tmp_path / "serve.log"
    env = wheels.plain_environment() | {"KANVAS_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(installed.kanvas), "serve"],
            cwd=elsewhere,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_until_ready(client, process, log)
            use(client)
        assert (elsewhere / ".data").is_dir()
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0, log.read_text(errors="replace")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until_ready(client: httpx2.Client, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if client.get("/healthz").status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    pytest.fail(f"It did not start (exit code {process.poll()}):\n{log.read_text(errors='replace')[-4000:]}")


def use(client: httpx2.Client) -> None:
    """The first steps of a person: the page, a name, a room, the room's state."""
    page = client.get("/")
    assert page.status_code == 200
    assert "text/html" in page.headers["content-type"]
    assert "<script" in page.text
    script = page.text.split('src="', 1)[1].split('"', 1)[0]
    assert client.get(script).status_code == 200

    guest = client.post("/api/v1/auth/guest", json={"name": "Ada"})
    assert guest.status_code == 201, guest.text
    signed = bearer(guest.json()["token"])
    room = client.post("/api/v1/rooms", json={"title": "From the wheel"}, headers=signed)
    assert room.status_code == 201, room.text
    party = client.get(f"/parties/{room.json()['id']}", headers=signed)
    assert party.status_code == 200, party.text
