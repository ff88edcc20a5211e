"""Sign-in by a link in a mail, over HTTP."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from db.queue import encode, find_job, list_jobs
from db.sessions import list_sessions
from db.tables import audit_events, invitations, jobs, sign_in_links, users
from server.auth import COOKIE, Tokens
from server.mail.sending import MAIL
from server.rates.base import AuthUnavailable
from server.sealed import hash_token
from server.services import clean_up
from tests.backends.ports import free_ports
from tests.server.accounts.links import ASK, CONFIRM, ask, confirm, mails, newest_link, sign_in
from tests.server.edge import HOST, Edge, field_names, open_edge
from tests.server.mail.post import open_post


async def rows(edge: Edge, statement: Any) -> list[Any]:
    return await edge.database.read(lambda conn: list(conn.execute(statement).all()))


async def test_somebody_signs_in(tmp_path: Path, empty_database: Path) -> None:
    """T1, T6: a mail, a link, a session; the same person the next time."""
    async with open_edge(tmp_path, empty_database) as edge:
        config = (await edge.http.get("/api/v1/config")).json()
        assert config["email"] is True
        asked = await ask(edge, "Ada.Lovelace@Example.org", next="/r/abc")
        assert (asked.status_code, asked.content) == (202, b"")
        answer = await edge.http.post(
            CONFIRM,
            json={"token": await newest_link(edge)},
            headers={"Origin": HOST, "User-Agent": "A browser"},
        )
        told = answer.json()
        assert answer.status_code == 200
        assert (told["user"]["name"], told["next"], told["is_admin"]) == ("Ada Lovelace", "/r/abc", False)
        assert answer.headers["set-cookie"].startswith(f"{COOKIE}={told['token']};")
        me = (await edge.http.get("/api/v1/me")).json()  # by the cookie
        edge.http.cookies.clear()
        assert me == told["user"] | {
            "email": "ada.lovelace@example.org",
            "is_guest": False,
            "is_admin": False,
            "aliases": [],
        }
        again = await sign_in(edge, "ada.lovelace@example.org", count=2)
        assert again.user_id == told["user"]["id"]
        now = edge.services.now()
        seats = await edge.database.read(lambda conn: list_sessions(conn, again.user_id, now))
        assert {(one.kind, one.user_agent, one.address) for one in seats} >= {
            ("email", "A browser", "127.0.0.1")
        }
        assert len(seats) == 2
        assert all(timedelta(days=89) < one.expires_at - now < timedelta(days=91) for one in seats)


async def test_a_link_is_good_once_however_many_come_at_once(tmp_path: Path, empty_database: Path) -> None:
    """T1"""
    async with open_edge(tmp_path, empty_database) as edge:
        await ask(edge, "ada@example.org")
        token = await newest_link(edge)
        answers = await asyncio.gather(*(confirm(edge, token) for _ in range(8)))
        assert sorted(one.status_code for one in answers) == [200] + [404] * 7
        wrong = await confirm(edge, "ks_" + "x" * 43)
        spent = next(one for one in answers if one.status_code == 404)
        # a link that is used up, and one that never was, are told apart by nothing
        known = ("code", "detail", "status", "title", "type")
        assert [spent.json()[one] for one in known] == [wrong.json()[one] for one in known]
        assert wrong.json()["code"] == "link_spent"


async def test_a_link_ends_after_fifteen_minutes(tmp_path: Path, empty_database: Path) -> None:
    """T1: and only its hash is kept, and is forgotten."""
    async with open_edge(tmp_path, empty_database) as edge:
        await ask(edge, "ada@example.org")
        token = await newest_link(edge)
        [row] = await rows(edge, select(sign_in_links))
        assert row.token_hash == hash_token(token)
        assert row.expires_at - row.created_at == timedelta(minutes=15)
        past = datetime.now(UTC) - timedelta(seconds=1)
        await edge.database.write(lambda conn: conn.execute(update(sign_in_links).values(expires_at=past)))
        assert (await confirm(edge, token)).status_code == 404
        await clean_up(edge.services)
        assert await rows(edge, select(sign_in_links)) == []
        assert await rows(edge, select(users)) == []


async def test_opening_the_page_uses_nothing_up(tmp_path: Path, empty_database: Path) -> None:
    """T1: mail programs and scanners open links before people do."""
    async with open_edge(tmp_path, empty_database) as edge:
        await ask(edge, "ada@example.org")
        token = await newest_link(edge)
        for method in ("GET", "HEAD", "GET"):
            assert (await edge.http.request(method, f"/signin/{token}")).status_code in (200, 503)
        assert (await edge.http.post(f"/signin/{token}")).status_code == 405
        assert (await confirm(edge, token)).status_code == 200


async def test_the_secret_is_in_no_log(
    tmp_path: Path, empty_database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """T9: a log is read by many, and the page is opened before the link is used."""
    async with open_edge(tmp_path, empty_database) as edge:
        await ask(edge, "ada@example.org")
        token = await newest_link(edge)
        await edge.http.get(f"/signin/{token}")
        await confirm(edge, token)
    out = capsys.readouterr()
    assert "path=/signin/********" in out.out
    assert token not in out.out + out.err


async def test_the_answer_is_the_same_for_everybody(tmp_path: Path, empty_database: Path) -> None:
    """T2: where guests are not let in, mail is only for who is known or invited, and nobody can tell."""
    async with open_edge(tmp_path, empty_database) as edge:
        await sign_in(edge, "known@example.org")
        ada = await edge.guest()
        room = await ada.room(title="Plan")
    async with open_edge(tmp_path, empty_database, guests=False) as edge:
        now = edge.services.now()

        def invite(conn: Connection) -> None:
            conn.execute(
                invitations.insert().values(
                    id="i1",
                    room_id=room["id"],
                    email="invited@example.org",
                    role="editor",
                    invited_by=ada.user_id,
                    created_at=now,
                    expires_at=now + timedelta(days=1),
                )
            )

        await edge.database.write(invite)
        answers = [
            await ask(edge, f"{one}@example.org") for one in ("stranger", "known", "invited", "stranger")
        ]
        seen = {(one.status_code, one.content, tuple(sorted(one.headers))) for one in answers}
        assert len(seen) == 1
        texts = await mails(edge, 3)
        await all_done(edge)
        mailbox = await edge.services.mailer.list_mails()  # type: ignore[union-attr]
        assert sorted(one.mail.to for one in mailbox) == [
            "invited@example.org",
            "known@example.org",
            "known@example.org",
        ]
        assert len(texts) == 3
        # each asked for a row, and for a job
        assert len(await rows(edge, select(sign_in_links))) == 5


async def all_done(edge: Edge) -> None:
    """Until no mail waits."""
    async with asyncio.timeout(120):
        while await edge.database.read(
            lambda conn: (
                list_jobs(conn, kind=MAIL, state="queued", limit=9)
                + list_jobs(conn, kind=MAIL, state="running", limit=9)
            )
        ):
            await asyncio.sleep(0.02)


async def test_what_is_no_address_is_refused(tmp_path: Path, empty_database: Path) -> None:
    """T3"""
    async with open_edge(tmp_path, empty_database) as edge:
        for given in ("ada", "ada@", "a b@example.org", "ada@example.org\nBcc: x@y.z", 7, None):
            answer = await edge.http.post(ASK, json={"email": given})
            assert field_names(answer) == ["/email"]


async def test_nobody_is_sent_elsewhere_and_nothing_else_is_taken(
    tmp_path: Path, empty_database: Path
) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        assert field_names(await ask(edge, "a@example.org", is_admin=True)) == ["/is_admin"]
        for count, address in enumerate(("//evil.example", "https://evil.example", "/api/v1/me"), 1):
            await ask(edge, f"a{count}@example.org", next=address)
            assert (await confirm(edge, await newest_link(edge, count))).json()["next"] == "/"


async def test_a_foreign_page_can_not_sign_its_visitor_in(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        await ask(edge, "ada@example.org")
        token = await newest_link(edge)
        for path, body in ((ASK, {"email": "x@example.org"}), (CONFIRM, {"token": token})):
            answer = await edge.http.post(path, json=body, headers={"Origin": "https://evil.example"})
            assert (answer.status_code, answer.json()["code"]) == (403, "origin_refused")
        assert (await confirm(edge, token)).status_code == 200


async def test_the_host_header_does_not_choose_the_link(tmp_path: Path, empty_database: Path) -> None:
    """T9"""
    async with open_edge(tmp_path, empty_database) as edge:
        await edge.http.post(ASK, json={"email": "ada@example.org"}, headers={"Host": "evil.example"})
        assert "evil.example" not in (await mails(edge))[0]


async def test_nobodys_mailbox_is_filled(tmp_path: Path, empty_database: Path) -> None:
    """T2: six mails in a quarter of an hour to one address, in whatever letters it is written."""
    async with open_edge(tmp_path, empty_database, rate_limits="") as edge:
        sent = [await ask(edge, "Ada@example.org" if n % 2 else "ada@EXAMPLE.org") for n in range(7)]
        assert [one.status_code for one in sent] == [202] * 6 + [429]
        assert 0 < int(sent[6].headers["retry-after"]) <= 915
        assert (await ask(edge, "grace@example.org")).status_code == 202


async def test_one_address_asks_for_so_many(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, rate_limits="auth.email=3/60") as edge:
        sent = [await ask(edge, f"a{n}@example.org") for n in range(4)]
        assert [one.status_code for one in sent] == [202] * 3 + [429]


async def test_without_redis_nobody_asks(tmp_path: Path, empty_database: Path) -> None:
    """L7: what can't be counted is not done."""
    url = f"redis://127.0.0.1:{free_ports(1)[0]}"
    async with open_edge(tmp_path, empty_database, rate_limits="", redis_url=url) as edge:
        answer = await ask(edge, "ada@example.org")
        assert (answer.status_code, answer.json()["code"]) == (503, AuthUnavailable.code)
        assert await rows(edge, select(sign_in_links)) == []


