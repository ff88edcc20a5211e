"""Operators by `kanvas admin`, and the mailbox of who is alone with the server."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from db.tables import audit_events
from server.accounts import commands
from server.accounts.errors import AccountNotFound
from server.check import try_all
from server.identity import operators
from server.settings import Settings, SettingsError, read_settings
from tests.server.accounts.links import ask, mails, sign_in
from tests.server.edge import Edge, Person, copy_database, open_edge
from tests.server.mail.post import open_post

JOBS = "/api/v1/admin/jobs"
MAILBOX = "/api/v1/mailbox"


async def until(edge: Edge, person: Person, status: int) -> None:
    """Wait until the operator's list answers so: little more than a second on a machine with time."""
    async with asyncio.timeout(120):
        while (await person.ask("GET", JOBS)).status_code != status:
            await asyncio.sleep(0.02)


async def test_a_grant_counts_at_once_and_so_does_its_end(tmp_path: Path, empty_database: Path) -> None:
    """T10: for the session that is open, within little more than a second; nothing of it is in a token."""
    async with open_edge(tmp_path, empty_database) as edge:
        settings = edge.services.settings
        assert operators.POLL_S <= 1
        ada = await sign_in(edge, "ada@example.org")
        assert (await ada.ask("GET", JOBS)).status_code == 403
        told = await asyncio.to_thread(commands.grant, settings, " ADA@example.org")
        assert told == f"{ada.user_id}  Ada <ada@example.org> is an operator now."
        await until(edge, ada, 200)
        assert (await ada.ask("GET", "/api/v1/me")).json()["is_admin"] is True
        renamed = (await ada.ask("PATCH", "/api/v1/me", json={"name": "Countess"})).json()
        assert renamed["is_admin"] is True
        fresh = await edge.services.tokens.verify_for_refresh(renamed["token"])
        assert not fresh.is_admin
        assert fresh.until is None
        assert await asyncio.to_thread(commands.show, settings) == [
            f"{ada.user_id}  Countess <ada@example.org>"
        ]
        await asyncio.to_thread(commands.revoke, settings, ada.user_id)
        await until(edge, ada, 401)
        again = await sign_in(edge, "ada@example.org", count=2)
        await until(edge, again, 403)
        actions = await edge.database.read(
            lambda conn: conn.execute(
                select(audit_events.c.action, audit_events.c.actor_name, audit_events.c.target).where(
                    audit_events.c.action.in_(["admin.grant", "admin.revoke"])
                )
            ).all()
        )
        assert [tuple(one) for one in actions] == [
            ("admin.grant", "Operator", ada.user_id),
            ("admin.revoke", "Operator", ada.user_id),
        ]


async def test_the_first_operator_of_a_new_server(tmp_path: Path, empty_database: Path) -> None:
    """T10: before anybody was there; it is who signs in with the address, also where no guests come in."""
    copy_database(tmp_path, empty_database)
    settings = Settings(data_dir=tmp_path)
    assert "an operator now" in await asyncio.to_thread(commands.grant, settings, "ada@example.org")
    assert "already" in await asyncio.to_thread(commands.grant, settings, "ada@example.org")
    async with open_edge(tmp_path, empty_database, guests=False) as edge:
        ada = await sign_in(edge, "ada@example.org")
        assert (await ada.ask("GET", JOBS)).status_code == 200


