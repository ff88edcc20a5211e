"""A real S3 server (SeaweedFS) as a child process: it verifies signatures, lengths and expiry.

Owns: starting and ending it, its buckets and its one identity. Does not own: what R2 refuses (`strict.py`).
Traps: besides each port it listens on that port + 10000; it takes 20 s over SIGTERM, so it is killed; it
makes a bucket that is not there when something is put into it; it lists a part that was sent twice twice;
telemetry is on unless told otherwise.
"""

import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

ACCESS_KEY = "KANVASTESTKEY"
SECRET_KEY = "not-a-secret-but-long-enough"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
WEED = Path(sys.executable).with_name("weed")
START_S = 60.0
GRPC = 10_000
BUCKET = "kanvas-test"


class Weed:
    """The running server. `port` is that of its S3 side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.port = 0
        self._is_warm = False

    def start(self) -> None:
        """Start on free ports; another process may take one meanwhile, so there are three tries."""
        for attempt in range(3):
            if self._try(self._folder / str(attempt)):
                return
        raise RuntimeError(f"weed did not start:\n{(self._folder / 'log').read_text()[-4000:]}")

    def _try(self, data: Path) -> bool:
        data.mkdir(parents=True)
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity()]}))
        # seven volumes would be made for the first blob of each bucket: seconds
        (self._folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
        master, volume, filer, s3 = free_pairs(4)
        self.port = s3
        common = ("-ip=127.0.0.1", "-ip.bind=127.0.0.1")
        self._run(
            *("server", f"-dir={data}", *common, f"-master.port={master}", "-master.telemetry=false"),
            *("-volume=false", "-master.volumeSizeLimitMB=64", "-filer", f"-filer.port={filer}"),
            *("-s3", f"-s3.port={s3}", f"-s3.config={config}", "-s3.iam=false"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),
            # else every page may do everything, and CORS of a bucket is never looked at
            "-s3.allowedOrigins=",
        )
        begin = time.monotonic()
        has_volume = False
        while time.monotonic() < begin + START_S and all(one.poll() is None for one in self._processes):
            if not has_volume and b'"IsLeader":true' in (_get(master, "/cluster/status") or b""):
                # sooner, it would be turned away and come back after 5 s
                self._run(
                    "volume",
                    f"-dir={data}",
                    *common,
                    f"-port={volume}",
                    f"-master=127.0.0.1:{master}",
                    "-max=0",
                    "-preStopSeconds=0",
                )
                has_volume = True
            if has_volume and None not in (_get(s3, "/status"), _get(volume, "/status")):
                return True
            time.sleep(0.05)
        self.kill()
        return False

    def _run(self, *arguments: str) -> None:
        with (self._folder / "log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [str(WEED), *arguments],
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    async def warm(self) -> None:
        """Make the bucket and store something, so that nobody else waits for its first volume."""
        if self._is_warm:
            return
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            for name, body in ((BUCKET, b""), (f"{BUCKET}/warm", b"warm")):
                url = sign_by_hand("PUT", f"http://127.0.0.1:{self.port}/{name}", {})
                made = await http.put(url, content=body)
                assert made.status_code == 200, made.text
        self._is_warm = True

    def kill(self) -> None:
        for one in self._processes:
            one.kill()
            one.wait()
        self._processes.clear()


def _get(port: int, path: str) -> bytes | None:
    """What is answered, None when nothing is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def sign_by_hand(method: str, url: str, headers: Mapping[str, str], expires_s: int = 60) -> str:
    """An address as somebody else's program would sign it, right or wrong."""
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    credentials = ReadOnlyCredentials(ACCESS_KEY, SECRET_KEY, None)
    S3SigV4QueryAuth(credentials, "s3", "auto", expires_s).add_auth(request)
    signed: str = request.url
    return signed


def identity() -> dict[str, object]:
    """Who may do everything."""
    return {
        "name": "kanvas",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }


def free_pairs(count: int) -> list[int]:
    """Ports that are free, as are those 10000 above; neither the kernel nor tests/backends/ports.py gives
    them to others."""
    found: list[int] = []
    chance = random.SystemRandom()
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port = chance.randrange(11_000, 12_000)
            try:
                for one in (port, port + GRPC):
                    probe = held.enter_context(socket.socket())
                    probe.bind(("127.0.0.1", one))
            except OSError:
                continue
            found.append(port)
    return found


@contextlib.contextmanager
def open_weed(folder: Path) -> Iterator[Weed]:
    """The server for a whole test session; 3 s to start."""
    weed = Weed(folder)
    weed.start()
    try:
        yield weed
    finally:
        weed.kill()