async def test_a_server_without_mail_says_so(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database, public_url="https://kanvas.test") as edge:
        assert (await edge.http.get("/api/v1/config")).json()["email"] is False
        answer = await ask(edge, "ada@example.org")
        assert (answer.status_code, answer.json()["code"]) == (404, "email_off")
        assert "KANVAS_SMTP_URL" in answer.json()["detail"]


# -- the job ----------------------------------------------------------------------------------------


async def test_by_a_mail_server_and_nothing_is_left_in_the_queue(
    tmp_path: Path, empty_database: Path
) -> None:
    """T7: what opens something is not kept longer than it is needed."""
    with open_post() as post:
        url = f"smtp://127.0.0.1:{post.port}"
        async with open_edge(tmp_path, empty_database, smtp_url=url) as edge:
            assert (await edge.http.get("/api/v1/config")).json()["mailbox"] is False
            await ask(edge, "ada@example.org")
            await all_done(edge)
            [message] = post.messages
            assert message["To"] == "ada@example.org"
            assert "/signin/ks_" in str(message)
            [job] = await edge.database.read(lambda conn: list_jobs(conn, kind=MAIL, limit=9))
            assert job.payload == {"to": "ada@example.org", "is_sent": True}


async def test_a_refused_mail_is_dead_and_says_why(tmp_path: Path, empty_database: Path) -> None:
    """T7"""
    with open_post() as post:
        post.refusals["nobody@example.org"] = "550 no such user"
        url = f"smtp://127.0.0.1:{post.port}"
        async with open_edge(tmp_path, empty_database, smtp_url=url) as edge:
            assert (await ask(edge, "nobody@example.org")).status_code == 202
            await all_done(edge)
            [job] = await edge.database.read(lambda conn: list_jobs(conn, kind=MAIL, limit=9))
            assert (job.state, job.attempts) == ("dead", 1)
            assert "no such user" in (job.error or "")
            # as the operator sees it
            token = edge.services.tokens.issue("op", "Op", is_admin=True).token
            told = await edge.http.get("/api/v1/admin/jobs", headers={"Authorization": f"Bearer {token}"})
            assert "signin" not in told.text


