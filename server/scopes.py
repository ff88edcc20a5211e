"""What a personal access token may be used for.

Owns: the scopes, which operation needs which, and the most a token can do in a room it connects to. Does not
own: tokens (tokens.py), the roles of people (party/policy.py). Pure. Keeps rules U2, U3.

A token never does more than its owner: scopes come on top of roles. Whatever no scope is for (signing in and
out, sessions, making tokens) no token can do.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from party.policy import ROLES
from party.ports import Role
from server.problems import ScopeMissing

Scope = Literal[
    "rooms:read",
    "rooms:write",
    "comments:write",
    "files:write",
    "share",
    "account:read",
    "admin",
]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

READ: Final = "GET"

_TAGS: Final[Mapping[str, tuple[Scope | None, Scope | None]]] = {
    "rooms": ("rooms:read", "rooms:write"),
    "parties": ("rooms:read", "rooms:write"),
    "assets": ("rooms:read", "files:write"),
    "comments": ("rooms:read", "comments:write"),
    "sharing": ("rooms:read", "share"),
    "audit": ("account:read", None),
    "account": ("account:read", None),
    "sign-in": ("account:read", None),
    "jobs": ("account:read", None),
    "admin": ("admin", "admin"),
    "server": (None, None),
}
"""Tag of an operation to the scopes that reading and changing need; None: no token may."""


def scope_for(tag: str, method: str) -> Scope | None:
    """The scope an operation needs; None when no token may. Raises KeyError for a tag nobody thought of."""
    reading, changing = _TAGS[tag]
    return reading if method == READ else changing


def check_scope(scopes: frozenset[str] | None, tag: str, method: str) -> None:
    """Raises ScopeMissing. None is somebody who signed in: they may do all that their roles allow."""
    if scopes is None:
        return
    needed = scope_for(tag, method)
    if needed is None:
        raise ScopeMissing("No personal token may do this; sign in and do it yourself.")
    if needed not in scopes:
        raise ScopeMissing(f"This token lacks the scope {needed}; make one that has it at /account.")


def most_role(scopes: frozenset[str] | None) -> Role:
    """The most a token can be in a room, whatever its owner is there. Raises ScopeMissing."""
    if scopes is None:
        return ROLES[-1]
    check_scope(scopes, "rooms", READ)
    if "rooms:write" in scopes:
        return ROLES[-1]
    return "commenter" if "comments:write" in scopes else "viewer"
