"""A real mail server for tests: it keeps what it gets, and refuses what it is told to.

Owns: the server on a free port of this machine, in a thread of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.backends.ports import free_ports


@dataclass
class Post:
    """What arrived, and what is answered to each recipient (None: taken) or to every mail."""

    messages: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    refuses_data: str | None = None
    port: int = 0

    async def handle_RCPT(  # noqa: N802 - the library asks for it by this name
        self, _server: Any, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.refuses_data is not None:
            return self.refuses_data
        self.messages.append(cast("EmailMessage", message_from_bytes(envelope.content, policy=default)))
        self.recipients += envelope.rcpt_tos
        return "250 taken"


class _Controller(Controller):
    def factory(self) -> SMTP:
        return SMTP(self.handler, **self.SMTP_kwargs)


@contextmanager
def open_post(password: str | None = None, **options: Any) -> Iterator[Post]:
    """A running server; with `password` it lets only the user `kanvas` send, with or without TLS."""
    post = Post(port=free_ports(1)[0])
    if password is not None:

        def authenticate(
            _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
        ) -> AuthResult:
            is_right = isinstance(data, LoginPassword) and data == LoginPassword(b"kanvas", password.encode())
            return AuthResult(success=is_right, handled=False)

        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}
    options |= {"hostname": "127.0.0.1", "port": post.port, "enable_SMTPUTF8": True, "ready_timeout": 120.0}
    controller = _Controller(post, **options)
    controller.start()
    try:
        yield post
    finally:
        controller.stop()


def part(message: EmailMessage, kind: str) -> str:
    """The text of a part: plain or html."""
    body = message.get_body((kind,))
    assert body is not None
    told: str = body.get_content()
    # lines end with CRLF on the way
    return told.replace("\r\n", "\n")