async def test_who_can_not_be_made_one(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        fox = await edge.guest("Fox")
        settings = edge.services.settings
        with pytest.raises(Exception, match="guest"):
            await asyncio.to_thread(commands.grant, settings, fox.user_id)
        with pytest.raises(AccountNotFound):
            await asyncio.to_thread(commands.grant, settings, "nobody-here")
        with pytest.raises(AccountNotFound):
            await asyncio.to_thread(commands.revoke, settings, "eve@example.org")
        assert "Nobody yet" in (await asyncio.to_thread(commands.show, settings))[0]


def test_the_command(tmp_path: Path, empty_database: Path) -> None:
    copy_database(tmp_path, empty_database)
    env = {name: value for name, value in os.environ.items() if not name.startswith("KANVAS_")}
    for words, code, told in (
        (["grant", "ada@example.org"], 0, "Ada <ada@example.org> is an operator now."),
        (["revoke", "nobody"], 1, "There is nobody by this id"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "server", "admin", *words],
            env=env | {"KANVAS_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert told in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


# -- the mailbox ------------------------------------------------------------------------------------

HERE = {"Host": "localhost:8000"}


async def test_who_sits_at_the_machine_reads_the_mails(tmp_path: Path, empty_database: Path) -> None:
    """T8"""
    async with open_edge(tmp_path, empty_database) as edge:
        await ask(edge, "ada@example.org")
        await mails(edge)
        [mail] = (await edge.http.get(MAILBOX, headers=HERE)).json()["items"]
        assert set(mail) == {"id", "sent_at", "to", "subject", "text"}
        assert (mail["to"], mail["subject"]) == ("ada@example.org", "Sign in to Kanvas")
        assert (await edge.http.get("/api/v1/config", headers=HERE)).json()["mailbox"] is True
        assert (await edge.http.get("/mailbox")).status_code in (200, 503)


async def test_nobody_else_does(tmp_path: Path, empty_database: Path) -> None:
    """T8: not through a proxy, and no page whose name was pointed here."""
    async with open_edge(tmp_path, empty_database) as edge:
        for headers in (
            {"Host": "evil.example"},
            {"Host": "kanvas.test"},
            HERE | {"X-Forwarded-For": "127.0.0.1"},
            HERE | {"Forwarded": "for=127.0.0.1"},
            HERE | {"Via": "1.1 proxy"},
        ):
            answer = await edge.http.get(MAILBOX, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (404, "mailbox_off")
            assert (await edge.http.get("/api/v1/config", headers=headers)).json()["mailbox"] is False


async def test_no_page_of_another_origin_reads_it(tmp_path: Path, empty_database: Path) -> None:
    """T8: KANVAS_ORIGINS lets pages speak to us with tokens of their own; here nobody shows any."""
    for listed, origin in (("*", "https://evil.example"), ("http://localhost:9000", "http://localhost:9000")):
        async with open_edge(tmp_path / listed[-4:], empty_database, origins=listed) as edge:
            for headers in (
                HERE | {"Origin": origin},
                HERE | {"Origin": "null"},
                HERE | {"Sec-Fetch-Site": "cross-site"},
                HERE | {"Sec-Fetch-Site": "same-site"},
            ):
                answer = await edge.http.get(MAILBOX, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (404, "mailbox_off"), headers
                assert (await edge.http.get("/api/v1/config", headers=headers)).json()["mailbox"] is False
            for headers in (
                HERE | {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"},
                HERE | {"Sec-Fetch-Site": "none"},
            ):
                assert (await edge.http.get(MAILBOX, headers=headers)).status_code == 200, headers


async def test_with_a_mail_server_there_is_none(tmp_path: Path, empty_database: Path) -> None:
    """T8"""
    with open_post() as post:
        url = f"smtp://127.0.0.1:{post.port}"
        async with open_edge(tmp_path, empty_database, smtp_url=url) as edge:
            assert (await edge.http.get(MAILBOX, headers=HERE)).status_code == 404
        found = {one.part: one for one in await try_all(Settings(data_dir=tmp_path, smtp_url=url))}
        assert found["mail server"].passed
    found = {one.part: one for one in await try_all(Settings(data_dir=tmp_path, smtp_url=url))}
    assert not found["mail server"].passed
    assert "127.0.0.1" in found["mail server"].told


def test_links_need_an_address_people_reach() -> None:
    """T9: told at the start."""
    env = {"KANVAS_HOST": "0.0.0.0", "KANVAS_SMTP_URL": "smtp://user:secret@mail.example.org"}
    with pytest.raises(SettingsError) as told:
        read_settings(env)
    assert told.value.problems == [
        "KANVAS_PUBLIC_URL must be set too: the links in mails of KANVAS_SMTP_URL lead to it."
    ]
    assert read_settings(env | {"KANVAS_PUBLIC_URL": "https://kanvas.example.org"}).smtp_url
