"""Mails: one contract for both mailers, and what is each one's own."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.mail.addresses import fold_email, name_of_email
from server.mail.base import Mail, MailDown, Mailer, Undeliverable
from server.mail.mailbox import MOST_KEPT, MailboxMailer
from server.mail.message import compose
from server.mail.open import make_mailer
from server.mail.smtp import SmtpMailer
from server.settings import Settings
from tests.backends.ports import free_ports
from tests.server.mail.post import Post, open_post, part

SENDER = "Kanvas <kanvas@example.org>"
NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def now() -> datetime:
    return NOW


@dataclass
class Trial:
    """A mailer, and what arrived on its other side: (to, subject, text)."""

    mailer: Mailer
    arrived: Callable[[], Awaitable[list[tuple[str, str, str]]]]


@pytest.fixture(scope="module")
def post() -> Iterator[Post]:
    with open_post() as running:
        yield running


@pytest.fixture(params=["smtp", "mailbox"])
async def trial(request: pytest.FixtureRequest, post: Post, tmp_path: Path) -> AsyncIterator[Trial]:
    if request.param == "mailbox":
        mailbox = MailboxMailer(tmp_path / "mailbox", SENDER, now)

        async def kept() -> list[tuple[str, str, str]]:
            return [(one.mail.to, one.mail.subject, one.mail.text) for one in await mailbox.list_mails()]

        yield Trial(mailbox, kept)
        return
    post.messages.clear()

    async def sent() -> list[tuple[str, str, str]]:
        return [(one["To"], one["Subject"], part(one, "plain")) for one in post.messages]

    yield Trial(SmtpMailer(f"smtp://127.0.0.1:{post.port}", SENDER, now), sent)


# -- the contract -----------------------------------------------------------------------------------


async def test_a_mail_arrives_as_it_was_given(trial: Trial) -> None:
    """T7: its address folded, everything else as it is, in any script."""
    text = "Grüße,\n\nein Link: https://kanvas.example/signin/x_1\n" + "lang " * 400 + "\n.\nEnde\n"
    await trial.mailer.send(Mail("Ada@Example.ORG", "Einladung: „Plan“ 🎨", text), "one")
    assert await trial.arrived() == [("ada@example.org", "Einladung: „Plan“ 🎨", text)]


async def test_no_header_is_smuggled_in(trial: Trial) -> None:
    """T7: a line break in a subject or an address ends no header."""
    await trial.mailer.send(Mail("ada@example.org", "Hi\r\nBcc: eve@example.org\n\nbody", "x\n"), "two")
    [(_, subject, text)] = await trial.arrived()
    assert (subject, text) == ("Hi Bcc: eve@example.org body", "x\n")
    for to in ("ada@example.org\nBcc: eve@example.org", "ada@example.org, eve@example.org", "", "ada"):
        with pytest.raises(Undeliverable):
            await trial.mailer.send(Mail(to, "Hi", "x\n"), "three")


async def test_sent_again_it_is_known_as_the_same(trial: Trial, post: Post) -> None:
    """T7"""
    for key in ("same", "same", "other"):
        await trial.mailer.send(Mail("ada@example.org", "Hi", "x\n"), key)
    if isinstance(trial.mailer, MailboxMailer):
        assert len(await trial.arrived()) == 2
    else:
        ids = [one["Message-ID"] for one in post.messages]
        assert ids[0] == ids[1] != ids[2]


async def test_it_says_whether_it_works(trial: Trial) -> None:
    assert await trial.mailer.check()


# -- SMTP -------------------------------------------------------------------------------------------


async def test_html_goes_beside_the_text(post: Post) -> None:
    mailer = SmtpMailer(f"smtp://127.0.0.1:{post.port}", SENDER, now)
    post.messages.clear()
    await mailer.send(Mail("ada@example.org", "Hi", "x\n", "<p>x</p>"), "html")
    [message] = post.messages
    assert message.get_content_type() == "multipart/alternative"
    assert part(message, "html").strip() == "<p>x</p>"
    assert message["From"] == SENDER
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == NOW


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("550 no such user", Undeliverable),
        ("553 not here", Undeliverable),
        ("451 greylisted", MailDown),
        ("421 too busy", MailDown),
    ],
)
async def test_what_a_refusal_means(post: Post, answer: str, error: type[Exception]) -> None:
    """T7: 5xx is for good, 4xx is tried again; the words are kept."""
    mailer = SmtpMailer(f"smtp://127.0.0.1:{post.port}", SENDER, now)
    post.refusals["nobody@example.org"] = answer
    with pytest.raises(error, match=answer[4:]):
        await mailer.send(Mail("nobody@example.org", "Hi", "x\n"), "refused")


async def test_a_mail_that_is_refused_whole(post: Post) -> None:
    mailer = SmtpMailer(f"smtp://127.0.0.1:{post.port}", SENDER, now)
    post.refuses_data = "554 spam"
    try:
        with pytest.raises(Undeliverable, match="spam"):
            await mailer.send(Mail("ada@example.org", "Hi", "x\n"), "spam")
    finally:
        post.refuses_data = None


async def test_a_server_that_is_away() -> None:
    """T7: that is no reason to give up."""
    mailer = SmtpMailer(f"smtp://127.0.0.1:{free_ports(1)[0]}", SENDER, now)
    with pytest.raises(MailDown, match=r"127\.0\.0\.1"):
        await mailer.send(Mail("ada@example.org", "Hi", "x\n"), "away")
    with pytest.raises(MailDown):
        await mailer.check()


async def test_a_password() -> None:
    """It may need escaping in an address; a wrong one is the operator's to mend, so it is tried again."""
    with open_post(password="a@b:c/d") as post:
        right = SmtpMailer(f"smtp://kanvas:a%40b%3Ac%2Fd@127.0.0.1:{post.port}", SENDER, now)
        await right.send(Mail("ada@example.org", "Hi", "x\n"), "one")
        assert post.recipients == ["ada@example.org"]
        wrong = SmtpMailer(f"smtp://kanvas:wrong@127.0.0.1:{post.port}", SENDER, now)
        with pytest.raises(MailDown) as told:
            await wrong.send(Mail("ada@example.org", "Hi", "x\n"), "two")
        assert "wrong" not in str(told.value)


