"""What can go wrong when somebody signs in by e-mail."""

from party.errors import NotFound


class EmailOff(NotFound):
    """This server sends no e-mail; the operator can set KANVAS_SMTP_URL."""

    code = "email_off"


class LinkSpent(NotFound):
    """This link opens nothing any more: it was used already, or is older than 15 minutes. Ask for another."""

    code = "link_spent"


class MailboxOff(NotFound):
    """There is no mailbox here: it is for who tries Kanvas out on this machine, without KANVAS_SMTP_URL."""

    code = "mailbox_off"


class AccountNotFound(NotFound):
    """There is nobody by this id; give the id of somebody who was here, or an e-mail address."""

    code = "account_not_found"
