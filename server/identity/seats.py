"""A sign-in is written down: where somebody is signed in.

Owns: what of a request is noted. Does not own: the table (db/sessions.py), tokens. Keeps rules T6, T11.
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


def note_seat(connection: Connection, call: Call, token: IssuedToken, user_id: str, kind: Kind) -> bool:
    """Note a sign-in, or a renewal, in the transaction it depends on; whether it is a sign-in."""
    # nobody writes down by himself where he is signed in
    with as_server(connection):
        return note_session(
            connection,
            id=token.session_id,
            user_id=user_id,
            kind=kind,
            address=host_of(call.request),
            user_agent=call.request.headers.get("user-agent", ""),
            now=call.services.now(),
            expires_at=token.lasts_until,
        )


def note_renewal(
    connection: Connection, call: Call, token: IssuedToken, identity: Identity, name: str
) -> None:
    """Note that `identity`, who is called `name` here, got this token for the one they came with.

    A token that was made elsewhere, by `kanvas token` or a provider, becomes a session by that: a sign-in,
    which has its entry in the audit log.
    """
    kind = kind_of(identity)
    if note_seat(connection, call, token, identity.user_id, kind):
        call.record(connection, "sign_in.exchange", by=(identity.user_id, name), details={"kind": kind})
