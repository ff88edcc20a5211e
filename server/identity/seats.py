"""A sign-in is written down: where somebody is signed in.

Owns: what of a request is noted. Does not own: the table (db/sessions.py), tokens. Keeps rule T6.
"""

from sqlalchemy import Connection

from db.scopes import as_server
from db.sessions import Kind, note_session
from server.auth import BY_EMAIL, BY_PROVIDER, Identity, IssuedToken, host_of
from server.registry import Call


def kind_of(identity: Identity) -> Kind:
    """How its session began."""
    if identity.is_guest:
        return "guest"
    if identity.via == BY_EMAIL:
        return "email"
    return "provider" if identity.via == BY_PROVIDER else "token"


def note_seat(connection: Connection, call: Call, token: IssuedToken, user_id: str, kind: Kind) -> None:
    """Note a sign-in, or a renewal, in the transaction it depends on."""
    # nobody writes down by himself where he is signed in
    with as_server(connection):
        note_session(
            connection,
            id=token.session_id,
            user_id=user_id,
            kind=kind,
            address=host_of(call.request),
            user_agent=call.request.headers.get("user-agent", ""),
            now=call.services.now(),
            expires_at=token.lasts_until,
        )
