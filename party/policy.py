"""Who may do what in a room: the one table, used by sockets, REST and jobs alike.

Owns: which role allows which action. Does not own: what role somebody has (db/access.py), and that it is
asked where the change is applied (writer, registry). Pure. Keeps rules G1, G2.
"""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from party.ports import Role

Action = Literal[
    "see",  # the room, its document, files, people, comments
    "present",  # show one's own cursor and name
    "comment",  # begin threads, reply, resolve
    "moderate",  # remove what others wrote
    "edit",  # the document and its files
    "rename",
    "share",  # members, invitations, links, the role of everybody
    "audit",  # read the room's audit log
    "delete",  # into the trash and out of it
    "transfer",  # make somebody else the owner
]

ACTIONS: Final = get_args(Action)
ROLES: Final[tuple[Role, ...]] = ("viewer", "commenter", "editor", "owner")
"""From the least to the most: each may do all that those before it may."""

_LEAST: Final[Mapping[Action, Role]] = {
    "see": "viewer",
    "present": "viewer",
    "comment": "commenter",
    "moderate": "owner",
    "edit": "editor",
    "rename": "owner",
    "share": "owner",
    "audit": "owner",
    "delete": "owner",
    "transfer": "owner",
}

TABLE: Final[Mapping[Role, frozenset[Action]]] = {
    role: frozenset(action for action, least in _LEAST.items() if ROLES.index(role) >= ROLES.index(least))
    for role in ROLES
}

OPERATOR: Final[frozenset[Action]] = frozenset(
    {"see", "moderate", "rename", "share", "audit", "delete", "transfer"}
)
"""What the operator of the server may do in every room besides: look after it, not draw in it."""

NOBODY: Final[frozenset[Action]] = frozenset()


def can(role: Role | None, action: Action, *, is_admin: bool = False) -> bool:
    """Whether somebody with this role may do this. None: no member, where nobody else has a role."""
    return (role is not None and action in TABLE[role]) or (is_admin and action in OPERATOR)


def actions_of(role: Role | None, *, is_admin: bool = False) -> frozenset[Action]:
    """All that somebody with this role may do."""
    own = TABLE[role] if role is not None else NOBODY
    return own | OPERATOR if is_admin else own


def lower(one: Role, other: Role) -> Role:
    """The one that allows less."""
    return min(one, other, key=ROLES.index)


def higher(one: Role | None, other: Role | None) -> Role | None:
    """The one that allows more."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=ROLES.index)
