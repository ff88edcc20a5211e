"""Mails by SMTP.

Owns: the connection to the mail server, and what its answers mean for a mail. The only importer of
aiosmtplib, which is loaded with the first mail. Does not own: retries (the queue of jobs). Keeps rule T7.

A connection for each mail: sign-ins and invitations are few, and an idle connection would be closed by the
other side anyway. A password goes over TLS, or to this machine; it is not sent because somebody on the way
took STARTTLS out of the greeting.
Sources: RFC 5321 section 4.2.1 (what 4xx and 5xx mean), RFC 3207 (STARTTLS), RFC 8314 (submission).
"""

import ipaddress
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from server.mail.base import Mail, MailDown, Undeliverable

if TYPE_CHECKING:
    from aiosmtplib import SMTP

TIMEOUT_S: Final = 20.0
"""For each answer of the mail server."""

PORTS: Final = {"smtp": 25, "smtps": 465}
SUBMISSION_PORT: Final = 587
"""Where a server is that wants a password, when no port is named."""


class SmtpMailer:
    """The Mailer of a mail server. `url` is KANVAS_SMTP_URL, `sender` KANVAS_MAIL_FROM."""

    def __init__(self, url: str, sender: str, now: Callable[[], datetime]) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._is_tls = parts.scheme == "smtps"
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password or "")
        default = PORTS[parts.scheme] if self._is_tls or self._user is None else SUBMISSION_PORT
        self._port = parts.port or default
        self._sender = sender
        self._now = now

    async def send(self, mail: Mail, key: str) -> None:
        from aiosmtplib import (  # noqa: PLC0415 - 50 ms, and most processes never send any
            SMTPDataError,
            SMTPException,
            SMTPNotSupported,
            SMTPRecipientRefused,
            SMTPRecipientsRefused,
            SMTPSenderRefused,
        )

        from server.mail.message import compose  # noqa: PLC0415 - as the library: only who sends needs it

        message = compose(mail, sender=self._sender, key=key, now=self._now())
        try:
            async with self._client() as client:
                await client.send_message(message)
        except SMTPRecipientsRefused as error:
            # one recipient, hence one refusal
            raise _refusal(error.recipients[0].code, error.recipients[0].message) from error
        except (SMTPRecipientRefused, SMTPDataError, SMTPSenderRefused) as error:
            raise _refusal(error.code, error.message) from error
        except SMTPNotSupported as error:
            raise Undeliverable("The mail server takes no such address.") from error
        except (SMTPException, OSError) as error:
            raise self._down(error) from error

    async def check(self) -> str:
        from aiosmtplib import SMTPException  # noqa: PLC0415

        try:
            async with self._client() as client:
                await client.noop()
        except (SMTPException, OSError) as error:
            raise self._down(error) from error
        return f"{self._host}:{self._port} takes mails from {self._sender}"

    def _client(self) -> "SMTP":
        from aiosmtplib import SMTP  # noqa: PLC0415

        needs_tls = self._user is not None and not self._is_tls and not is_here(self._host)
        return SMTP(
            hostname=self._host,
            port=self._port,
            username=self._user,
            password=self._password if self._user is not None else None,
            use_tls=self._is_tls,
            # None: where it is offered
            start_tls=True if needs_tls else None,
            timeout=TIMEOUT_S,
        )

    def _down(self, error: Exception) -> MailDown:
        told = " ".join((str(error) or type(error).__name__).split())[:200]
        return MailDown(f"The mail server {self._host}:{self._port} took nothing: {told}")


def is_here(host: str) -> bool:
    """Whether it is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _refusal(code: int, told: str) -> MailDown | Undeliverable:
    """4xx is "not now", 5xx is "not at all"."""
    words = " ".join(told.split())[:200]
    if code >= 500:
        return Undeliverable(f"The mail server refuses this mail: {code} {words}")
    return MailDown(f"The mail server takes this mail later: {code} {words}")
