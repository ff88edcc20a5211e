"""nginx and HAProxy, with which tests try the configurations in .deploy.

Owns: finding them, and installing Debian's where we may. Rule: never skip; say what to install.
"""

import os
import shutil
from pathlib import Path

from report import command, environment, fail, run, step, sudo, tail

OVERRIDES = {"nginx": "TEST_NGINX", "haproxy": "TEST_HAPROXY"}
# Debian puts them where only root's PATH leads.
PATH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin"]
)


def find_balancers() -> dict[str, Path]:
    """The path of each; installs what is missing by apt as root."""
    found = search()
    output = ""
    if len(found) < len(OVERRIDES) and os.geteuid() == 0 and shutil.which("apt-get"):
        output = install([name for name in OVERRIDES if name not in found])
        found = search()
    missing = [name for name in OVERRIDES if name not in found]
    if missing:
        fail(
            f"The configurations in .deploy are tried with {' and '.join(missing)}, not found here."
            f"\n{tail(output)}",
            remedy(missing),
        )
    return found


def search() -> dict[str, Path]:
    named = {
        name: os.environ.get(override) or shutil.which(name, path=PATH)
        for name, override in OVERRIDES.items()
    }
    return {name: Path(path) for name, path in named.items() if path}


def install(missing: list[str]) -> str:
    """Debian's by apt; returns what apt said. Lists that cannot be renewed may still do."""
    env = environment(DEBIAN_FRONTEND="noninteractive")
    names = ["nginx-light" if name == "nginx" else name for name in missing]
    with step(f"Installing {' and '.join(missing)} by apt"):
        _, updated = run(["apt-get", "-qq", "update"], env=env)
        _, installed = run(["apt-get", "-qq", "install", "-y", "--no-install-recommends", *names], env=env)
    return updated + installed


def remedy(missing: list[str]) -> str:
    names = " ".join(missing)
    if shutil.which("brew"):
        return f"Type:  brew install {names} && {command()}"
    if shutil.which("dnf"):
        return f"Type:  {sudo(f'dnf install -y {names}')} && {command()}"
    return f"Type:  {sudo(f'apt-get install -y --no-install-recommends {names}')} && {command()}"
