"""Whose each row is: one policy for each table, or a reason why it has none.

Owns: the policies, and that no table is without. Does not own: how statements are held to them (walls.py),
PostgreSQL's second wall (row_security.py), what a role allows (party/policy.py), who may know the address of
a room: what everybody may see who has it is not kept from anybody here.

A table that is missing here is an error when this is imported. `visible(table, actor)` is the clause for who
writes a statement by hand; those of as_user have it already. Keeps rules V1, V2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Alias, ColumnElement, FromClause, MetaData, Table, and_, false, or_, true

from db.errors import PolicyMissing
from db.eyes import PARAMETER, ActorEyes, Clause, Eyes, Row, is_for, is_let, may, there_is
from db.tables import (
    assets,
    audit_events,
    audit_heads,
    canvas_states,
    comment_mentions,
    comment_reads,
    comment_threads,
    comments,
    data_keys,
    idempotency_keys,
    invitations,
    jobs,
    metadata,
    personal_tokens,
    quarantine,
    renditions,
    revocations,
    room_clients,
    room_exclusions,
    room_heads,
    room_members,
    room_participants,
    room_updates,
    rooms,
    share_links,
    sign_in_links,
    tombstones,
    uploads,
    user_sessions,
    users,
)
from party.policy import Action

Question = Callable[[Row, Eyes], Clause]


def nobody(_row: Row, _eyes: Eyes) -> Clause:
    """Only the server itself."""
    return false()


def everybody(_row: Row, _eyes: Eyes) -> Clause:
    """Whoever is signed in."""
    return true()


@dataclass(frozen=True, slots=True)
class Policy:
    """Who sees a row, and who may make, change and remove one. `fixed`: the columns that say whose it is,
    which nobody changes."""

    sees: Question
    inserts: Question = nobody
    updates: Question = nobody
    deletes: Question = nobody
    fixed: Sequence[str] = ()


_POLICIES: Final[dict[str, Policy]] = {}
_INTERNAL: Final[dict[str, str]] = {}


def owned(table: Table, policy: Policy) -> None:
    """Its rows are somebody's. Raises PolicyMissing for what the table does not have, ValueError if it has a
    policy."""
    _check_new(table)
    if unknown := set(policy.fixed) - set(table.c.keys()):
        raise PolicyMissing(f"{table.name} has no {', '.join(sorted(unknown))} to be fixed.")
    _POLICIES[table.name] = policy


def internal(table: Table, why: str) -> None:
    """Its rows are the server's own: nobody sees any, for this reason."""
    _check_new(table)
    if not why.strip():
        raise PolicyMissing(f"Say why nobody needs to see {table.name}.")
    _INTERNAL[table.name] = why


def _check_new(table: Table) -> None:
    if table.name in _POLICIES or table.name in _INTERNAL:
        raise ValueError(f"{table.name} is declared twice")


def check_declared(tables: MetaData) -> None:
    """Raises PolicyMissing when a table is neither owned nor internal."""
    if missing := sorted(set(tables.tables) - set(_POLICIES) - set(_INTERNAL)):
        raise PolicyMissing(f"Declare in db/policies.py whose the rows are of: {', '.join(missing)}.")


def find_policy(name: str) -> Policy | None:
    """The table's; None when its rows are the server's own. Raises PolicyMissing."""
    policy = _POLICIES.get(name)
    if policy is None and name not in _INTERNAL:
        raise PolicyMissing(f"Nobody declared whose the rows of {name} are.")
    return policy


def is_declared(name: str) -> bool:
    return name in _POLICIES or name in _INTERNAL


def visible(table: Table | Alias, user_id: str, *, is_admin: bool = False) -> Clause:
    """The rows of it that somebody may see."""
    policy = find_policy(table_of(table).name)
    if policy is None:
        return false()
    return policy.sees(table, ActorEyes(is_admin=is_admin)).params({PARAMETER: user_id})


