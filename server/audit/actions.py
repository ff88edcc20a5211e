"""The names of what the audit log tells of, and how a person reads them.

Owns: the one table (README repeats it), and which operations have no entries and why. Does not own: writing
them (`Call.record`, refusals.py). Keeps rule Y7.
"""

from collections.abc import Mapping
from typing import Final

ACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "sign_in.guest": ("came in as a guest", "come in as a guest"),
    "sign_in.ask": ("asked for a mail to sign in with", "ask for a mail to sign in with"),
    "sign_in.email": ("signed in by e-mail", "sign in by e-mail"),
    "sign_in.provider": ("signed in at the identity provider", "sign in at the identity provider"),
    "sign_in.exchange": ("signed in with a token", ""),
    "sign_in.renew": ("renewed the sign-in", "renew the sign-in"),
    "sign_in.token": ("came with a token that does not count", ""),
    "sign_out.here": ("signed out", "sign out"),
    "sign_out.everywhere": ("signed out everywhere", "sign out everywhere"),
    "session.end": ("ended a sign-in", "end a sign-in"),
    "account.adopt": ("took over what they made as a guest", "take over what they made as a guest"),
    "user.rename": ("took another name", "take another name"),
    "token.make": ("made a personal token", "make a personal token"),
    "token.revoke": ("revoked a personal token", "revoke a personal token"),
    "room.create": ("made the room", "make the room"),
    "room.change": ("changed the room", "change the room"),
    "room.delete": ("put the room into the trash", "put the room into the trash"),
    "room.restore": ("took the room out of the trash", "take the room out of the trash"),
    "room.purge": ("removed the room for good", "remove the room for good"),
    "room.transfer": ("gave the room to somebody else", "give the room to somebody else"),
    "room.read": ("looked at the room", "look at the room"),
    "room.join": ("opened the room", "open the room"),
    "document.edit": ("drew", "draw"),
    "member.change": ("changed a role", "change a role"),
    "member.remove": ("removed somebody", "remove somebody"),
    "member.leave": ("left the room", "leave the room"),
    "invitation.create": ("invited somebody", "invite somebody"),
    "invitation.withdraw": ("withdrew an invitation", "withdraw an invitation"),
    "invitation.accept": ("accepted an invitation", "accept an invitation"),
    "invitation.decline": ("declined an invitation", "decline an invitation"),
    "link.create": ("made a link", "make a link"),
    "link.revoke": ("revoked a link", "revoke a link"),
    "link.redeem": ("came in by a link", "come in by a link"),
    "comment.create": ("began a comment", "begin a comment"),
    "comment.reply": ("replied to a comment", "reply to a comment"),
    "comment.edit": ("edited a comment", "edit a comment"),
    "comment.change": (
        "resolved, reopened or moved a comment",
        "resolve, reopen or move a comment",
    ),
    "comment.delete": ("deleted a comment", "delete a comment"),
    "asset.add": ("added a file", "add a file"),
    "asset.read": ("read a file", "read a file"),
    "asset.cancel": ("cancelled an upload", "cancel an upload"),
    "asset.expire": ("removed files that nothing referred to", ""),
    "audit.export": ("exported the audit log", "export the audit log"),
    "audit.expire": ("removed old entries of the audit log", ""),
    "audit.overflow": (
        "made more refusals than are kept one by one",
        "",
    ),
    "admin.read": ("looked at the operator's pages", "look at the operator's pages"),
    "admin.grant": ("made somebody an operator", "make somebody an operator"),
    "admin.revoke": ("took an operator's rights away", "take an operator's rights away"),
    "quarantine.lift": ("lifted a quarantine", "lift a quarantine"),
    "room.kick": ("sent somebody out of the room", "send somebody out of the room"),
    "room.freeze": ("froze the room", "freeze the room"),
    "room.thaw": ("thawed the room", "thaw the room"),
    "room.close": ("closed the room", "close the room"),
    "room.open": ("opened the closed room", "open the closed room"),
    "node.drain": ("drained a node", "drain a node"),
    "user.revoke": ("ended all tokens of a user", "end all tokens of a user"),
    "job.revive": ("revived a dead job", "revive a dead job"),
    "keys.rotate": ("brought everything under another key", "bring everything under another key"),
    "keys.retire": ("forgot keys that nothing is under", "forget keys that nothing is under"),
    "asset.sweep": ("asked for a sweep of files", "ask for a sweep of files"),
}
"""Name to what was done, and to what was tried by who was refused it; "" where the words are the same."""

REFUSED_ONLY: Final = frozenset(
    {
        "sign_in.renew",
        "sign_in.token",
        "room.read",
        "room.join",
        "document.edit",
        "asset.read",
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


def words_of(action: str, *, is_refused: bool) -> str:
    """What a person reads after the name of who did it, or was refused it."""
    done, tried = ACTIONS.get(action, (action, ""))
    return f"tried to {tried}" if is_refused and tried else done
