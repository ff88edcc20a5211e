"""Which mailer there is.

Owns: the choice. Does not own: the mailers, where the links in mails lead (origin.py). Keeps T7, T8.
"""

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from server.mail.base import Mailer
from server.mail.mailbox import MailboxMailer
from server.mail.smtp import SmtpMailer, is_here
from server.settings import Settings


def make_mailer(settings: Settings, now: Callable[[], datetime]) -> Mailer | None:
    """By SMTP where that is set; else the mailbox, where only this machine reaches us; else none."""
    if settings.smtp_url is not None:
        return SmtpMailer(settings.smtp_url.get_secret_value(), settings.mail_from, now)
    if has_mailbox(settings):
        return MailboxMailer(settings.data_dir / "mailbox", settings.mail_from, now)
    return None


def has_mailbox(settings: Settings) -> bool:
    """Whether mails stay here, to be read by whoever sits at this machine.

    Not behind a proxy, which a public address tells of: then others come in, and their mails are nobody's
    here.
    """
    if settings.smtp_url is not None or not settings.is_loopback:
        return False
    return settings.public_url is None or is_here(urlsplit(settings.public_url).hostname or "")
