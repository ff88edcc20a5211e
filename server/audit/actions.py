"""The names of what the audit log tells of, and how a person reads them.

Owns: the one table (README repeats it), and which operations have no entries and why. Does not own: writing
them (`Call.record`, refusals.py). Keeps rule Y7.
"""

from collections.abc import Mapping
from typing import Final

ACTIONS: Final[Mapping[str, str]] = {
    "sign_in.guest": "came in as a guest",
    "sign_in.ask": "asked for a mail to sign in with",
    "sign_in.email": "signed in by e-mail",
    "sign_in.provider": "signed in at the identity provider",
    "sign_in.renew": "renewed the sign-in",
    "sign_in.token": "came with a token that does not count",
    "sign_out.here": "signed out",
    "sign_out.everywhere": "signed out everywhere",
    "session.end": "ended a sign-in",
    "account.adopt": "took over what they made as a guest",
    "user.rename": "took another name",
    "token.make": "made a personal token",
    "token.revoke": "revoked a personal token",
    "room.create": "made the room",
    "room.change": "changed the room",
    "room.delete": "put the room into the trash",
    "room.restore": "took the room out of the trash",
    "room.purge": "removed the room for good",
    "room.transfer": "gave the room to somebody else",
    "room.read": "looked at the room",
    "room.join": "opened the room",
    "document.edit": "drew",
    "member.change": "changed a role",
    "member.remove": "removed somebody",
    "member.leave": "left the room",
    "invitation.create": "invited somebody",
    "invitation.withdraw": "withdrew an invitation",
    "invitation.accept": "accepted an invitation",
    "invitation.decline": "declined an invitation",
    "link.create": "made a link",
    "link.revoke": "revoked a link",
    "link.redeem": "came in by a link",
    "comment.create": "began a comment",
    "comment.reply": "replied to a comment",
    "comment.edit": "edited a comment",
    "comment.change": "resolved, reopened or moved a comment",
    "comment.delete": "deleted a comment",
    "asset.add": "added a file",
    "asset.cancel": "cancelled an upload",
    "asset.expire": "removed files that nothing referred to",
    "audit.export": "exported the audit log",
    "audit.expire": "removed old entries of the audit log",
    "audit.overflow": "made more refusals than are kept one by one",
    "admin.read": "looked at the operator's pages",
    "admin.grant": "made somebody an operator",
    "admin.revoke": "took an operator's rights away",
    "quarantine.lift": "lifted a quarantine",
    "room.kick": "sent somebody out of the room",
    "room.freeze": "froze the room",
    "room.thaw": "thawed the room",
    "room.close": "closed the room",
    "room.open": "opened the closed room",
    "node.drain": "drained a node",
    "user.revoke": "ended all tokens of a user",
    "job.revive": "revived a dead job",
    "keys.rotate": "brought everything under another key",
    "keys.retire": "forgot keys that nothing is under",
    "asset.sweep": "asked for a sweep of files",
}
"""Name to words, which follow the name of who did it."""

REFUSED_ONLY: Final = frozenset(
    {
        "sign_in.renew",
        "sign_in.token",
        "room.read",
        "room.join",
        "document.edit",
        "admin.read",
        "audit.overflow",
    }
)
"""Of these only refusals are written: what is done of them is routine, and drawing has the journal."""

UNRECORDED: Final[Mapping[str, str]] = {
    "put_blob": "a signed address, which an upload got that is written when it is complete",
    "look_at_link": "changes nothing; the token is in the body so that it is in no address",
    "look_at_invitation": "changes nothing; the token is in the body so that it is in no address",
    "read_thread": "a note for oneself of what one has read",
}
"""Operations that change something and name no action."""


def words_of(action: str) -> str:
    """What a person reads after the name of who did it."""
    return ACTIONS.get(action, action)
