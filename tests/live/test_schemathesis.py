"""Schemathesis against a live server: no 5xx, and no answer the document does not declare.

All its checks run, in all its phases. The exceptions are answers that depend on more than a schema can say:
whether a cursor is one of ours, an ETag is the newest, bytes are an image or a Yjs update.
"""

import asyncio
import os
import sys
from pathlib import Path

import httpx2
import pytest

from tests.servers import LiveServer

SEED = os.environ.get("TEST_SEED", "20")
EXAMPLES = os.environ.get("TEST_EXAMPLES", "2")

CONFIG = """
[[operations]]
include-operation-id = ["list_rooms", "list_own_assets"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 422]

# moments of a calendar that goes further than ours
[[operations]]
include-operation-id = ["list_all_audit", "list_my_audit", "export_all_audit", "export_my_audit"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 422]

[[operations]]
include-operation-id = ["list_room_audit", "export_room_audit"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 403, 404, 422]

[[operations]]
include-operation-id = ["list_room_assets"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 422]

[[operations]]
include-operation-id = ["change_room", "delete_room", "restore_room"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 403, 404, 412, 422]

[[operations]]
include-operation-id = ["list_my_invitations"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 422]

[[operations]]
include-operation-id = ["list_room_members", "list_room_invitations", "list_room_links", "make_link"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 422]

[[operations]]
include-operation-id = ["invite"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 422, 429]

[[operations]]
include-operation-id = ["export_document"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 304, 404, 422]

[[operations]]
include-operation-id = ["announce_asset"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 413, 422]

[[operations]]
include-operation-id = ["sign_parts"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 409, 422]

[[operations]]
include-operation-id = ["put_asset"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404, 415, 422]

[[operations]]
include-operation-id = ["create_thread", "create_reply", "change_thread", "change_comment"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 403, 404, 409, 422]

[[operations]]
include-operation-id = ["list_my_mentions"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 403, 404, 409, 422]

[[operations]]
include-operation-id = ["start_oidc", "finish_oidc"]
checks.positive_data_acceptance.expected-statuses = [303, 404]

[[operations]]
include-operation-id = ["ask_link"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 422]

[[operations]]
include-operation-id = ["confirm_link"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 404]

[[operations]]
include-operation-id = ["apply_update"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 403, 404, 409, 422]
"""


PHASES = "examples,coverage,fuzzing,stateful"

# what a schema forbids is looked at before who asks: once is enough
GUESTS_PHASES = "examples,fuzzing,stateful"
GUESTS_EXAMPLES = os.environ.get("TEST_EXAMPLES", "2")
CANARY = "qzkanari"
"""In all that is Bea's, who has a room of her own beside them."""

# They would ask for the addresses that are made up, none of which is ours, or end the token they ask with.
EXCLUDED = ("import_asset", "sign_out", "sign_out_everywhere", "revoke_user", "end_my_session")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("who", ["operator", "guest"])
async def test_no_5xx_and_no_undocumented_answer(tmp_path: Path, who: str) -> None:
    """V5: and to who is nobody in particular nothing that is another's."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    told = tmp_path / "told.yaml"
    with LiveServer(tmp_path / "data", {"KANVAS_LOG_FORMAT": "json"}) as server:
        bea = {"Authorization": f"Bearer {server.guest(f'Bea {CANARY}')}"}
        room = {"title": CANARY, "default_role": "none"}
        made = httpx2.post(f"{server.url}/api/v1/rooms", json=room, headers=bea, timeout=60)
        assert made.status_code == 201, made.text
        token = server.admin() if who == "operator" else server.guest()
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            f"{server.url}/api/v1/openapi.json",
            "--header",
            f"Authorization: Bearer {token}",
            "--checks=all",
            f"--phases={PHASES if who == 'operator' else GUESTS_PHASES}",
            f"--max-examples={EXAMPLES if who == 'operator' else GUESTS_EXAMPLES}",
            f"--seed={SEED}",
            "--request-timeout=60",
            "--continue-on-failure",
            "--warnings=off",
            *(f"--exclude-operation-id={name}" for name in EXCLUDED),
            # all of them are 403 to a guest, which is asked in tests/server/tenants
            *(("--exclude-tag=admin",) if who == "guest" else ()),
            *((f"--report-vcr-path={told}",) if who == "guest" else ()),
            "--no-color",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, f"seed {SEED}\n{out.decode(errors='replace')[-8000:]}"
        kept = httpx2.get(f"{server.url}{made.headers['location']}", headers=bea, timeout=60)
        assert kept.json() == made.json()
        # killed, it may have half of its last line still to write
        assert await asyncio.to_thread(server.stop) == 0
    if who == "guest":
        assert CANARY not in told.read_text(encoding="utf-8", errors="replace")
    lines, requests = server.lines(), server.lines("request")
    assert len(requests) > 300
    assert [line for line in requests if line["status"] >= 500] == []
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
