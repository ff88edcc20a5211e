"""What the commands say, and how they run other programs.

Owns: the words on the screen, child processes (quiet, logged, ended with us), the failure with its remedy.
Not: what to run. Rule: every failure names the line to type next; standard library only.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".make" / "state"
SHOWN_LINES = 30

NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|Max retries exceeded|ProxyError"
    r"|Temporary failure in name resolution|SSLError|CERTIFICATE_VERIFY_FAILED|ENOTFOUND|EAI_AGAIN"
    r"|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|Could not resolve host",
    re.IGNORECASE,
)
DISK = re.compile(r"No space left on device|ENOSPC|Disk quota exceeded", re.IGNORECASE)
DENIED = re.compile(r"Permission denied|EACCES|EPERM|Read-only file system", re.IGNORECASE)
HASHES = re.compile(r"DO NOT MATCH THE HASHES|EINTEGRITY", re.IGNORECASE)


class Failed(Exception):
    """A step did not work. `text` is what happened, `remedy` the line to type; both for a person."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.text = text
        self.remedy = remedy


def command() -> str:
    """The command the person typed, to name it in remedies: "make run"."""
    return f"make {sys.argv[1] if len(sys.argv) > 1 else 'run'}"


def sudo(line: str) -> str:
    """The line as this user has to type it."""
    return line if os.geteuid() == 0 else f"sudo {line}"


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(text: str, remedy: str) -> NoReturn:
    raise Failed(text, remedy)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and how long it took once it worked."""
    sys.stdout.write(f"  {text} … ")
    sys.stdout.flush()
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say("not done")
        raise
    say(f"{time.monotonic() - began:.1f} s")


def environment(path: Sequence[Path] = (), **changes: str) -> dict[str, str]:
    """Our environment with folders put before PATH, and what keeps pip to the point."""
    env = unbent()
    env["PATH"] = os.pathsep.join([*map(str, path), env.get("PATH", os.defpath)])
    env.update({"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"})
    env.update(changes)
    return env


def unbent() -> dict[str, str]:
    """Our environment without what would lead Python or pip to another place."""
    return {name: value for name, value in os.environ.items() if name not in BENDING}


BENDING = {
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_REQUIRE_VIRTUALENV",
    "__PYVENV_LAUNCHER__",
}


def run(arguments: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path = ROOT) -> tuple[int, str]:
    """Run to the end with the output in `.make/state/last.log`. Returns (exit code, output).

    The child keeps our file lock open (close_fds=False): if we are killed and it is not, the next
    command waits for it instead of working in the same folder.
    """
    log = STATE / "last.log"
    STATE.mkdir(parents=True, exist_ok=True)
    with log.open("w+", encoding="utf-8", errors="replace") as output:
        child = subprocess.Popen(
            [str(part) for part in arguments],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            close_fds=False,
        )
        code = wait(child)
        output.seek(0)
        return code, output.read()


def wait(child: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> int:
    """Wait for a child; whatever stops us stops it first."""
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
        raise


def tail(output: str) -> str:
    """The last lines of a log, indented, without terminal colours."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in output.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-SHOWN_LINES:])


def fail_with_log(text: str, output: str, remedy: str) -> NoReturn:
    """Fail with the end of a program's output; common causes have their own remedy."""
    if NETWORK.search(output):
        remedy = (
            "The network did not answer. Check the connection (behind a proxy set HTTPS_PROXY; for a mirror"
            f" set PIP_INDEX_URL and npm_config_registry), then type:  {command()}"
        )
    elif DISK.search(output):
        remedy = f"The disk is full. Free about 2 GB, then type:  {command()}"
    elif HASHES.search(output):
        remedy = (
            "A downloaded file is not the one the lock names, so it was not used. If a mirror or cache is"
            f" damaged, type:  .venv/bin/python -m pip cache purge; npm cache clean --force; {command()}"
        )
    elif DENIED.search(output):
        remedy = f'Make this folder yours, then repeat:  sudo chown -R "$(id -un)" "{ROOT}" && {command()}'
    fail(f"{text}\n{tail(output)}", remedy)


def end_children_with_us() -> None:
    """SIGTERM becomes an exception, so that `wait` stops the child and stamps stay honest."""

    def stop(_signal: int, _frame: object) -> NoReturn:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, stop)
