"""A mail as the bytes of RFC 5322.

Owns: the headers and the parts. Does not own: the words, the way it is sent. Pure. Keeps rule T7.

The library refuses a line break in a header; here none gets that far. `Auto-Submitted` keeps machines from
answering (RFC 3834); `Message-ID` is made of the mail's key, so that the same mail sent twice has one.
"""

import hashlib
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import parseaddr
from typing import Final

from server.mail.addresses import fold_email
from server.mail.base import Mail, Undeliverable

MAX_SUBJECT_CHARS: Final = 200


def compose(mail: Mail, *, sender: str, key: str, now: datetime) -> EmailMessage:
    """The message. `sender` is KANVAS_MAIL_FROM. Raises Undeliverable for what is no address."""
    try:
        to = fold_email(mail.to)
    except ValueError:
        raise Undeliverable("This is no e-mail address that can be written to.") from None
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2]
    message = EmailMessage(policy=SMTP if to.isascii() and address.isascii() else SMTPUTF8)
    message["From"] = _address(name, address)
    message["To"] = _address("", to)
    message["Subject"] = _one_line(mail.subject)[:MAX_SUBJECT_CHARS]
    message["Date"] = now
    message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{_ascii(domain)}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(display_name=_one_line(name), username=local, domain=domain)


def _one_line(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _ascii(domain: str) -> str:
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return "kanvas"