async def test_a_mail_server_that_is_away_is_tried_again(tmp_path: Path, empty_database: Path) -> None:
    """T7"""
    url = f"smtp://127.0.0.1:{free_ports(1)[0]}"
    async with open_edge(tmp_path, empty_database, smtp_url=url) as edge:
        await ask(edge, "ada@example.org")
        async with asyncio.timeout(120):
            while True:
                [job] = await edge.database.read(lambda conn: list_jobs(conn, kind=MAIL, limit=9))
                if job.attempts and job.state == "queued":
                    break
                await asyncio.sleep(0.02)
        assert "text" in job.payload
        # when its time is over it is not sent any more
        past = datetime.now(UTC) - timedelta(seconds=1)
        payload = job.payload | {"until": past.isoformat()}

        def late(conn: Connection) -> None:
            waits = (jobs.c.id == job.id) & (jobs.c.state == "queued")
            conn.execute(update(jobs).where(waits).values(payload=encode(payload), run_at=past))

        async with asyncio.timeout(120):
            while (
                found := await edge.database.read(lambda conn: find_job(conn, job.id))
            ) and found.state != "dead":
                # another attempt may be under way already
                await edge.database.write(late)
                edge.services.jobs.wake()
                await asyncio.sleep(0.02)
        assert found is not None
        assert "too late" in (found.error or "")
        assert "text" not in found.payload


