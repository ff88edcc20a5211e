"""Who is asking, as SQL knows them: the questions that policies put, inline or as functions of the database.

Owns: what makes somebody a member, an owner, invited, and who may do what in a room, as SQL expressions over
one pair of eyes. Does not own: which table asks what (policies.py), roles and actions (party/policy.py).

The same expressions are used twice. Kanvas puts them into its statements with the id of who asks as a
parameter (ActorEyes); PostgreSQL's own policies ask them by function, of who the transaction says it is for
(SettingEyes): a policy that read another table with policies would ask itself. Keeps rule V1.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    bindparam,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)

from db.tables import invitations, room_members, rooms, users
from party.policy import ROLES, Action, can

Clause = ColumnElement[bool]

USER: Final = "kanvas.user"
ADMIN: Final = "kanvas.admin"
SYSTEM: Final = "kanvas.system"

PROGRAM: Final = "kanvas"
"""What our connections call themselves, in every version."""

PARAMETER: Final = "kanvas_user"
"""Of statements: so they are the same for everybody, and built and compiled once."""


class Row(Protocol):
    """A row in question: a table, an alias of one, or values that are to become one."""

    @property
    def c(self) -> Any:
        """Its columns by name."""


class Eyes(Protocol):
    """Who asks."""

    user: ColumnElement[str]
    is_admin: Clause

    def ask(self, name: str, room_id: ColumnElement[str]) -> Clause:
        """The answer to one of QUESTIONS about a room."""


class ActorEyes:
    """Somebody known by their id, which goes along with the statement: questions are put inline."""

    user: ColumnElement[str] = bindparam(PARAMETER, type_=Text)

    def __init__(self, *, is_admin: bool) -> None:
        self.is_admin: Clause = true() if is_admin else false()

    def ask(self, name: str, room_id: ColumnElement[str]) -> Clause:
        return QUESTIONS[name](room_id, self)


class SettingEyes:
    """Whoever the transaction of PostgreSQL is for: questions are functions of the database."""

    user: ColumnElement[str] = func.current_setting(literal_column(f"'{USER}'"), literal_column("true"))
    is_admin: Clause = func.current_setting(
        literal_column(f"'{ADMIN}'"), literal_column("true")
    ) == literal_column("'on'")
    _said: ColumnElement[str] = func.current_setting(literal_column(f"'{SYSTEM}'"), literal_column("true"))
    _program: ColumnElement[str] = func.current_setting(literal_column("'application_name'"))
    # A process of a version before 0010 serves beside this one while machines are upgraded one after the
    # other: it says its name, and nothing of whose eyes it has. None of ours leaves that unsaid.
    is_system: Clause = or_(
        _said == literal_column("'on'"),
        and_(_said.is_(None), _program == literal_column(f"'{PROGRAM}'")),
    )

    def ask(self, name: str, room_id: ColumnElement[str]) -> Clause:
        answer: Clause = getattr(func, f"kanvas_{name}")(room_id)
        return answer


class BodyEyes(SettingEyes):
    """The same within such a function, which sees everything: questions are put inline."""

    def ask(self, name: str, room_id: ColumnElement[str]) -> Clause:
        return QUESTIONS[name](room_id, self)


def has_owner(room_id: ColumnElement[str], _eyes: Eyes) -> Clause:
    """Whether the room has an owner among its members: one made by a version before 0009 may have none."""
    owner = room_members.alias("its_owner")
    return there_is(owner, owner.c.room_id == room_id, owner.c.role == "owner")


def is_member(room_id: ColumnElement[str], eyes: Eyes, action: Action = "see") -> Clause:
    """Whether who asks is a member, with a role that allows this."""
    member = room_members.alias("member")
    return there_is(
        member,
        member.c.room_id == room_id,
        member.c.user_id == eyes.user,
        member.c.role.in_([literal_column(f"'{role}'") for role in ROLES if can(role, action)]),
    )


def is_invited(room_id: ColumnElement[str], eyes: Eyes) -> Clause:
    """Whether who asks has an open invitation to the room."""
    asked = invitations.alias("asked")
    return there_is(asked, asked.c.room_id == room_id, asked.c.closed_as.is_(None), is_for(asked, eyes))


def is_for(invitation: Row, eyes: Eyes) -> Clause:
    """Whether an invitation is for who asks: by their id, or by the e-mail they signed in with."""
    me = users.alias("me")
    return or_(
        invitation.c.user_id == eyes.user,
        there_is(me, me.c.id == eyes.user, me.c.email == invitation.c.email),
    )


def is_let(room: Row, eyes: Eyes, action: Action) -> Clause:
    """Whether who asks may do this in a room, of which this is the row: as db.access.get_access says."""
    everybody: list[ColumnElement[str]] = [
        literal_column(f"'{role}'") for role in ROLES if role != "owner" and can(role, action)
    ]
    ways = [
        *([room.c.default_role.in_(everybody)] if everybody else []),
        # as a question where it may be put on a table with policies: of the others none is
        eyes.ask("is_member", room.c.id) if action == "see" else is_member(room.c.id, eyes, action),
        # made by a version before 0009: whoever made it counts as its owner, unless somebody made them less
        and_(
            room.c.creator_id == eyes.user,
            ~eyes.ask("has_owner", room.c.id),
            ~eyes.ask("is_member", room.c.id),
        ),
        *([eyes.is_admin] if can(None, action, is_admin=True) else []),
    ]
    return or_(*ways)


def may(action: Action, room_id: ColumnElement[str], eyes: Eyes) -> Clause:
    """Whether who asks may do this in the room of this id."""
    return eyes.ask(f"may_{action}", room_id)


def _may(action: Action) -> Callable[[ColumnElement[str], Eyes], Clause]:
    def ask(room_id: ColumnElement[str], eyes: Eyes) -> Clause:
        room = rooms.alias("its_room")
        return there_is(room, room.c.id == room_id, is_let(room, eyes, action))

    return ask


ASKED: Final[tuple[Action, ...]] = ("see", "comment", "edit", "share", "moderate", "audit")
QUESTIONS: Final[Mapping[str, Callable[[ColumnElement[str], Eyes], Clause]]] = {
    "has_owner": has_owner,
    "is_invited": is_invited,
    "is_member": is_member,
    **{f"may_{action}": _may(action) for action in ASKED},
}
"""Whatever takes a look at other tables, and so is a function where policies are the database's."""


def there_is(of: Any, *chosen: Clause) -> Clause:
    """Whether a row of `of` is there for which all of this is so."""
    # everything else in it belongs to the statement around
    return exists(select(literal_column("1")).select_from(of).where(*chosen).correlate_except(of))
