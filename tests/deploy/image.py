"""The Dockerfile without a container engine: its own steps in a debootstrap root.

    python -m tests.deploy.image [--share PATH ...] [--keep FOLDER]

Makes a Debian in a folder, does every RUN, COPY and ENV of each stage in it by chroot, then starts what the
image would start, as its user, and asks its health check. Needs root, `debootstrap`, 3 GB and some minutes.
`--share` puts files and folders of this machine that its pip, npm or apt are set up with (certificates, a
mirror) at the same place there. What it does not show: layers, namespaces, an engine's own defaults.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.deploy.dockerfile import Stage, Step, read
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / ".deploy" / "Dockerfile"
START_S = 60.0
PLAIN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
PASSED_ON = re.compile(r"(PIP|npm|NPM|NODE_EXTRA|SSL|REQUESTS|https?_proxy|HTTPS?_PROXY|NO_PROXY).*")


def run(arguments: Sequence[str | Path], **more: object) -> None:
    subprocess.run([str(part) for part in arguments], check=True, **more)  # type: ignore[call-overload]


def mirror() -> tuple[str, str]:
    """Where this machine's apt gets Debian from, and by which suite."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for line in told.splitlines():
        uri, release, *_ = line.split()
        if release == "bookworm":
            return uri, release
    raise SystemExit("This machine's apt knows no Debian bookworm to begin from.")


def bootstrap(root: Path) -> None:
    """What the base image is, nearly."""
    uri, release = mirror()
    run(["debootstrap", "--variant=minbase", release, root, uri])
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    for name in ("sources.list", "sources.list.d", "apt.conf.d"):
        source, target = Path("/etc/apt") / name, root / "etc/apt" / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            shutil.copy(source, target)


def share(path: Path, root: Path) -> None:
    """Put a copy at the same place; what is there is replaced."""
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True, symlinks=True)
    else:
        shutil.copy(path, target)


def context() -> list[str]:
    """What the build is sent: what git knows, without what .dockerignore leaves out."""
    ignored = (DOCKERFILE.with_name("Dockerfile.dockerignore")).read_text(encoding="utf-8").split("\n")
    tops = tuple(line.removeprefix("**/") for line in ignored if line and not line.startswith("#"))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [name for name in listed if not any(name == top or name.startswith(f"{top}/") for top in tops)]


def copy(words: Sequence[str], root: Path, where: str, stages: Mapping[str, Path]) -> None:
    if words[0].startswith("--from="):
        source = stages[words[0].removeprefix("--from=")] / words[1].lstrip("/")
        shutil.copytree(source, root / words[2].lstrip("/"), symlinks=True, dirs_exist_ok=True)
        return
    assert list(words) == [".", "."], words
    for name in context():
        target = root / where.lstrip("/") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def build(stage: Stage, root: Path, stages: Mapping[str, Path]) -> None:
    """Do a stage's steps in its root."""
    env = PLAIN | {name: value for name, value in os.environ.items() if PASSED_ON.fullmatch(name)}
    where = "/"
    for step in stage.steps:
        print(f"--- {step.word} {step.text[:120]}", flush=True)
        if step.word == "RUN":
            run(["chroot", root, "/bin/sh", "-c", f"cd {where} && {step.text}"], env=env)
        elif step.word == "COPY":
            copy(step.words, root, where, stages)
        elif step.word == "ENV":
            env |= dict(pair.split("=", 1) for pair in step.words)
        elif step.word == "WORKDIR":
            where = step.text
            (root / where.lstrip("/")).mkdir(parents=True, exist_ok=True)


def serve(stage: Stage, root: Path) -> None:
    """Start what the image starts, wait for its health check, stop it as an engine does."""
    steps = {step.word: step for step in stage.steps}
    env = stage.environment() | {"KANVAS_PORT": str(free_port())}
    into = [shutil.which("chroot") or "/usr/sbin/chroot", f"--userspec={steps['USER'].text}", str(root)]
    _, _, check = steps["HEALTHCHECK"].text.partition("CMD ")
    health = [*into, *Step("CMD", check).words]
    server = subprocess.Popen([*into, *steps["ENTRYPOINT"].words, *steps["CMD"].words], env=env)
    try:
        end = time.monotonic() + START_S
        while subprocess.run(health, env=env, stderr=subprocess.DEVNULL, check=False).returncode:
            if time.monotonic() > end or server.poll() is not None:
                raise SystemExit("It did not get healthy.")
            time.sleep(0.2)
        run([*into, "kanvas", "check"], env=env)
        server.send_signal(signal.SIGTERM)
        code = server.wait(10)
    finally:
        server.kill()
    if code:
        raise SystemExit(f"It ended with {code}.")
    print("The image's steps work, it serves as its user, is healthy, and stops within 10 s.")


def main() -> None:
    parser = argparse.ArgumentParser(description="Do the Dockerfile's steps in a debootstrap root.")
    parser.add_argument("--share", action="append", default=[], type=Path, metavar="PATH")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the roots are made, and left")
    chosen = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        sys.exit("This needs root and debootstrap. Type:  sudo apt-get install -y debootstrap")
    work = chosen.keep or Path(tempfile.mkdtemp(prefix="kanvas-image-"))
    work.mkdir(parents=True, exist_ok=True)
    roots: dict[str, Path] = {}
    try:
        base = work / "base"
        if not (base / "etc").exists():
            bootstrap(base)
        for path in chosen.share:
            share(path, base)
        stages = read(DOCKERFILE)
        for number, stage in enumerate(stages):
            assert stage.base == "debian:bookworm-slim", stage.base
            root = roots[stage.name] = work / f"stage{number}"
            if root.exists():
                shutil.rmtree(root)
            run(["cp", "-a", "--reflink=auto", base, root])
            build(stage, root, roots)
        serve(stages[-1], roots[""])
    finally:
        if chosen.keep is None:
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
