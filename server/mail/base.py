"""The port of mails: what a mail is, and who takes it away.

Owns: `Mail`, `Mailer`, what can go wrong. Does not own: SMTP (`smtp.py`), the mailbox of this machine
(`mailbox.py`), when a mail is sent (`sending.py`). Keeps rule T7.
"""

from dataclasses import dataclass
from typing import Protocol

from party.errors import Invalid, Unavailable


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one person. `text` is whole without `html`; both are what people read."""

    to: str
    subject: str
    text: str
    html: str | None = None


class MailDown(Unavailable):
    """The mail server can't be reached, or takes nothing just now; it is tried again."""

    code = "mail_down"


class Undeliverable(Invalid):
    """The mail server refuses this mail for good."""

    code = "undeliverable"


class Mailer(Protocol):
    """Takes mails away."""

    async def send(self, mail: Mail, key: str) -> None:
        """Hand the mail over; when this returns, the other side is answerable for it.

        `key` is the same when the same mail is sent again (a process died in between), and whoever gets both
        can tell by it. Raises MailDown (another try may help), Undeliverable (it won't). Cancelled, it may or
        may not have been taken.
        """

    async def check(self) -> str:
        """Try all but sending; words for `kanvas check`. Raises MailDown, Undeliverable."""
