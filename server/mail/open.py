"""Which mailer there is, and where the links in its mails lead.

Owns: the choice, and the address of this server as mails give it. Does not own: the mailers. Keeps T7, T8.
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


def page_address(settings: Settings, host: str | None, path: str) -> str:
    """The whole address of one of our pages, for a mail.

    `host` is the request's header. It counts only where no other machine can be meant: whoever asks for
    somebody else's mail must not choose where its link leads.
    """
    if settings.public_url is not None:
        return settings.public_url + path
    if host is not None and is_here(_name_of(host)):
        return f"http://{host}{path}"
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{name}:{settings.port}{path}"


def _name_of(host: str) -> str:
    """The name in a Host header; empty for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        # the port is read for its ValueError
        is_plain = parts.netloc == host and "@" not in host and parts.port != 0
    except ValueError:
        return ""
    return (parts.hostname or "") if is_plain else ""
