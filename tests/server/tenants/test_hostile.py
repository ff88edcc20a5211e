"""Fields that are none of theirs, and names that would be more than text."""

import hashlib
import json
import re
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from server.registry import Operation
from tests.server.assets.pictures import png
from tests.server.edge import open_edge
from tests.server.tenants.calls import request_of
from tests.server.tenants.test_every_route import operations
from tests.server.tenants.world import BINARY, World, make_world

NOT_THEIRS = ("is_admin", "creator_id", "author_id", "deleted_at", "__proto__")
HOSTILE = (
    '<script>alert("x")</script>',
    "\"><img src=x onerror=alert(1)>'",
    "a\r\nSet-Cookie: kanvas=stolen",
    "a\u2028b\u202ec\x1b[31md",
    '"; filename="/etc/passwd',
    "=HYPERLINK(1)",
)


async def ask_for_more(world: World, operation: Operation, name: str) -> httpx2.Response:
    wanted = request_of(operation, world)
    asker = world.people["operator" if operation.tag == "admin" else "owner"]
    world.edge.http.cookies.clear()
    body = {**wanted.more["json"], name: True}
    return await asker.ask(wanted.method, wanted.path, dict(wanted.headers), json=body)


async def test_a_field_that_is_not_theirs_is_an_error(tmp_path: Path, empty_database: Path) -> None:
    """V7: not even for the owner, whom nothing else would stop; nothing is changed."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        world = await make_world(edge)
        before = await world.snapshot()
        wrong = []
        for operation in operations():
            if operation.body_model is None:
                continue
            for name in NOT_THEIRS:
                answer = await ask_for_more(world, operation, name)
                if answer.status_code != 422 or name not in json.dumps(answer.json()["errors"]):
                    wrong.append(f"{operation.name} with {name}: {answer.status_code} {answer.text[:200]}")
        after = await world.snapshot()
    assert not wrong, "\n".join(wrong)
    assert after == before


async def test_an_address_that_takes_no_body_refuses_one(tmp_path: Path, empty_database: Path) -> None:
    """V7: what somebody meant by its fields would not be done; nothing is changed."""
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        world = await make_world(edge)
        before = await world.snapshot()
        asked, wrong = 0, []
        for operation in operations():
            if operation.method == "GET" or operation.body_model is not None or operation.raw is not None:
                continue
            wanted = request_of(operation, world)
            asker = world.people["operator" if operation.tag == "admin" else "owner"]
            for given in ({"json": {"owner": "x", "default_role": "editor"}}, {"content": b"{}"}):
                world.edge.http.cookies.clear()
                answer = await asker.ask(wanted.method, wanted.path, dict(wanted.headers), **given)
                asked += 1
                if answer.status_code != 422 or "takes no body" not in answer.json()["errors"][0]["message"]:
                    wrong.append(f"{operation.name}: {answer.status_code} {answer.text[:200]}")
        after = await world.snapshot()
    assert asked >= 40
    assert not wrong, "\n".join(wrong)
    assert after == before


@pytest.mark.parametrize("text", HOSTILE)
async def test_names_are_text_wherever_they_turn_up(tmp_path: Path, empty_database: Path, text: str) -> None:
    """V7: in JSON, in headers, in pages, in what is downloaded: refused, or told as what they are."""
    wrong: list[str] = []
    async with open_edge(tmp_path, empty_database, jobs=False) as edge:
        world = await make_world(edge)
        bea, at = world.people["owner"], f"/api/v1/rooms/{world.ids['room_id']}"
        picture = png(color="#300000")
        stored = f"{at}/assets/{hashlib.sha256(picture).hexdigest()}?filename={quote(text)}"
        written = [
            await bea.ask("PATCH", "/api/v1/me", json={"name": text}),
            await bea.ask("PATCH", at, json={"title": text}),
            await bea.ask("POST", f"{at}/links", json={"role": "viewer", "label": text}),
            await bea.ask("POST", f"{at}/comments", json={"x": 1, "y": 1, "body": text}),
            await bea.ask("PUT", stored, BINARY, content=picture),
        ]
        asset_id = written[-1].json().get("id", world.ids["asset_id"])
        pages = (
            "/",
            f"/r/{world.ids['room_id']}",
            at,
            "/api/v1/rooms?scope=mine",
            f"{at}/members",
            f"{at}/comments",
            f"{at}/links",
            f"{at}/document?download=true&root=map&type=map",
            f"/api/v1/assets/{asset_id}",
            f"/api/v1/assets/{asset_id}/metadata",
            f"{at}/audit/export?format=csv",
        )
        told = {page: await bea.ask("GET", page) for page in pages}
    wrong += [one.text[:200] for one in written if one.status_code not in (200, 201, 422)]
    for page, answer in told.items():
        # the client's own pages are there once it was built
        if answer.status_code != 200 and not (answer.status_code == 503 and "<html" in answer.text):
            wrong.append(f"{page}: {answer.status_code} {answer.text[:200]}")
    for page, answer in [*told.items(), *(("what was written", one) for one in written)]:
        wrong += [f"{page}: {one}" for one in more_than_text(answer)]
    assert not wrong, "\n".join(wrong)


def more_than_text(answer: httpx2.Response) -> list[str]:
    """What in it would be taken for more than that."""
    found = [
        f"the header {name} is {value!r}"
        for name, value in answer.headers.multi_items()
        if any(not 32 <= ord(one) <= 126 for one in value) or "<script" in value or "stolen" in value
    ]
    kind = answer.headers["content-type"].partition(";")[0]
    if answer.headers.get("x-content-type-options") != "nosniff":
        found.append("its type may be guessed")
    if kind == "text/html" and ("alert(" in answer.text or "onerror=" in answer.text):
        found.append("a page with a script")
    if kind == "text/csv" and re.search(r'(^|,)"?[=+@\t\r]', answer.text, re.MULTILINE):
        found.append("a formula")
    disposition = answer.headers.get("content-disposition", "")
    if disposition.count('filename="') > 1 or "/etc/" in disposition:
        found.append(f"two names: {disposition}")
    return found
