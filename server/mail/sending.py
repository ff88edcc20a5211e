"""The job `mail`: one mail, sent with retries, and dead with words when it can't be.

Owns: asking for a mail in a transaction, the handler. Does not own: the queue, the mailers. Keeps T7, T9.

The payload is {"to", "subject", "text"} with, where there is more to say, "html", "until" (RFC 3339: later it
would be of no use) and "only_known" (true: not to strangers). Once the mail is away its words are taken out
of the queue, for there is a link in them that opens something.
"""

import html
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from db.accounts import is_known_email
from db.queue import enqueue, replace_payload
from db.scopes import as_system
from server.jobs.base import GiveUp, JobCall
from server.mail.base import Mail, Undeliverable

MAIL: Final = "mail"


def enqueue_mail(
    connection: Connection,
    mail: Mail,
    now: datetime,
    *,
    until: datetime | None = None,
    is_for_known: bool = False,
) -> str:
    """Ask for the mail in this transaction; the job's id."""
    payload: dict[str, Any] = {"to": mail.to, "subject": mail.subject, "text": mail.text}
    if mail.html is not None:
        payload["html"] = mail.html
    if until is not None:
        payload["until"] = until.isoformat()
    if is_for_known:
        payload["only_known"] = True
    return enqueue(connection, kind=MAIL, payload=payload, now=now)


async def send_mail(call: JobCall) -> None:
    """The handler."""
    services, payload = call.services, call.job.payload
    if payload.get("is_sent"):
        # it ended between the mail and the note of it
        return
    now = services.now()
    until = payload.get("until")
    if until is not None and datetime.fromisoformat(until) <= now:
        await _forget(call)
        raise GiveUp("It was too late for this mail: what its link opens has ended.")
    if services.mailer is None:
        raise GiveUp("This server sends no e-mail; the operator can set KANVAS_SMTP_URL.")
    mail = Mail(payload["to"], payload["subject"], payload["text"], payload.get("html"))
    if payload.get("only_known"):
        known = partial(is_known_email, email=mail.to, now=now)
        if not await as_system(services.database).read(known):
            await _forget(call)
            return
    try:
        await services.mailer.send(mail, call.job.id)
    except Undeliverable as error:
        raise GiveUp(error.message) from error
    await _forget(call)


async def _forget(call: JobCall) -> None:
    holder = call.job.lease or ""
    forgotten = {"to": call.job.payload["to"], "is_sent": True}
    await as_system(call.services.database).write(
        lambda conn: replace_payload(conn, call.job.id, holder, forgotten)
    )


def page_of(paragraphs: Sequence[str], link: str, button: str) -> str:
    """A mail's HTML: paragraphs, a button, and the link spelt out. All of it is escaped here."""
    told = "".join(f"<p>{html.escape(one)}</p>" for one in paragraphs)
    href = html.escape(link, quote=True)
    return (
        '<!doctype html><html><body style="font-family:sans-serif;line-height:1.5;max-width:34rem">'
        f'{told}<p><a href="{href}" style="display:inline-block;padding:.6rem 1.2rem;border-radius:.5rem;'
        f'background:#3d4ed7;color:#fff;text-decoration:none">{html.escape(button)}</a></p>'
        f"<p>Or open this address: {href}</p></body></html>"
    )
