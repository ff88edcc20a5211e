"""Sign-in by a link in a mail.

Owns: /api/v1/auth/email*. Does not own: links and accounts (db/accounts.py), mails (server/mail), guests
(`guests.py`), other ways to sign in. Keeps rules T1, T2, T4, T9.

Asking is answered the same way, and takes as long, whoever has the address: nothing is looked up for it; the
job that sends the mail decides whether there is one.
"""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db.accounts import SignInLink, put_account, put_link, take_link
from db.scopes import as_system
from db.users import User, find_user
from party.errors import OriginRefused
from server.accounts.errors import EmailOff, LinkSpent
from server.accounts.guests import adopt_guest, find_guest, tell_adopted
from server.auth import BY_EMAIL, IssuedToken
from server.identity.flow import own_path
from server.identity.seats import note_seat
from server.mail.addresses import Email, name_of_email
from server.mail.base import Mail
from server.mail.sending import enqueue_mail, page_of
from server.origin import NoPublicUrl, mailed_origin
from server.rates.actions import AUTH_MAILBOX
from server.registry import Api, Body, Call, Reply
from server.sealed import hash_token, make_token
from server.sign_in import COOKIE_HEADER, SignedIn, UserOut, check_page, signed_in

api = Api()

LIFE: Final = timedelta(minutes=15)
PREFIX: Final = "ks_"
PAGE: Final = "/signin/"


class EmailIn(Body):
    """Where to send the link, and where to go on afterwards."""

    email: Email
    next: Annotated[
        str, Field(max_length=512, description="A path of this server, such as /r/...; else the lobby")
    ] = "/"


class LinkIn(Body):
    """The secret in a link."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class SignedInByLink(SignedIn):
    """A token, whose it is, and where to go on."""

    next: str = Field(description="A path of this server")


@api.route(
    "POST",
    "/api/v1/auth/email",
    summary="Ask for a link to sign in with",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(202, "If somebody may sign in with this address, a mail is on its way")],
    errors=[EmailOff, NoPublicUrl, OriginRefused],
    audit="sign_in.ask",
)
async def ask_link(call: Call, body: EmailIn) -> Response:
    """The link is good for 15 minutes, once. The answer is the same whether the address is known or not.
    Where guests are not let in, only who has an account or an invitation gets a mail. Sent with the token of
    a guest, the account keeps what the guest made, if the link is opened in the same browser."""
    services = call.services
    check_page(call)
    if services.mailer is None:
        raise EmailOff
    # by the mailbox, too: nobody else's is to be filled; hashed, for keys are read by many
    await services.rates.take(AUTH_MAILBOX, host="", user_id=f"#{body.email}")
    guest = await find_guest(call)
    token, token_hash = make_token(PREFIX)
    now = services.now()
    link = mailed_origin(call.request, services.settings) + PAGE + token
    mail = link_mail(body.email, link)

    def ask(connection: Connection) -> None:
        put_link(
            connection,
            token_hash=token_hash,
            email=body.email,
            guest_id=guest.user_id if guest is not None else None,
            next_path=own_path(body.next),
            now=now,
            expires_at=now + LIFE,
        )
        enqueue_mail(connection, mail, now, until=now + LIFE, is_for_known=not services.settings.guests)
        who = (guest.user_id, guest.name) if guest is not None else ("", "")
        call.record(connection, "sign_in.ask", by=who, target=body.email)

    await as_system(services.database).write(ask)
    services.jobs.wake()
    return Response(status_code=202, headers={"Cache-Control": "no-store"})


@api.route(
    "POST",
    "/api/v1/auth/email/confirm",
    summary="Sign in with the link",
    tag="sign-in",
    needs_user=False,
    replies=[Reply(200, "You are in", SignedInByLink, headers=COOKIE_HEADER)],
    errors=[LinkSpent, OriginRefused],
    audit="sign_in.email",
)
async def confirm_link(call: Call, body: LinkIn) -> Response:
    """Makes the account when nobody has the address yet. A guest whose token comes along, and who asked for
    this link, becomes an alias of the account: his rooms, files, comments and roles are the account's, and
    his tokens end."""
    services = call.services
    check_page(call)
    guest = await find_guest(call)
    token_hash, now, new_id = hash_token(body.token), services.now(), str(ULID()).lower()

    def confirm(connection: Connection) -> tuple[SignInLink, User, IssuedToken, list[str] | None]:
        link = take_link(connection, token_hash, now)
        if link is None:
            raise LinkSpent
        asker = guest if guest is not None and guest.user_id == link.guest_id else None
        known = find_user(connection, asker.user_id) if asker is not None else None
        name = known.name if known is not None else name_of_email(link.email)
        account = put_account(connection, id=new_id, email=link.email, name=name, now=now)
        adopted = adopt_guest(connection, call, asker, account.id, now) if asker is not None else None
        token = services.tokens.issue(account.id, account.name, via=BY_EMAIL)
        note_seat(connection, call, token, account.id, "email")
        call.record(connection, "sign_in.email", by=(account.id, account.name))
        return link, account, token, adopted

    link, account, token, adopted = await as_system(services.database).write(confirm)
    if adopted is not None and guest is not None:
        await tell_adopted(services, guest.user_id, adopted, now)
    body_out = SignedInByLink(
        token=token.token,
        expires_at=token.expires_at,
        user=UserOut(id=account.id, name=account.name),
        is_admin=account.is_admin,
        next=link.next_path,
    )
    return signed_in(call, body_out, 200)


def link_mail(email: str, link: str) -> Mail:
    """The mail with the link."""
    minutes = int(LIFE.total_seconds() // 60)
    paragraphs = [
        "You, or somebody who typed your address, asked to sign in to Kanvas.",
        f"The link is good for {minutes} minutes, and once.",
    ]
    unasked = "If it was not you, leave it: without the link nobody gets in."
    text = "\n\n".join([*paragraphs, link, unasked]) + "\n"
    return Mail(email, "Sign in to Kanvas", text, page_of([*paragraphs, unasked], link, "Sign in"))
