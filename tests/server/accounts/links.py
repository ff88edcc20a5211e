"""Somebody who signs in by e-mail: asks, reads the mail, follows the link."""

import asyncio
import re
from typing import Any

import httpx2

from server.mail.mailbox import MailboxMailer
from tests.server.edge import HOST, Edge, Person

ASK = "/api/v1/auth/email"
CONFIRM = "/api/v1/auth/email/confirm"
LINK = re.compile(r"http://127\.0\.0\.1:8000/signin/(ks_[\w-]{43})\s")


async def ask(edge: Edge, email: str, person: Person | None = None, **more: Any) -> httpx2.Response:
    """Ask for a link, as a guest perhaps."""
    headers = {"Authorization": f"Bearer {person.token}"} if person is not None else {}
    return await edge.http.post(ASK, json={"email": email, **more}, headers=headers)


async def mails(edge: Edge, count: int = 1) -> list[str]:
    """The texts of all mails, the newest first, once there are so many."""
    mailbox = edge.services.mailer
    assert isinstance(mailbox, MailboxMailer)
    async with asyncio.timeout(120):
        while len(found := await mailbox.list_mails()) < count:
            await asyncio.sleep(0.02)
    return [one.mail.text for one in found]


async def newest_link(edge: Edge, count: int = 1) -> str:
    """The secret in the newest mail."""
    found = LINK.search((await mails(edge, count))[0])
    assert found is not None
    return found[1]


async def confirm(edge: Edge, token: str, person: Person | None = None) -> httpx2.Response:
    headers = {"Origin": HOST}
    if person is not None:
        headers["Authorization"] = f"Bearer {person.token}"
    answer = await edge.http.post(CONFIRM, json={"token": token}, headers=headers)
    edge.http.cookies.clear()
    return answer


async def sign_in(edge: Edge, email: str, person: Person | None = None, count: int = 1) -> Person:
    """All of it; `count` is how many mails there are then."""
    assert (await ask(edge, email, person)).status_code == 202
    answer = await confirm(edge, await newest_link(edge, count), person)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    return Person(edge.http, told["token"], told["user"]["id"])
