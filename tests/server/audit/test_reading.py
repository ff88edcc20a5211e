"""The audit log as people read it: whose, filtered, page by page, as files."""

import csv
import io
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from db.audit import Event, append
from db.chains import Entry
from server.audit import reading
from server.audit.shapes import entry_out, to_cell, to_rows
from tests.server.audit.log import check, items, operator
from tests.server.edge import ROOMS, Edge, field_names, open_edge

ALL, MINE = "/api/v1/admin/audit", "/api/v1/me/audit"


async def write(edge: Edge, *events: Event) -> None:
    def put(connection: Connection) -> None:
        for event in events:
            append(connection, event)

    await edge.database.write(put)


def actions(found: list[dict[str, Any]]) -> list[str]:
    return [one["action"] for one in found]


async def test_each_reads_what_is_theirs(tmp_path: Path, empty_database: Path) -> None:
    """Y5: the owner their room's, everybody their own, the operator all; nobody else anything."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada, bob, olga = await edge.guest("Ada"), await edge.guest("Bob"), operator(edge)
        room, other = await ada.room(title="Plan"), await bob.room(title="Secret")
        at = f"{ROOMS}/{room['id']}/audit"
        await bob.ask("DELETE", f"{ROOMS}/{room['id']}")
        await edge.services.refusals.write(is_last=True)

        refused, made = await items(ada, at)
        assert (made["actor"], made["words"]) == ({"id": ada.user_id, "name": "Ada"}, "made the room")
        assert (made["room_id"], made["details"]["title"]) == (room["id"], "Plan")
        assert (refused["action"], refused["result"]) == ("room.delete", "refused")
        # the owner learns who, not where they live; of oneself, and the operator, all of it
        assert (made["address"], refused["address"]) == ("127.0.0.1", None)
        assert {one["address"] for one in await items(olga, at)} == {"127.0.0.1"}

        assert (await bob.ask("GET", at)).status_code == 403
        assert (await bob.ask("GET", f"{at}/export")).status_code == 403
        nowhere = await bob.ask("GET", f"{ROOMS}/no-such-room/audit")
        assert (nowhere.status_code, nowhere.json()["code"]) == (404, "room_not_found")
        for path in (ALL, f"{ALL}/export"):
            assert (await bob.ask("GET", path)).json()["code"] == "admins_only"
        mine = await items(bob, MINE)
        assert actions(mine)[-2:] == ["room.create", "sign_in.guest"]
        assert {one["actor"]["id"] for one in mine} == {bob.user_id}
        assert await items(bob, MINE, actor=ada.user_id) == []
        assert await items(bob, MINE, room=room["id"], action="room.create") == []
        assert await items(ada, at, room=other["id"]) == []
        everything = await items(olga, ALL)
        assert {one["room_id"] for one in everything} == {None, room["id"], other["id"]}

        # in the trash it is its owner's still
        await ada.ask("DELETE", f"{ROOMS}/{room['id']}")
        assert actions(await items(ada, at))[0] == "room.delete"


async def test_a_new_room_under_an_old_id_has_no_past(tmp_path: Path, empty_database: Path) -> None:
    """Y5: what was done in a room that is gone for good is not its next owner's to read."""
    async with open_edge(tmp_path, empty_database) as edge:
        before = datetime.now(UTC) - timedelta(days=40)
        await write(edge, Event(before, "eve", "Eve", "room.create", "the-plan", details='{"title":"Hers"}'))
        ada = await edge.guest()
        await ada.room(id="the-plan")
        at = f"{ROOMS}/the-plan/audit"
        assert actions(await items(ada, at)) == ["room.create"]
        assert len(await items(ada, at, since="2000-01-01T00:00:00Z")) == 1
        exported = await ada.ask("GET", f"{at}/export")
        assert "Hers" not in exported.text
        assert len(await items(operator(edge), ALL, room="the-plan", action="room")) == 2


async def test_pages_and_filters(tmp_path: Path, empty_database: Path) -> None:
    """Y5: by actor, action, room and time, page by page, without gap or repetition."""
    async with open_edge(tmp_path, empty_database) as edge:
        at = datetime(2026, 3, 1, 12, tzinfo=UTC)
        made = [
            Event(
                at + timedelta(hours=n),
                f"u{n % 2}",
                "U",
                ("room.change", "link.create")[n % 3 == 0],
                f"room-{n % 2}",
            )
            for n in range(9)
        ]
        await write(edge, *made)
        olga = operator(edge)
        whole = [one["id"] for one in await items(olga, ALL)]
        for query in ({}, {"room": "room-1"}):
            paged: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                answer = (await olga.ask("GET", ALL, params={"limit": "2", **query, **cursor})).json()
                paged += [one["id"] for one in answer["items"]]
                if answer["next_cursor"] is None:
                    break
                cursor = {"cursor": answer["next_cursor"]}
            assert paged == ([one["id"] for one in await items(olga, ALL, **query)] if query else whole)
        assert len(await items(olga, ALL, actor="u0")) == 5
        assert actions(await items(olga, ALL, action="link")) == ["link.create"] * 3
        assert len(await items(olga, ALL, action="link.create", actor="u1")) == 1
        since, until = "2026-03-01T14:00:00+02:00", "2026-03-01T14:00:00.5Z"
        assert len(await items(olga, ALL, since=since, until=until)) == 3
        for query, wrong in (
            ({"since": "yesterday"}, "since"),
            ({"since": "1"}, "since"),
            ({"until": "2026-03-01"}, "until"),
            ({"until": "0001-01-01T00:00:00+14:00"}, "until"),
            ({"action": "Room"}, "action"),
            ({"room": "A room"}, "room"),
            ({"actor": "a\0b"}, "actor"),
            ({"cursor": "nonsense"}, "cursor"),
            ({"color": "red"}, "color"),
        ):
            assert field_names(await olga.ask("GET", ALL, params=query)) == [wrong]


