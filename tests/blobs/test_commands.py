"""`kanvas blobs check` and `kanvas blobs cors`, as people run them."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.blobs.strict import open_bucket
from tests.blobs.weed import Weed

KANVAS = str(Path(sys.executable).with_name("kanvas"))


async def kanvas(
    tmp_path: Path, *arguments: str, env: Mapping[str, str] | None = None, program: str = KANVAS
) -> tuple[int, str]:
    """Run a command; its exit code and what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KANVAS_", "AWS_"))}
    told = {"KANVAS_DATA_DIR": str(tmp_path / "data"), "AWS_EC2_METADATA_DISABLED": "true", "COLUMNS": "200"}
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env={**kept, **told, **(env or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_commands_on_files(tmp_path: Path) -> None:
    (code, out), (cors_code, cors) = await asyncio.gather(
        kanvas(tmp_path, "blobs", "check"), kanvas(tmp_path / "other", "blobs", "cors")
    )
    assert code == 0, out
    assert out.count(" ok ") == 8
    assert "failed" not in out
    assert (cors_code, cors) == (
        0,
        "Files are served by Kanvas itself; there is no bucket, so nothing has to be allowed.\n",
    )
    assert [one for one in (tmp_path / "data" / "blobs").rglob("*") if one.is_file()] == []


async def test_commands_on_a_bucket(tmp_path: Path, weed: Weed) -> None:
    async with open_bucket(weed) as bucket:
        env = {"KANVAS_BLOBS_URL": bucket.url, **bucket.env}
        public = {"KANVAS_PUBLIC_URL": "https://kanvas.example.org", "KANVAS_HOST": "0.0.0.0"}
        results = await asyncio.gather(
            kanvas(tmp_path / "a", "blobs", "check", env=env),
            kanvas(tmp_path / "b", "blobs", "cors", env=env | public),
            kanvas(tmp_path / "c", "blobs", "cors", env=env | {"KANVAS_HOST": "0.0.0.0"}),
            kanvas(tmp_path / "e", "blobs", "check", env={"KANVAS_BLOBS_URL": bucket.url}),
        )
    (code, out), (cors_code, cors), (lost_code, lost), (none_code, none) = results
    assert code == 0, out
    assert out.count(" ok ") == 8
    assert (cors_code, cors) == (
        0,
        "The bucket takes PUT, GET and HEAD from pages of https://kanvas.example.org.\n",
    )
    assert (lost_code, lost.splitlines()[0][:23]) == (1, "Set KANVAS_PUBLIC_URL t")
    assert none_code == 2
    assert "set AWS_ACCESS_KEY_ID" in none
    assert "Traceback" not in none


async def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    without = "import sys; sys.modules['aioboto3'] = None; from server.cli import main; main()"
    code, out = await kanvas(
        tmp_path,
        *("-c", without, "blobs", "check"),
        env={"KANVAS_BLOBS_URL": "s3://kanvas?endpoint=http://127.0.0.1:9"},
        program=sys.executable,
    )
    assert code == 2
    assert "pip install 'kanvas[s3]'" in out
