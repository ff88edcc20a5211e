"""Routes of where you are signed in: list, end one.

Owns: /api/v1/me/sessions. Does not own: the table (db/sessions.py), ending all of them (identity/routes.py).
A session is one sign-in with all its renewals; its id says nothing to anybody else. Keeps rules T6, I7.
"""

from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from db.sessions import UserSession, find_session, list_sessions
from party.errors import NotFound
from server.registry import Api, Call, Out, Path, Reply, answer, no_content

api = Api()


class SessionOut(Out):
    """One place where you are signed in."""

    id: str
    kind: Literal["guest", "email", "provider", "token"] = Field(description="How you signed in there")
    address: str
    user_agent: str
    created_at: datetime
    seen_at: datetime = Field(description="When it was renewed last")
    is_this: bool = Field(description="Whether it is the one you ask with")


class SessionList(Out):
    """Where you are signed in, the one seen last first."""

    items: list[SessionOut]
    next_cursor: str | None


class SessionPath(Path):
    """Which session."""

    session_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]


@api.route(
    "GET",
    "/api/v1/me/sessions",
    summary="List where you are signed in",
    tag="account",
    replies=[Reply(200, "At most 100", SessionList)],
)
async def list_my_sessions(call: Call) -> Response:
    """Each sign-in once, however often its token was renewed."""
    now = call.services.now()
    found = await call.database.read(partial(list_sessions, user_id=call.identity.user_id, now=now))
    return answer(SessionList(items=[_out(one, call.identity.session_id) for one in found], next_cursor=None))


def _out(one: UserSession, this_id: str) -> SessionOut:
    return SessionOut(
        id=one.id,
        kind=one.kind,
        address=one.address,
        user_agent=one.user_agent,
        created_at=one.created_at,
        seen_at=one.seen_at,
        is_this=one.id == this_id,
    )


@api.route(
    "DELETE",
    "/api/v1/me/sessions/{session_id}",
    summary="Sign out somewhere else",
    tag="account",
    replies=[Reply(204, "That sign-in has ended")],
    audit="session.end",
)
async def end_my_session(call: Call, path: SessionPath) -> Response:
    """Its connections are closed within a second, on every process."""
    user_id = call.identity.user_id

    def end(conn: Connection) -> UserSession:
        found = find_session(conn, path.session_id, user_id)
        if found is None:
            raise NotFound(
                "You are not signed in there any more; GET /api/v1/me/sessions lists where you are."
            )
        call.record(conn, "session.end", target=found.id)
        return found

    ended = await call.database.write(end)
    await call.services.revocations.end_session_id(ended.id, user_id, ended.expires_at)
    return no_content()
