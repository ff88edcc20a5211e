"""`make lock`: resolve the lock files again.

Owns: how each lock is resolved. Rules: a lock carries names, versions and hashes, no address; it holds for
Python 3.11 to 3.13 on every platform; the test lock holds the runtime lock's versions.
"""

import os
from pathlib import Path

from packages import EXTRAS_LOCK, NODE_LOCK, RUNTIME_LOCK, TEST_LOCK, base_python
from report import ROOT, STATE, command, environment, fail_with_log, run, say, step

UV = "uv>=0.13,<0.14"
TOOLS = STATE / "lock-tools"
EXTRAS = ("postgres", "redis", "s3", "heic", "telemetry", "sentry")
FORM = (
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--quiet",
)


def lock() -> int:
    """Write the four locks. With UPGRADE=1 newer versions are taken, else only what changed."""
    uv = find_uv()
    resolve(uv, RUNTIME_LOCK, "pyproject.toml", "--group", "build")
    resolve(
        uv,
        EXTRAS_LOCK,
        "pyproject.toml",
        *(f"--extra={name}" for name in EXTRAS),
        "--constraints",
        RUNTIME_LOCK.name,
    )
    resolve(
        uv,
        TEST_LOCK,
        "pyproject.toml",
        "--group",
        "build",
        "--extra",
        "test",
        "--constraints",
        RUNTIME_LOCK.name,
    )
    resolve(uv, NODE_LOCK, "--group", "node")
    say("The client's lock is npm's: change static/package.json, then type npm install in static/.")
    return 0


def find_uv() -> Path:
    """uv in a scratch environment; only this command needs it."""
    uv = TOOLS / "bin" / "uv"
    if uv.exists():
        return uv
    with step("Installing uv into a scratch environment"):
        code, output = run([base_python(), "-m", "venv", "--clear", TOOLS], env=environment())
        if not code:
            code, output = run(
                [TOOLS / "bin" / "python", "-m", "pip", "install", "--quiet", UV], env=environment()
            )
    if code:
        fail_with_log("uv could not be installed.", output, f"Then type:  {command()}")
    return uv


def resolve(uv: Path, target: Path, *sources: str) -> None:
    upgrade = ["--upgrade"] if os.environ.get("UPGRADE") else []
    with step(f"Resolving {target.name}"):
        code, output = run(
            [uv, "pip", "compile", *sources, *FORM, *upgrade, "--output-file", target.name],
            env=environment(),
            cwd=ROOT,
        )
    if code:
        fail_with_log(
            f"{target.name} could not be resolved.", output, f"Change pyproject.toml, then type:  {command()}"
        )
