"""What .deploy holds fits this tree: every name, file and command in it exists here."""

import configparser
import http.server
import ipaddress
import json
import os
import re
import subprocess
import threading
import tomllib
from pathlib import Path
from typing import Any

import yaml
from starlette.datastructures import Headers

from server.rates.addresses import Origin, find_origin
from server.settings import read_settings, settings_table
from tests.deploy import image
from tests.deploy.dockerfile import Stage, read
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / ".deploy"
SETTINGS = {row.name for row in settings_table()}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def stages() -> list[Stage]:
    return read(DEPLOY / "Dockerfile")


def told(stage: Stage, word: str) -> list[str]:
    return [step.text for step in stage.steps if step.word == word]


def test_every_setting_that_is_named_exists() -> None:
    """In the image, the unit, its settings, and compose; only a name of compose's own may differ."""
    for path in sorted(DEPLOY.iterdir()):
        named = set(re.findall(r"\bKANVAS_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
        assert named <= SETTINGS | {"KANVAS_DOMAIN"}, path.name


def test_every_file_is_told_of() -> None:
    """By the README here, which the README of the project leads to."""
    shown = text("README.md")
    left_out = {"README.md", "Dockerfile.dockerignore", "grafana.json", "alerts.yml"}
    names = {path.name for path in DEPLOY.iterdir()} - left_out
    assert {name for name in names if f"]({name})" not in shown} == set()
    assert "(.deploy/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_the_image_is_built_with_exists() -> None:
    """Each path, make target and lock of a RUN step; nothing is installed that no lock names by hash."""
    first, last = stages()
    sent = set(image.context())
    targets = set(
        re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[0].split()
    )
    runs = [*told(first, "RUN"), *told(last, "RUN")]
    for run in runs:
        assert set(re.findall(r"-r (\S+)", run)) <= sent
        assert set(re.findall(r"(?:^|&& )make (\w+)", run)) <= targets
        for install in re.findall(r"pip install [^&]*", run):
            assert "--require-hashes" in install or "--no-index" in install
    assert [run for run in runs if "make setup" in run]
    assert {"pyproject.toml", "Makefile", ".make/start", "static/package-lock.json", "alembic/env.py"} <= sent
    assert not [name for name in sent if name.startswith(("tests/", ".git/", "static/dist", ".venv"))]
    build = {name.split("==")[0] for name in (ROOT / "requirements.lock").read_text().splitlines()}
    assert "hatchling" in build
    # the extras' lock has all of the runtime's, and every extra
    extras = (ROOT / "requirements-extras.lock").read_text(encoding="utf-8")
    for extra in ("postgres", "redis", "s3", "heic", "telemetry", "sentry"):
        for wanted in PROJECT["optional-dependencies"][extra]:
            name = re.match(r"[\w.-]+", wanted)
            assert name is not None
            assert re.search(rf"^{name[0]}==", extras, re.M | re.I), wanted


def test_the_image_serves_as_somebody_who_may_little() -> None:
    """A user of its own, with settings that are valid; the command is the project's."""
    _, last = stages()
    (user,) = told(last, "USER")
    assert f"--uid 10001 --home-dir /data --shell /usr/sbin/nologin {user}" in " ".join(told(last, "RUN"))
    env = last.environment()
    settings = read_settings(env)
    assert (settings.host, str(settings.data_dir)) == ("0.0.0.0", told(last, "VOLUME")[0])
    assert told(last, "EXPOSE") == [str(settings.port)]
    assert [step.words for step in last.steps if step.word in ("ENTRYPOINT", "CMD")] == [
        ["kanvas"],
        ["serve"],
    ]
    assert "kanvas" in PROJECT["scripts"]


class Answer(http.server.BaseHTTPRequestHandler):
    """Healthy, or not."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_the_health_check_tells_well_from_ill() -> None:
    """Its own command, against a server that is well, one that is not, and none."""
    (check,) = told(stages()[-1], "HEALTHCHECK")
    arguments = json.loads(check.partition("CMD ")[2])
    port = free_port()
    env = {"PATH": os.environ["PATH"], "KANVAS_PORT": str(port)}

    def ask() -> int:
        return subprocess.run(arguments, env=env, stderr=subprocess.DEVNULL, check=False).returncode

    assert ask() != 0
    server = http.server.HTTPServer(("127.0.0.1", port), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert ask() == 0
        Answer.status = 503
        assert ask() != 0
    finally:
        Answer.status = 200
        server.shutdown()
        server.server_close()


def test_the_unit_says_how_it_is_stopped_and_what_it_may() -> None:
    """The supervisor alone gets the signal, and has longer than a drain takes."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text("kanvas.service"))
    service = dict(unit["Service"])
    assert service["ExecStart"] == "/opt/kanvas/bin/kanvas serve"
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) > 15
    assert service["User"] == "kanvas"
    for name in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictSUIDSGID"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["ProtectProc"] == "invisible"
    # it would hide /proc/stat, without which there are no process_* metrics for the dashboard
    assert service.get("ProcSubset", "all") == "all"
    environment = dict(pair.split("=", 1) for pair in service["Environment"].split())
    given = [line for line in text("kanvas.env").splitlines() if line.startswith("KANVAS_")]
    settings = read_settings(environment | dict(line.split("=", 1) for line in given))
    assert str(settings.data_dir) == f"/var/lib/{service['StateDirectory']}"


def test_compose_believes_its_own_proxy() -> None:
    """Else everybody is one address: one who sends wrong tokens locks all others out."""
    compose = yaml.safe_load(text("compose.yaml"))
    ours = compose["services"]["kanvas"]["environment"]
    assert ours["KANVAS_TRUSTED_PROXIES"] == "${SUBNET:?}"
    assert "${SUBNET:?}" in str(compose["networks"])
    (subnet,) = re.findall(r"^SUBNET=(\S+)$", text("compose.env"), re.MULTILINE)
    trusted = read_settings({"KANVAS_TRUSTED_PROXIES": subnet}).trusted_proxies
    headers = Headers({"x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https"})
    caddy = str(ipaddress.ip_network(subnet)[6])
    assert find_origin(caddy, headers, trusted) == Origin("198.51.100.7", "https")


def test_compose_builds_our_image_and_keeps_what_must_be_kept() -> None:
    """Each backend has a volume but Redis; Kanvas may write into its own only."""
    compose = yaml.safe_load(text("compose.yaml"))
    services = compose["services"]
    assert set(services) == {"kanvas", "postgres", "redis", "s3", "caddy"}
    ours = services["kanvas"]
    build = ours["build"]
    assert ((DEPLOY / build["context"]).resolve() / build["dockerfile"]).samefile(DEPLOY / "Dockerfile")
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert int(ours["stop_grace_period"].removesuffix("s")) > 15
    assert {name for name, one in services.items() if "volumes" in one} == set(services) - {"redis"}
    used = {volume.split(":")[0] for one in services.values() for volume in one.get("volumes", [])}
    assert used == set(compose["volumes"])
    assert [name for name, one in services.items() if "ports" in one] == ["caddy"]
    asked = set(re.findall(r"\$\{([A-Z_0-9]+)", text("compose.yaml")))
    given = {line.split("=")[0] for line in text("compose.env").splitlines() if not line.startswith("#")}
    assert asked == given
    # no default secret, and an empty one is refused by compose itself
    secrets = ("POSTGRES_PASSWORD", "S3_SECRET_KEY", "SECRET", "METRICS_TOKEN")
    assert all(f"${{{name}:?}}" in text("compose.yaml") for name in secrets)
    # the proxy is another container, on a network that Kanvas is told of
    [network] = compose["networks"]["default"]["ipam"]["config"]
    assert ours["environment"]["KANVAS_TRUSTED_PROXIES"] == network["subnet"] == "${SUBNET:?}"
    example = dict(line.split("=") for line in text("compose.env").splitlines() if line.startswith("SUBNET"))
    read_settings({"KANVAS_TRUSTED_PROXIES": example["SUBNET"]})
