"""A wheel of this tree, an environment that holds nothing but it, and the tools to look at both.

Owns: building and installing, by the ways a person has (hatchling, venv, pip with the lock). Needs the
built client (`make setup`) and the package index, as `make test` does.
"""

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment's folder."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def kanvas(self) -> Path:
        return self.folder / "bin" / "kanvas"


def plain_environment() -> dict[str, str]:
    """Our environment without what would lead Python or Kanvas back to this tree."""
    left_out = ("KANVAS_", "TEST_", "PYTHON", "VIRTUAL_ENV", "COVERAGE", "MAKE", "MFLAGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}


def run(
    arguments: Sequence[str | Path], cwd: Path, timeout_s: float = 300
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(part) for part in arguments],
        cwd=cwd,
        env=plain_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def build(source: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    """Build the wheel of a source tree into a folder."""
    return run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target], cwd=source)


def install(wheel: Path, folder: Path) -> Environment:
    """A fresh environment with the locked packages and the wheel.

    The wheel goes in last, without an index: if the lock lacked one of its dependencies, pip would fail.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    made = Environment(folder)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        made.python,
        "install",
        "--quiet",
        "--no-compile",
    ]
    lock: list[str | Path] = [
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--no-deps",
        "--requirement",
        ROOT / "requirements.lock",
    ]
    for arguments in (lock, ["--no-index", wheel]):
        done = run([*pip, *arguments], cwd=folder, timeout_s=300)
        assert done.returncode == 0, done.stdout
    return made
