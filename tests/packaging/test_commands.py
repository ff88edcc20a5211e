"""`make run` and `make setup` on machines that lack something, and after something went wrong.

The scripts run as they are, in a copy of `.make` in a folder with spaces, with a PATH of our own.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from tests.packaging.wheels import ROOT, plain_environment
from tests.servers import free_port

TOOLS = ("sh", "dirname", "id", "ls")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the scripts beside an empty tree."""
    tree = tmp_path / "a tree with spaces"
    shutil.copytree(ROOT / ".make", tree / ".make", ignore=shutil.ignore_patterns("state", "__pycache__"))
    (tree / "bin").mkdir()
    for tool in TOOLS:
        (tree / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    return tree


def put_program(tree: Path, name: str, script: str) -> Path:
    program = tree / "bin" / name
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return program


def start(tree: Path, command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": str(tree / "bin"), "HOME": str(tree)} | variables
    return subprocess.run(
        [str(tree / "bin" / "sh"), str(tree / ".make" / "start"), command],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ask(tree: Path, code: str, **variables: str) -> str:
    """Evaluate an expression inside the scripts of a tree."""
    program = f"import sys; sys.path.insert(0, {str(tree / '.make')!r}); {code}"
    asked = subprocess.run(
        [sys.executable, "-B", "-c", program],
        env=plain_environment() | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert asked.returncode == 0, asked.stderr
    return asked.stdout.strip()


def test_without_a_python_it_says_what_to_type(tree: Path) -> None:
    put_program(tree, "python3", "exit 127")  # like a pyenv shim for a version that is not chosen
    ended = start(tree, "run")
    assert ended.returncode == 1
    assert "needs Python 3.11, 3.12 or 3.13" in ended.stderr
    assert "make run PYTHON=" in ended.stderr


def test_without_a_python_apt_is_named_where_there_is_one(tree: Path) -> None:
    put_program(tree, "apt-cache", '[ "$2" = python3.12-venv ]')
    ended = start(tree, "setup")
    assert ended.returncode == 1
    assert "apt-get install -y python3.12 python3.12-venv && make setup" in ended.stderr


def test_a_python_that_was_named_and_does_not_fit_is_not_replaced_in_silence(tree: Path) -> None:
    ended = start(tree, "run", PYTHON="/nowhere/python3.12")
    assert ended.returncode == 1
    assert "PYTHON=/nowhere/python3.12 is something that does not run" in ended.stderr


def test_shims_that_fail_are_passed_over(tree: Path) -> None:
    put_program(tree, "python3.13", "exit 127")
    put_program(tree, "python3", f'exec "{sys.executable}" "$@"')
    ended = start(tree, "nonsense")
    assert ended.returncode == 2
    assert "Commands: run, setup, test" in ended.stderr


def test_an_environment_is_made_anew_only_for_a_reason(tree: Path) -> None:
    (tree / ".venv" / "bin").mkdir(parents=True)
    (tree / ".venv" / "pyvenv.cfg").touch()
    (tree / ".venv" / "bin" / "python").symlink_to(sys.executable)
    version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    good = {"place": str(tree / ".venv"), "python": version}
    reasons = {
        None: good,
        "the last install was interrupted": {**good, "working": "requirements.lock"},
        "the folder was moved": {**good, "place": "/elsewhere/.venv"},
        f"it has Python 3.1.4, this is {version}": {**good, "python": "3.1.4"},
    }
    for reason, stamps in reasons.items():
        (tree / ".venv" / ".kanvas.json").write_text(json.dumps(stamps), encoding="utf-8")
        code = "import packages; print(packages.why_anew(packages.Stamps(packages.STAMP_FILE)))"
        assert ask(tree, code) == str(reason)


def test_the_client_is_built_again_when_its_source_changes(tree: Path) -> None:
    static = tree / "static"
    (static / "src").mkdir(parents=True)
    (static / "dist").mkdir()
    source = static / "src" / "main.ts"
    source.write_text("one", encoding="utf-8")
    (static / "dist" / "index.html").touch()
    stamp = "import client; client.Stamps(client.STATE / 'client.json').put('built', client.source_key())"
    built = "import client; print(client.is_built())"
    assert ask(tree, built) == "False"
    ask(tree, stamp)
    assert ask(tree, built) == "True"
    (static / "node_modules").mkdir()
    (static / "node_modules" / "x.js").touch()
    assert ask(tree, built) == "True"
    source.write_text("two", encoding="utf-8")
    assert ask(tree, built) == "False"
    source.rename(static / "src" / "other.ts")
    assert ask(tree, built) == "False"


@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("18.20.0", False),
        ("20.18.9", False),
        ("20.19.0", True),
        ("21.7.0", False),
        ("22.11.0", False),
        ("22.12.0", True),
        ("24.19.0", True),
    ],
)
def test_the_node_that_vite_can_use(version: str, fits: bool) -> None:
    assert ask(ROOT, f"import client; print(client.suits('{version}'))") == str(fits)


def test_the_first_chromium_that_starts_is_taken(tree: Path) -> None:
    """Ubuntu's chromium-browser is a stub that starts nothing; a name from the environment goes first."""
    put_program(tree, "chromium-browser", "echo install the snap; exit 1")
    put_program(tree, "google-chrome", "echo Google Chrome 150.0")
    own = put_program(tree, "mine", "echo Chromium 150.0")
    find = "import browser; print(browser.find_chromium())"
    assert ask(tree, find, PATH=str(tree / "bin")) == str(tree / "bin" / "google-chrome")
    assert ask(tree, find, PATH=str(tree / "bin"), TEST_CHROMIUM=str(own)) == str(own)


def test_without_a_chromium_it_says_what_to_install(tree: Path) -> None:
    code = (
        "import browser, report; browser.PLACES = browser.PLAYWRIGHT = ();"
        " browser.os.geteuid = lambda: 1000\n"
        "try: browser.find_chromium()\n"
        "except report.Failed as failure: print(failure.text, failure.remedy)"
    )
    told = ask(tree, code, PATH=str(tree / "bin"))
    assert "need Chromium, and none is in PATH" in told
    assert "install" in told
    wrong = ask(tree, code, PATH=str(tree / "bin"), TEST_CHROMIUM="/nowhere/chromium")
    assert "TEST_CHROMIUM=/nowhere/chromium is not a Chromium that starts" in wrong


@pytest.fixture
def installed_tree() -> Path:
    """This tree, which `make setup` (or `make test`) has installed; else the second run is the first."""
    code = (
        "import client, packages as p; s = p.Stamps(p.STAMP_FILE);"
        " print(client.is_built() and s.get(p.RUNTIME_LOCK.name) == p.hash_files([p.RUNTIME_LOCK], p.ROOT))"
    )
    assert ask(ROOT, code) == "True", "This tree is not installed as it is now. Type:  make setup"
    return ROOT


def test_a_second_make_run_installs_nothing_and_serves(installed_tree: Path, tmp_path: Path) -> None:
    """The time to the first answer is told, not judged: other tests share the machine."""
    took = serve_once(installed_tree, tmp_path / "data", tmp_path / "log")
    print(f"make run answered after {took:.2f} s")
    said = (tmp_path / "log").read_text(errors="replace")
    assert "http://127.0.0.1:" in said
    # Each step of an install has a line of its own (report.step).
    assert not re.search(r"^  (Making|Installing|Building) ", said, re.MULTILINE), said


def serve_once(tree: Path, data: Path, log: Path) -> float:
    """`make run` until it answers, then stop it. Returns the seconds to the first answer."""
    port = free_port()
    env = plain_environment() | {"KANVAS_PORT": str(port), "KANVAS_DATA_DIR": str(data)}
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=tree,
            env=env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while time.monotonic() - began < 120:
            assert process.poll() is None, log.read_text(errors="replace")
            try:
                httpx2.get(f"http://127.0.0.1:{port}/healthz", timeout=5)
                return time.monotonic() - began
            except httpx2.TransportError:
                time.sleep(0.02)
        pytest.fail(log.read_text(errors="replace"))
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)
