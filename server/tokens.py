"""Routes of personal access tokens: make, list, revoke.

Owns: /api/v1/me/tokens. Does not own: checking them (identity/personal.py), scopes (scopes.py).
Rules: the text is shown once and only its hash is kept; whoever came with a token can't make another.
Keeps rules U1, U4.
"""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Final

from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response
from ulid import ULID

from db.personal_tokens import PersonalToken, count_tokens, insert_token, list_tokens, revoke_token
from db.users import find_user, put_user
from party.errors import Conflict, NotFound
from server.identity.personal import PREFIX, token_id
from server.registry import Api, Body, Call, Out, Path, Reply, answer, no_content
from server.scopes import SCOPES, Scope
from server.sealed import make_token
from server.text import WHOLE, Name

api = Api()

MOST_TOKENS: Final = 100
MOST_DAYS: Final = 3650


class NewToken(Body):
    """A token to make."""

    name: Name = Field(description="What it is for, to tell it from others")
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))]
    expires_in_days: Annotated[int, Field(ge=1, le=MOST_DAYS), WHOLE] | None = Field(
        default=None, description="Null: it does not end by itself"
    )


class TokenOut(Out):
    """A token without its text."""

    id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute")
    last_used_from: str | None = Field(description="Address")


class MadeToken(TokenOut):
    """A token, this once with its text."""

    token: str = Field(description="Send it as: Authorization: Bearer. It is not shown again")


class TokenList(Out):
    """Your tokens, the newest first."""

    items: list[TokenOut]
    next_cursor: str | None


class TokenPath(Path):
    """Which token."""

    token_id: Annotated[str, Field(pattern=r"^[0-9a-z]{26}$")]


def _out(token: PersonalToken) -> dict[str, object]:
    return {
        "id": token.id,
        "name": token.name,
        "scopes": [one for one in SCOPES if one in token.scopes],
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "last_used_at": token.last_used_at,
        "last_used_from": token.last_used_from,
    }


@api.route(
    "GET",
    "/api/v1/me/tokens",
    summary="List your personal tokens",
    tag="account",
    replies=[Reply(200, "Those that were not revoked", TokenList)],
)
async def list_my_tokens(call: Call) -> Response:
    """Their texts were shown when they were made, and are not kept."""
    found = await call.database.read(partial(list_tokens, user_id=call.identity.user_id))
    items = [TokenOut.model_validate(_out(one)) for one in found]
    return answer(TokenList(items=items, next_cursor=None))


@api.route(
    "POST",
    "/api/v1/me/tokens",
    summary="Make a personal token",
    tag="account",
    replies=[Reply(201, "The token; its text is shown this once", MadeToken)],
    errors=[Conflict],
    audit="token.make",
)
async def make_personal_token(call: Call, body: NewToken) -> Response:
    """For scripts and for Yjs clients without a person: it speaks for you, within its scopes."""
    identity, now = call.identity, call.services.now()
    text, token_hash = make_token(PREFIX)
    scopes = frozenset(body.scopes)
    ends_at = now + timedelta(days=body.expires_in_days) if body.expires_in_days else None

    def make(conn: Connection) -> PersonalToken:
        # a token made by the operator has no row yet
        if find_user(conn, identity.user_id) is None:
            put_user(conn, identity.user_id, identity.name, now)
        if count_tokens(conn, identity.user_id) >= MOST_TOKENS:
            raise Conflict(f"You have {MOST_TOKENS} tokens; revoke those you do not need.")
        made = insert_token(
            conn,
            id=str(ULID()).lower(),
            user_id=identity.user_id,
            name=body.name,
            token_hash=token_hash,
            scopes=scopes,
            expires_at=ends_at,
            now=now,
        )
        call.record(conn, "token.make", target=made.id, details={"scopes": " ".join(sorted(scopes))})
        return made

    made = await call.database.write(make)
    return answer(MadeToken.model_validate({**_out(made), "token": text}), status=201)


@api.route(
    "DELETE",
    "/api/v1/me/tokens/{token_id}",
    summary="Revoke a personal token",
    tag="account",
    replies=[Reply(204, "It counts no more")],
    audit="token.revoke",
)
async def revoke_personal_token(call: Call, path: TokenPath) -> Response:
    """Its connections are closed within a second."""
    identity, services, now = call.identity, call.services, call.services.now()

    def revoke(conn: Connection) -> PersonalToken:
        token = revoke_token(conn, identity.user_id, path.token_id, now)
        if token is None:
            raise NotFound("You have no such token; GET /api/v1/me/tokens lists those you have.")
        call.record(conn, "token.revoke", target=token.id)
        return token

    token = await call.database.write(revoke)
    await services.revocations.end_token(token_id(token), identity.user_id)
    return no_content()