def table_of(thing: FromClause) -> Table:
    """The table, of an alias as well. Raises PolicyMissing for what is neither."""
    inner = thing
    while isinstance(inner, Alias):
        inner = inner.element
    if not isinstance(inner, Table):
        raise PolicyMissing(f"There is no telling whose the rows of {thing} are.")
    return inner


# -- questions ----------------------------------------------------------------------------------


def mine(row: Row, eyes: Eyes) -> Clause:
    """It is of the one who asks."""
    return _equal(row.c.user_id, eyes.user)


def in_room(action: Action) -> Question:
    """Who asks may do this in the room it belongs to."""
    return lambda row, eyes: may(action, row.c.room_id, eyes)


def any_of(*questions: Question) -> Question:
    return lambda row, eyes: or_(*(ask(row, eyes) for ask in questions))


def all_of(*questions: Question) -> Question:
    return lambda row, eyes: and_(*(ask(row, eyes) for ask in questions))


def by_me(column: str) -> Question:
    """This column names who asks."""

    def ask(row: Row, eyes: Eyes) -> Clause:
        return _equal(row.c[column], eyes.user)

    return ask


def _equal(one: ColumnElement[str], other: ColumnElement[str]) -> Clause:
    return one == other


def _admin(_row: Row, eyes: Eyes) -> Clause:
    return eyes.is_admin


def _knows(room: Row, eyes: Eyes) -> Clause:
    # in the row first, what needs a look elsewhere last
    return or_(
        room.c.visibility == "public",
        is_let(room, eyes, "see"),
        eyes.ask("is_invited", room.c.id),
    )


def _is_made_by_me(room: Row, eyes: Eyes) -> Clause:
    return _equal(room.c.creator_id, eyes.user)


def _is_me(user: Row, eyes: Eyes) -> Clause:
    return _equal(user.c.id, eyes.user)


def _comes_in(member: Row, eyes: Eyes) -> Clause:
    invited = eyes.ask("is_invited", member.c.room_id)
    return and_(member.c.user_id == eyes.user, member.c.role != "owner", invited)


def _of_asset(rendition: Row, eyes: Eyes) -> Clause:
    asset = assets.alias("its_asset")
    return there_is(asset, asset.c.id == rendition.c.asset_id, may("see", asset.c.room_id, eyes))


def _in_thread(comment: Row, _eyes: Eyes) -> Clause:
    # of the same room: else words could be put into another's
    thread = comment_threads.alias("its_thread")
    return there_is(thread, thread.c.id == comment.c.thread_id, thread.c.room_id == comment.c.room_id)


def _in_comment(mention: Row, _eyes: Eyes) -> Clause:
    comment = comments.alias("its_comment")
    return there_is(comment, comment.c.id == mention.c.comment_id, comment.c.room_id == mention.c.room_id)


def _of_chain(entry: Row, eyes: Eyes) -> Clause:
    return may("audit", entry.c.chain, eyes)


# -- tables -------------------------------------------------------------------------------------

_LOOK, _EDIT, _SHARE = in_room("see"), in_room("edit"), in_room("share")
_COMMENT, _MODERATE = in_room("comment"), in_room("moderate")
_ADDRESSEE: Question = is_for

# Names are shown to whoever meets them, and names are all that anybody else's row is asked for.
owned(
    users,
    Policy(
        everybody,
        inserts=_is_me,
        updates=_is_me,
        fixed=("id", "email", "is_admin", "is_guest", "alias_of"),
    ),
)
owned(user_sessions, Policy(mine, inserts=mine, updates=mine, deletes=mine, fixed=("user_id",)))
owned(
    personal_tokens, Policy(mine, inserts=mine, updates=mine, deletes=mine, fixed=("user_id", "token_hash"))
)
owned(idempotency_keys, Policy(mine, inserts=mine, updates=mine, deletes=mine, fixed=("user_id",)))
owned(jobs, Policy(any_of(mine, _admin), updates=_admin))

