"""`make test`: every check, each with its time, and one summary at the end.

Owns: the list of checks and their order. Not: installing (packages, client, browser).
Rules: everything runs even when something failed; every failure is shown; pytest's closing line comes last.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import balancers
import client
import tracer
from browser import OVERRIDE
from packages import PYTHON, VENV
from report import ROOT, say, wait

BIN = VENV / "bin"
# The checks before pytest share the cores; pytest has them alone, because its tests measure time.
TOGETHER = max(2, min(4, os.cpu_count() or 2))
# Three on two cores: most of a test of live servers and browsers is waiting (two use 40 % of them).
# Their order is that of tests/conftest.py: xdist alone would begin the longest files last.
PYTEST = (PYTHON, "-m", "pytest", "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder")


@dataclass(frozen=True, slots=True)
class Check:
    """One program of the suite."""

    name: str
    arguments: tuple[str | Path, ...]
    folder: Path = ROOT


@dataclass(frozen=True, slots=True)
class Result:
    """How a check ended: exit code, seconds, what it printed."""

    name: str
    code: int
    took_s: float
    output: str


LINT = (
    Check("mypy", (BIN / "mypy",)),
    Check("mypy of .make", (BIN / "mypy", "--strict", "--cache-dir", ".mypy_cache/make", ".make")),
    Check("types of the client (tsc)", (client.program("tsc"), "--noEmit"), client.STATIC),
    Check("import contracts", (BIN / "lint-imports",)),
    Check("ruff check", (BIN / "ruff", "check", ".")),
    Check("ruff format", (BIN / "ruff", "format", "--check", ".")),
)
FORMAT = (
    Check("ruff check --fix", (BIN / "ruff", "check", "--fix", ".")),
    Check("ruff format", (BIN / "ruff", "format", ".")),
)
BEFORE_PYTEST = (
    *LINT,
    # compiled here once, so that not every worker of pytest does it: 10 s of each
    Check("tests are found", (PYTHON, "-m", "pytest", "--collect-only", "-q")),
    Check("tests of the client (vitest)", (client.program("vitest"), "run"), client.STATIC),
)


def environment_of_tests(
    node: Mapping[str, str],
    chromium: Path | None,
    strace: Path | None = None,
    found: Mapping[str, Path] | None = None,
) -> dict[str, str]:
    """What every check sees: our tools first in PATH, none of the user's KANVAS_ settings, what was found."""
    left_out = ("KANVAS_", "PYTHONDONTWRITEBYTECODE")
    env = {name: value for name, value in node.items() if not name.startswith(left_out)}
    env["PATH"] = f"{BIN}{os.pathsep}{env['PATH']}"
    if chromium is not None:
        env[OVERRIDE] = str(chromium)
    if strace is not None:
        env[tracer.OVERRIDE] = str(strace)
    env |= {balancers.OVERRIDES[name]: str(path) for name, path in (found or {}).items()}
    return env


def run_all(env: Mapping[str, str]) -> int:
    """All checks, then pytest, then the summary. Returns the exit code of the command."""
    began = time.monotonic()
    say("Checks")
    results = check(env, BEFORE_PYTEST)
    say("\npytest")
    tests = stream((*PYTEST, *shlex.split(os.environ.get("ARGS", ""))), env)
    summarise([*results, tests], time.monotonic() - began)
    closing = [line for line in tests.output.splitlines() if re.search(r"\bin \d+[.\d]*s\b", line)]
    say(closing[-1] if closing else f"pytest ended with exit code {tests.code} and no closing line.")
    return 1 if any(result.code for result in [*results, tests]) else 0


def run_checks(env: Mapping[str, str], checks: Sequence[Check]) -> int:
    """Some checks and their summary; one after another when they write files."""
    together = 1 if checks is FORMAT else TOGETHER
    results = check(env, checks, together)
    return 1 if any(result.code for result in results) else 0


def check(env: Mapping[str, str], checks: Sequence[Check], together: int = TOGETHER) -> list[Result]:
    """Run checks side by side; one line for what passed, everything it printed for what failed."""
    results = []
    with ThreadPoolExecutor(together) as pool:
        for done in as_completed([pool.submit(capture, one, env) for one in checks]):
            result = done.result()
            results.append(result)
            say(f"  {'ok    ' if result.code == 0 else 'FAILED'} {result.name}, {result.took_s:.1f} s")
            if result.code:
                say("\n".join(f"    {line}" for line in result.output.splitlines()))
    return results


def capture(one: Check, env: Mapping[str, str]) -> Result:
    began = time.monotonic()
    try:
        done = subprocess.run(
            [str(part) for part in one.arguments],
            cwd=one.folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        return Result(
            one.name, 127, time.monotonic() - began, f"It does not start: {error}. Type:  make clean"
        )
    return Result(one.name, done.returncode, time.monotonic() - began, done.stdout)


def stream(arguments: Sequence[str | Path], env: Mapping[str, str]) -> Result:
    """Run with the output shown as it comes, and kept."""
    began = time.monotonic()
    colour = ["--color=yes"] if sys.stdout.isatty() else []
    child = subprocess.Popen(
        [*map(str, arguments), *colour],
        cwd=ROOT,
        env={**env, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    kept = []
    try:
        assert child.stdout is not None  # it is PIPE
        for line in child.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            kept.append(line)
    finally:
        code = wait(child)
    return Result("pytest", code, time.monotonic() - began, "".join(kept))


def summarise(results: Sequence[Result], took_s: float) -> None:
    failed = [result.name for result in results if result.code]
    say(f"\nThe whole suite took {took_s:.0f} s.")
    for result in results:
        say(f"  {'FAILED' if result.code else 'ok    '} {result.took_s:6.1f} s  {result.name}")
    say(f"Failed: {', '.join(failed)}." if failed else "All of it passed.")
