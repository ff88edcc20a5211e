"""nginx and HAProxy with the configurations of .deploy, on free ports before servers of a test.

Owns: putting a test's addresses where the files have examples, starting and ending the program. Does not own:
the files, the servers behind.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import free_port

DEPLOY = Path(__file__).resolve().parents[2] / ".deploy"
PATH = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin"]
)
NAME = "kanvas.example.org"


def program(name: str) -> str:
    """Its path; `make test` has installed it."""
    found = os.environ.get(f"TEST_{name.upper()}") or shutil.which(name, path=PATH)
    assert found, f"{name} is not installed; type: apt-get install -y --no-install-recommends {name}"
    return found


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "fullchain.pem", folder / "privkey.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private


def replace(text: str, *pairs: tuple[str, str]) -> str:
    """Each example by the test's own; an example that is not there any more is an error."""
    for old, new in pairs:
        assert old in text, f"the file has no {old!r} to replace"
        text = text.replace(old, new)
    return text


class Balancer:
    """A balancer before servers on these ports of 127.0.0.1.

    nginx keeps `pool` connections to them for later requests, as many operators' own files tell it to.
    """

    def __init__(self, name: str, folder: Path, servers: Sequence[int], pool: int = 0) -> None:
        self.name = name
        self.pool = pool
        self.folder = folder
        self.port = free_port()
        self.plain_port = free_port()
        self._servers = tuple(servers)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = self._nginx() if self.name == "nginx" else self._haproxy()
        with (self.folder / "out.log").open("wb") as out:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError(f"{self.name} does not listen:\n{self.log()}") from None
                time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _nginx(self) -> list[str]:
        certificate, key = make_certificate(self.folder)
        first, second = self._servers
        text = replace(
            (DEPLOY / "nginx.conf").read_text(encoding="utf-8"),
            ("10.0.0.11:8000", f"127.0.0.1:{first}"),
            ("10.0.0.12:8000", f"127.0.0.1:{second}"),
            ("listen 80;", f"listen 127.0.0.1:{self.plain_port};"),
            ("listen 443 ", f"listen 127.0.0.1:{self.port} "),
            (f"/etc/letsencrypt/live/{NAME}/fullchain.pem", str(certificate)),
            (f"/etc/letsencrypt/live/{NAME}/privkey.pem", str(key)),
            ("/var/log/nginx/kanvas.log", str(self.folder / "access.log")),
            *([("consistent;", f"consistent; keepalive {self.pool};")] if self.pool else []),
        )
        (self.folder / "kanvas.conf").write_text(text)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        # one process, so that killing it ends it
        (self.folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {self.folder}/pid; error_log {self.folder}/error.log;\n"
            f"events {{ worker_connections 512; }}\nhttp {{\n{places}include {self.folder}/kanvas.conf;\n}}\n"
        )
        command = [program("nginx"), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        check([*command, "-t"])
        return command

    def _haproxy(self) -> list[str]:
        certificate, key = make_certificate(self.folder)
        both = self.folder / "both.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        first, second = self._servers
        text = replace(
            (DEPLOY / "haproxy.cfg").read_text(encoding="utf-8"),
            ("10.0.0.11:8000", f"127.0.0.1:{first}"),
            ("10.0.0.12:8000", f"127.0.0.1:{second}"),
            ("bind :80\n", f"bind 127.0.0.1:{self.plain_port}\n"),
            ("bind :443 ", f"bind 127.0.0.1:{self.port} "),
            (f"/etc/haproxy/{NAME}.pem", str(both)),
            ("maxconn 50000", "maxconn 500"),
        )
        (self.folder / "haproxy.cfg").write_text(text)
        command = [program("haproxy"), "-f", str(self.folder / "haproxy.cfg")]
        check([*command, "-c"])
        return [*command, "-db"]


def check(command: Sequence[str]) -> None:
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "[WARNING]" not in told.stderr, told.stderr
    assert "[warn]" not in told.stderr, told.stderr
