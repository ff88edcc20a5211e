"""The words of mails that invite people.

Owns: subject, text and HTML. Does not own: sending (the job `mail`). Pure.
Rules: what people wrote (names, titles, messages) is escaped and set apart from what the server says; a mail
never loads anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final

MAIL: Final = "mail"
"""The kind of job that sends one; its payload is a `Letter`'s."""

ROLES: Final[Mapping[str, str]] = {
    "viewer": "to look on",
    "commenter": "to look on and comment",
    "editor": "to draw together",
}


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one address."""

    to: str
    subject: str
    text: str
    html: str
    until: datetime

    def payload(self) -> dict[str, str]:
        """For the job, which does not send it later than `until`."""
        return {
            "to": self.to,
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "until": self.until.isoformat(),
        }


def invitation_letter(
    to: str, *, inviter: str, title: str, role: str, message: str | None, address: str, until: datetime
) -> Letter:
    """An invitation into a room, with the address that accepts it."""
    what = f"{inviter} invites you {ROLES[role]} in “{title}”."
    kept = (
        f"The link works once, until {until:%-d %B %Y}, for whoever has it: do not pass it on. "
        f"If you do not know {inviter}, ignore this mail; nothing happens."
    )
    lines = [f"> {line}" for line in message.split("\n")] if message else []
    said = "\n".join([f"{inviter} writes:", "", *lines]) if message else ""
    text = "\n\n".join(filter(None, (what, said, f"Open the room:\n{address}", kept))) + "\n"
    quoted = f"<blockquote>{escape(message).replace(chr(10), '<br>')}</blockquote>" if message else ""
    html = (
        '<!doctype html><html lang="en"><body style="font:16px/1.5 sans-serif">'
        f"<p>{escape(what)}</p>{quoted}"
        f'<p><a href="{escape(address)}">Open the room</a></p>'
        f"<p>{escape(kept)}</p></body></html>"
    )
    return Letter(to, f"{inviter} invites you to “{title}”", text, html, until)