async def test_an_export_is_the_log_in_its_order(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Y9: page by page; JSON Lines and CSV say the same, and the export is an entry itself."""
    monkeypatch.setattr(reading, "PAGE", 7)
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest("Ada")
        room = await ada.room(title='A "plan", and\nmore'.replace("\n", " "))
        for n in range(20):
            await ada.ask("PATCH", f"{ROOMS}/{room['id']}", json={"title": f"=Title {n}"})
        at = f"{ROOMS}/{room['id']}/audit/export"
        lines = await ada.ask("GET", at)
        assert lines.headers["content-type"] == "application/jsonl"
        assert lines.headers["content-disposition"].endswith(f'filename="kanvas-audit-{room["id"]}.jsonl"')
        entries = [orjson.loads(line) for line in lines.text.splitlines()]
        assert [one["action"] for one in entries] == ["room.create", *["room.change"] * 20, "audit.export"]
        rows = await ada.ask("GET", at, params={"format": "csv", "action": "room"})
        assert rows.headers["content-type"] == "text/csv; charset=utf-8"
        table = list(csv.DictReader(io.StringIO(rows.text)))
        assert [row["id"] for row in table] == [one["id"] for one in entries[:-1]]
        assert orjson.loads(table[1]["details"]) == entries[1]["details"]
        assert (table[0]["actor_name"], table[0]["address"]) == ("Ada", "127.0.0.1")
        for path in (f"{ALL}/export", f"{MINE}/export"):
            who = operator(edge) if path.startswith(ALL) else ada
            assert len((await who.ask("GET", path)).text.splitlines()) >= 22
        empty = await ada.ask("GET", at, params={"format": "csv", "actor": "nobody"})
        assert empty.text.splitlines() == [
            "id,at,actor_id,actor_name,action,target,result,address,room_id,details"
        ]
        assert await check(edge) == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", '"=1', ' " @x', "\tx", "\rx", "\nx"])
def test_no_cell_is_a_formula(text: str) -> None:
    """Y9."""
    assert to_cell(text) == f"'{text}"
    assert to_cell(f"a{text}") == f"a{text}"


TEXTS = st.text(alphabet=";|\t\n ,\"'=@\uff0dx", max_size=12)


@settings(deadline=None)
@given(TEXTS, TEXTS)
@example('x;"=1+1;y', "")
@example('x|""=1', "\t=1")
@example("x\n=1", ' "=1')
def test_no_cell_is_a_formula_wherever_it_is_cut(name: str, target: str) -> None:
    """Y9: of the readers that take another sign than the comma for what parts cells, too."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    entry = Entry("room-1", 1, "an-id", at, "u", name, "room.read", target, "refused", "", "", "{}")
    rows = to_rows([entry_out(entry, "", is_admin=True)], has_head=False).decode()
    for delimiter in ",;|\t":
        for row in csv.reader(io.StringIO(rows, newline=""), delimiter=delimiter):
            for cell in row:
                assert not cell.strip().replace('"', " ").strip().startswith(tuple("=+-@\uff0d")), (cell, row)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("Eve;=1+1", "Eve;'=1+1"),
        ("Eve; \t@SUM(1)", "Eve; \t'@SUM(1)"),
        ('say "=1"', 'say "=1"'),
        ('{"from":"x;-1"}', '{"from":"x;\'-1"}'),
        ("a\tb|=c", "a\tb|'=c"),
        ('x;"=1+1;y', "x;\"'=1+1;y"),
        ('x;" "" +1', 'x;" "" \'+1'),
        ("\t=1", "'\t'=1"),
        ("a\n=1", "a\n'=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("a; b = c", "a; b = c"),
    ],
)
def test_no_part_of_a_cell_is_one_either(text: str, cell: str) -> None:
    """Y9: where a comma is what parts the digits of a number, spreadsheets part cells at semicolons."""
    assert to_cell(text) == cell


async def test_names_of_people_reach_csv_tamed(tmp_path: Path, empty_database: Path) -> None:
    """Y9: whoever is called a formula is text in the file."""
    async with open_edge(tmp_path, empty_database) as edge:
        eve = await edge.guest('=HYPERLINK("http://x","y")')
        rows = (await eve.ask("GET", f"{MINE}/export?format=csv")).text
        [row] = list(csv.DictReader(io.StringIO(rows)))
        assert row["actor_name"] == '\'=HYPERLINK("http://x","y")'


async def test_memory_is_one_page(tmp_path: Path, empty_database: Path) -> None:
    """Y9: the next page is read when the one before has been taken."""
    async with open_edge(tmp_path, empty_database) as edge:
        now = datetime.now(UTC)
        await write(edge, *(Event(now, "ada", "Ada", "room.change", "room-1") for _ in range(1200)))
        reads = 0

        class Counted:
            async def read(self, work: Any) -> list[Entry]:
                nonlocal reads
                reads += 1
                found: list[Entry] = await edge.database.read(work)
                return found

            write = edge.services.database.write

        later = now + timedelta(seconds=1)
        stream = reading.stream(Counted(), partial(reading.Wanted, chain="room-1")(), later)  # type: ignore[arg-type]
        assert len(await anext(stream)) == reading.PAGE
        assert reads == 1
        assert [len(page) async for page in stream] == [500, 200]