async def test_a_password_is_not_sent_in_the_clear(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """T7: to another machine it goes over TLS, even if nobody offers that."""
    monkeypatch.setattr("server.mail.smtp.is_here", lambda _host: False)
    mailer = SmtpMailer(f"smtp://kanvas:secret@127.0.0.1:{post.port}", SENDER, now)
    with pytest.raises(MailDown, match="STARTTLS"):
        await mailer.check()


# -- the mailbox ------------------------------------------------------------------------------------


async def test_the_mailbox_keeps_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T7: also on a file system whose clock ticks seldom; here it stands still."""
    write = Path.write_bytes

    def write_at_one_time(path: Path, data: bytes) -> int:
        written = write(path, data)
        os.utime(path, (0, 0))
        return written

    monkeypatch.setattr(Path, "write_bytes", write_at_one_time)
    folder = tmp_path / "mailbox"
    mailbox = MailboxMailer(folder, SENDER, now)
    assert await mailbox.list_mails() == []
    for n in range(MOST_KEPT + 3):
        await mailbox.send(Mail("ada@example.org", f"Nr. {n}", "x\n"), str(n))
    kept = await mailbox.list_mails()
    assert len(kept) == MOST_KEPT
    assert {one.mail.subject for one in kept} == {f"Nr. {n}" for n in range(3, MOST_KEPT + 3)}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


async def test_a_mailbox_that_can_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "mailbox").write_text("in the way")
    with pytest.raises(MailDown):
        await MailboxMailer(tmp_path / "mailbox", SENDER, now).send(Mail("a@b.c", "Hi", "x\n"), "one")


# -- which one, and where links lead ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, MailboxMailer),
        ({"smtp_url": "smtp://mail.example.org"}, SmtpMailer),
        ({"host": "0.0.0.0"}, None),
        ({"public_url": "https://kanvas.example.org"}, None),
        ({"public_url": "http://localhost:8000"}, MailboxMailer),
    ],
)
def test_which_mailer_there_is(tmp_path: Path, given: dict[str, str], kind: type | None) -> None:
    """T8: the mailbox is for who is alone with it."""
    mailer = make_mailer(Settings(data_dir=tmp_path, **given), now)
    assert (type(mailer) if mailer is not None else None) is kind


# -- addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "folded"),
    [
        (" Ada.Lovelace+x@Example.ORG ", "ada.lovelace+x@example.org"),
        ("ADA＠example.org", "ada@example.org"),
        ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
        ("用户@例え.jp", "用户@xn--r8jz45g.jp"),
        ("ﬁnn@example.org", "finn@example.org"),
        ("o'hara@localhost", "o'hara@localhost"),
    ],
)
def test_one_address_has_one_form(given: str, folded: str) -> None:
    """T3"""
    assert fold_email(given) == folded == fold_email(folded)


@pytest.mark.parametrize(
    "given",
    [
        "", "ada", "@example.org", "ada@", "a b@example.org", "a@b@example.org", "ada@exa mple.org",
        "ada@-x.org", "ada@x..org", "ada@[127.0.0.1]", '"a b"@example.org', ".ada@example.org",
        "a..b@example.org", "ada.@example.org", "a\n@example.org", "a\u202eb@example.org",
        "a\x00@example.org", "x" * 65 + "@example.org", "ada@" + "x" * 64 + ".org",
        "<ada@example.org>", "ada@example.org\nBcc: x@y.z", "ada@ex_ample.org", "a@b.org,eve@b.org",
    ],
)  # fmt: skip
def test_what_is_no_address(given: str) -> None:
    """T3"""
    with pytest.raises(ValueError, match=r"\w"):
        fold_email(given)


@pytest.mark.parametrize(
    ("email", "name"),
    [
        ("ada.lovelace@example.org", "Ada Lovelace"),
        ("ada+kanvas@example.org", "Ada"),
        ("_-_@example.org", "Somebody"),
        ("x" * 64 + "@example.org", "X" + "x" * 63),
    ],
)
def test_a_name_to_begin_with(email: str, name: str) -> None:
    assert name_of_email(email) == name


def test_a_mail_to_an_address_beyond_ascii_can_be_written() -> None:
    message = compose(Mail("用户@例え.jp", "Hi", "x\n"), sender=SENDER, key="one", now=NOW)
    assert "用户@xn--r8jz45g.jp" in message.as_bytes().decode()
