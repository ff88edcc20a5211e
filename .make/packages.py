"""The Python side of an install: `.venv`, the locked packages, Kanvas itself.

Owns: making, adopting and replacing `.venv`, and pip. Not: the client. Rules: only what the lock files
name by hash is installed; an interrupted install is thrown away, because pip may have left half a package.
"""

import importlib.util
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from report import ROOT, command, environment, fail, fail_with_log, run, say, step, sudo
from stamps import Stamps, hash_files

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP_FILE = VENV / ".kanvas.json"
RUNTIME_LOCK = ROOT / "requirements.lock"
TEST_LOCK = ROOT / "requirements-test.lock"
NODE_LOCK = ROOT / "requirements-node.lock"
EXTRAS_LOCK = ROOT / "requirements-extras.lock"
"""For the README's line: S3 and HEIC, which few need."""
WORKING = "working"  # present while something changes in .venv
# pip resolves and downloads everything before it installs anything: with these .venv is as it was.
BEFORE_INSTALLING = re.compile(
    r"No matching distribution|DO NOT MATCH THE HASHES|Connection|Resolution|ResolutionImpossible"
)


def install_runtime() -> None:
    """`.venv` with the runtime lock and Kanvas in it; nothing is done that was done before."""
    stamps = ready_venv()
    install_lock(stamps, RUNTIME_LOCK, "Installing the Python packages (about 20 s)")
    project = hash_files([ROOT / "pyproject.toml"], ROOT)
    if stamps.get("project") != project:
        stamps.drop("project")
        with step("Installing Kanvas itself, editable"):
            arguments = [
                "install",
                "--quiet",
                "--no-index",
                "--no-build-isolation",
                "--no-deps",
                "--editable",
                ".",
            ]
            code, output = run([PYTHON, "-m", "pip", *arguments], env=environment())
        if code:
            fail_with_log(
                "Kanvas itself could not be installed.", output, f"Then type:  make clean && {command()}"
            )
        stamps.put("project", project)


def install_tests() -> None:
    """The test lock on top of the runtime lock."""
    install_lock(Stamps(STAMP_FILE), TEST_LOCK, "Installing the test packages (about 20 s)")


def install_node() -> None:
    """Node.js from PyPI, for machines whose own is missing or too old."""
    install_lock(Stamps(STAMP_FILE), NODE_LOCK, "Installing Node.js from PyPI (60 MB, about 20 s)")


def ready_venv() -> Stamps:
    """A `.venv` that works, made anew where there is none, or a broken, moved, interrupted or other one."""
    stamps = Stamps(STAMP_FILE)
    reason = why_anew(stamps)
    if reason is None:
        return stamps
    check_venv_modules()
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        say(f"  The Python environment in .venv is made anew: {reason}.")
        shutil.rmtree(VENV)
    VENV.mkdir()
    stamps = Stamps(STAMP_FILE)
    stamps.put(WORKING, "venv")
    version = platform.python_version()
    with step(f"Making a Python environment in .venv with Python {version}"):
        code, output = run([base_python(), "-m", "venv", VENV], env=environment())
    if code:
        fail_with_log("Python could not make the environment.", output, venv_remedy())
    stamps.put("place", str(VENV))
    stamps.put("python", version)
    stamps.drop(WORKING)
    return stamps


def why_anew(stamps: Stamps) -> str | None:
    """Why `.venv` cannot be used as it is; None when it can. An unknown but working one is adopted."""
    if not (VENV / "pyvenv.cfg").exists() and stamps.get(WORKING) is None:
        return "it is not an environment"
    if stamps.get(WORKING) is not None:
        return "the last install was interrupted"
    if stamps.get("place") is None:
        code, output = (
            run([PYTHON, "-m", "pip", "--version"], env=environment()) if PYTHON.exists() else (1, "")
        )
        if code:
            return "it does not work"
        code, output = run(
            [PYTHON, "-c", "import platform; print(platform.python_version())"], env=environment()
        )
        stamps.put("place", str(VENV))
        stamps.put("python", output.strip())
    if stamps.get("place") != str(VENV):
        return "the folder was moved"
    if stamps.get("python") != platform.python_version():
        return f"it has Python {stamps.get('python')}, this is {platform.python_version()}"
    return None if os.access(PYTHON, os.X_OK) else "its Python is gone"


def base_python() -> str:
    """The Python beneath us: we may be running from the very `.venv` that is replaced."""
    return getattr(sys, "_base_executable", None) or sys.executable


def check_venv_modules() -> None:
    """Distributions split these off the Python package; say which package brings them back."""
    missing = [name for name in ("venv", "ensurepip", "ssl", "sqlite3") if not found(name)]
    if missing:
        fail(
            f"Python {platform.python_version()} ({base_python()}) lacks: {', '.join(missing)}.",
            venv_remedy(),
        )


def found(module: str) -> bool:
    if importlib.util.find_spec(module) is None:
        return False
    if module in ("ssl", "sqlite3"):  # their pure part may be there without the compiled one
        try:
            __import__(module)
        except ImportError:
            return False
    return True


def venv_remedy() -> str:
    short = f"python{sys.version_info.major}.{sys.version_info.minor}"
    system_python = sys.base_prefix == "/usr"
    if shutil.which("apt-get") and system_python:
        return f"Type:  {sudo(f'apt-get install -y {short}-venv')} && {command()}"
    if shutil.which("dnf") and system_python:
        return f"Type:  {sudo('dnf install -y python3-pip python3-libs')} && {command()}"
    complete = "$HOME/.pyenv/shims/python3.13"
    return f"Use a complete Python, for example:  pyenv install 3.13 && {command()} PYTHON={complete}"


def install_lock(stamps: Stamps, lock: Path, text: str) -> None:
    """Install one hash-pinned lock file, unless this very content is installed."""
    key = hash_files([lock], ROOT)
    if stamps.get(lock.name) == key:
        return
    stamps.drop(lock.name)
    stamps.put(WORKING, lock.name)
    wheels_only = [] if os.environ.get("COMPILE") else ["--only-binary", ":all:"]
    arguments = ["install", "--quiet", "--require-hashes", *wheels_only, "--requirement", lock.name]
    with step(text):
        code, output = run([PYTHON, "-m", "pip", *arguments], env=environment())
    if code:
        if BEFORE_INSTALLING.search(output):
            stamps.drop(WORKING)
        fail_with_log("pip could not install the packages.", output, wheel_remedy(output))
    stamps.put(lock.name, key)
    stamps.drop(WORKING)


def wheel_remedy(output: str) -> str:
    """What to type when a package has no ready-made wheel for this machine."""
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing is None:
        return f"Then type:  make clean && {command()}"
    short = f"{sys.version_info.major}.{sys.version_info.minor}"
    here = f"Python {short} on {platform.system()} {platform.machine()}"
    if shutil.which("apt-get"):
        tools = sudo(
            f"apt-get install -y build-essential pkg-config libffi-dev libssl-dev python{short}-dev cargo"
        )
    elif shutil.which("dnf"):
        tools = sudo("dnf install -y gcc gcc-c++ make pkgconf libffi-devel openssl-devel python3-devel cargo")
    elif shutil.which("apk"):
        tools = sudo("apk add build-base pkgconf libffi-dev openssl-dev python3-dev cargo")
    else:
        tools = "xcode-select --install; brew install rust"
    told = f"{missing[1]} has no ready-made wheel for {here}."
    return f"{told} Compile it from its checked source; type:  {tools} && {command()} COMPILE=1"