# -- sessions ---------------------------------------------------------------------------------------


async def test_a_session_by_email_is_renewed_for_ninety_days(tmp_path: Path, empty_database: Path) -> None:
    """T6: also when its token has expired; and not after it was ended."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await sign_in(edge, "ada@example.org")
        key = edge.services.signing_key
        then = edge.services.now().timestamp() - 89 * 86_400
        old = Tokens(key, ttl_s=3600, clock=lambda: then).issue(ada.user_id, "Ada", via="email")
        too_old = Tokens(key, ttl_s=3600, clock=lambda: then - 2 * 86_400).issue(
            ada.user_id, "Ada", via="email"
        )
        script = Tokens(key, ttl_s=3600, clock=lambda: then).issue(ada.user_id, "Ada")
        refresh = "/api/v1/auth/refresh"
        statuses = [
            (await edge.http.post(refresh, headers={"Authorization": f"Bearer {one.token}"})).status_code
            for one in (old, too_old, script)
        ]
        assert statuses == [200, 401, 401]
        edge.http.cookies.clear()
        assert (await ada.ask("POST", "/api/v1/auth/signout")).status_code == 204
        assert (await ada.ask("POST", refresh)).status_code == 401


async def test_sign_ins_and_refusals_are_in_the_audit_log(tmp_path: Path, empty_database: Path) -> None:
    """T11"""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await sign_in(edge, "ada@example.org")
        await confirm(edge, "ks_wrong")
        await edge.services.refusals.write()
        await ada.ask("POST", "/api/v1/auth/signout")
        await edge.guest("Grace")
        events = await rows(edge, select(audit_events).order_by(audit_events.c.seq))
        told = [(one.action, one.result, one.actor_id == ada.user_id) for one in events]
        assert told == [
            ("sign_in.ask", "done", False),
            ("sign_in.email", "done", True),
            ("sign_in.email", "refused", False),
            ("sign_out.here", "done", True),
            ("sign_in.guest", "done", False),
        ]
        assert {one.address for one in events} == {"127.0.0.1"}
        assert "ks_" not in "".join(str(one) for one in events)