# Locked by whoever changes something in it, so this is no finer than who knows of it: roles are (G).
owned(
    rooms,
    Policy(
        _knows, inserts=_is_made_by_me, updates=_knows, fixed=("id", "creator_id", "created_at", "schema")
    ),
)
owned(room_heads, Policy(_LOOK, inserts=_SHARE))
owned(
    room_participants,
    Policy(
        any_of(mine, _LOOK),
        inserts=all_of(mine, _LOOK),
        updates=all_of(mine, _LOOK),
        fixed=("room_id", "user_id"),
    ),
)
# Whoever makes over a room is its owner no more by the time the other one becomes it.
owned(
    room_members,
    Policy(
        any_of(mine, _LOOK),
        inserts=any_of(_SHARE, _comes_in),
        updates=_LOOK,
        deletes=any_of(mine, _SHARE),
        fixed=("room_id", "user_id", "room_created_at"),
    ),
)
owned(
    invitations,
    Policy(
        any_of(_SHARE, _ADDRESSEE),
        inserts=all_of(by_me("invited_by"), _SHARE),
        updates=any_of(_SHARE, _ADDRESSEE),
        deletes=_SHARE,
        fixed=("room_id", "email", "user_id", "token_hash", "role", "invited_by"),
    ),
)
owned(
    share_links,
    Policy(
        _SHARE,
        inserts=all_of(by_me("created_by"), _SHARE),
        updates=_SHARE,
        deletes=_SHARE,
        fixed=("room_id", "token_hash", "role", "created_by"),
    ),
)
owned(
    assets,
    Policy(
        any_of(mine, _LOOK),
        inserts=all_of(mine, _EDIT),
        deletes=any_of(mine, _EDIT, _MODERATE),
        updates=any_of(mine, _EDIT, _MODERATE),
        fixed=("room_id", "user_id", "sha256", "stored_sha256", "key"),
    ),
)
owned(
    uploads,
    Policy(
        any_of(mine, _LOOK),
        inserts=all_of(mine, _EDIT),
        updates=any_of(mine, _EDIT),
        deletes=any_of(mine, _EDIT, _MODERATE),
        fixed=("room_id", "user_id", "sha256", "key"),
    ),
)
owned(renditions, Policy(_of_asset))
owned(
    comment_threads,
    Policy(
        _LOOK,
        inserts=all_of(by_me("created_by"), _COMMENT),
        updates=any_of(_COMMENT, _MODERATE),
        deletes=_MODERATE,
        fixed=("room_id", "created_by"),
    ),
)
owned(
    comments,
    Policy(
        _LOOK,
        inserts=all_of(by_me("author_id"), _COMMENT, _in_thread),
        updates=any_of(all_of(by_me("author_id"), _COMMENT), _MODERATE),
        deletes=any_of(all_of(by_me("author_id"), _COMMENT), _MODERATE),
        fixed=("room_id", "thread_id", "author_id"),
    ),
)
owned(
    comment_mentions,
    Policy(
        _LOOK,
        inserts=all_of(_COMMENT, _in_comment),
        deletes=any_of(_COMMENT, _MODERATE),
        fixed=("room_id", "comment_id", "user_id"),
    ),
)
owned(
    comment_reads,
    Policy(
        mine,
        inserts=all_of(mine, _LOOK, _in_thread),
        updates=all_of(mine, _LOOK),
        deletes=mine,
        fixed=("room_id", "thread_id", "user_id"),
    ),
)
owned(audit_events, Policy(any_of(by_me("actor_id"), _of_chain, _admin)))

_ENGINE = "the engine reads and writes documents, and asks for the role at each change"
internal(canvas_states, _ENGINE)
internal(room_updates, _ENGINE)
internal(room_clients, _ENGINE)
internal(tombstones, _ENGINE)
internal(quarantine, "what did harm is held by the keeper, in every process")
internal(room_exclusions, "the operator's restraints are held by every process")
internal(data_keys, "keys are for the cipher alone")
internal(sign_in_links, "whoever has such a link is nobody yet")
internal(revocations, "tokens are judged before anybody is known by them")
internal(audit_heads, "the ends of the chains are the log's own")

check_declared(metadata)
