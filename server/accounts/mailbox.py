"""The mailbox of who tries Kanvas out: mails that stayed on this machine, as JSON.

Owns: /api/v1/mailbox, and who may read it. Does not own: the mails (server/mail/mailbox.py). Keeps rule T8.
"""

from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from server.accounts.errors import MailboxOff
from server.mail.mailbox import MailboxMailer
from server.mail.smtp import is_here
from server.rates.addresses import is_forwarded
from server.registry import Api, Call, Out, Reply, answer

api = Api()

OWN_SITES: Final = ("same-origin", "none")
"""What browsers say in Sec-Fetch-Site (Fetch Metadata) of our own pages, and of who typed the address."""


class MailOut(Out):
    """A mail that stayed here."""

    id: str
    sent_at: datetime
    to: str
    subject: str
    text: str


class MailboxOut(Out):
    """The newest mails, at most 100."""

    items: list[MailOut]


@api.route(
    "GET",
    "/api/v1/mailbox",
    summary="Mails that stayed on this machine",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(200, "The newest first", MailboxOut)],
    errors=[MailboxOff],
)
async def read_mailbox(call: Call) -> Response:
    """For who tries Kanvas out without a mail server: asked from the machine itself, and only while nobody
    else can reach it."""
    mailbox = find_mailbox(call)
    if mailbox is None:
        raise MailboxOff
    items = [
        MailOut(id=one.id, sent_at=one.sent_at, to=one.mail.to, subject=one.mail.subject, text=one.mail.text)
        for one in await mailbox.list_mails()
    ]
    return answer(MailboxOut(items=items))


def find_mailbox(call: Call) -> MailboxMailer | None:
    """The mailbox, if there is one and who asks sits at this machine.

    The name they call us by has to be this machine's as well: a page elsewhere may have its own name point
    here (DNS rebinding), and would read everybody's links. Nor may a page of another origin, whoever sees it:
    what KANVAS_ORIGINS opens to pages is meant for those who bring a token.
    """
    mailer, request = call.services.mailer, call.request
    if not isinstance(mailer, MailboxMailer):
        return None
    if is_forwarded(request.headers):
        return None
    is_local = request.client is not None and is_here(request.client.host)
    return mailer if is_local and is_here(request.url.hostname or "") and _is_own_page(request) else None


def _is_own_page(request: Request) -> bool:
    """Whether one of our pages asks, somebody in the address bar, or no browser at all."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", OWN_SITES[0])
    return site in OWN_SITES and origin in (None, f"{request.url.scheme}://{request.url.netloc}")
