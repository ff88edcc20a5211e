"""The policies and the wall in every statement, on both databases."""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    case,
    column,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    table,
    text,
    true,
    tuple_,
    update,
)

from db.access import find_role, get_access, touch_access
from db.audit import Event, append
from db.database import Database
from db.errors import PolicyMissing, RowRefused
from db.eyes import ASKED, PARAMETER, ActorEyes, may
from db.policies import check_declared, internal, owned, visible
from db.queue import enqueue, find_job
from db.rooms import find_room, insert_room, update_room
from db.scopes import Actor, Scoped, as_server, as_system, as_user
from db.tables import (
    audit_events,
    comment_threads,
    comments,
    invitations,
    metadata,
    personal_tokens,
    room_heads,
    room_members,
    room_updates,
    rooms,
    share_links,
    users,
)
from db.upsert import insert_into
from db.users import put_user
from party.errors import RoomNotFound
from party.policy import ROLES, Action, can
from tests.db.conftest import NOW, make_room

ADA, BEA = Actor("ada"), Actor("bea")


@pytest.fixture
def database(both: Scoped) -> Scoped:
    return both


def make_private(connection: Connection, room_id: str, owner: str) -> None:
    """A room that lets nobody in but its members."""
    make_room(connection, room_id, creator_id=owner)
    connection.execute(
        update(rooms).where(rooms.c.id == room_id).values(default_role="none", visibility="unlisted")
    )
    add_member(connection, room_id, owner, "owner")


def add_member(connection: Connection, room_id: str, user_id: str, role: str) -> None:
    made = {"room_created_at": NOW, "created_at": NOW}
    statement = insert_into(connection, room_members).values(
        room_id=room_id, user_id=user_id, role=role, **made
    )
    connection.execute(statement.on_conflict_do_nothing())


@pytest.fixture
async def tenants(database: Scoped) -> Scoped:
    """Ada's and Bea's rooms, each with a thread; nobody is in the other's."""

    def fill(connection: Connection) -> None:
        for owner in ("ada", "bea"):
            make_private(connection, f"of-{owner}", owner)
            connection.execute(insert(comment_threads).values(**a_thread(f"t-{owner}", f"of-{owner}", owner)))

    await database.write(fill)
    return database


def a_thread(thread_id: str, room_id: str, by: str) -> dict[str, object]:
    return {
        "id": thread_id,
        "room_id": room_id,
        "x": 1.0,
        "y": 1.0,
        "created_by": by,
        "created_at": NOW,
        "updated_at": NOW,
        "revision": 1 if by == room_id.removeprefix("of-") else 2,
    }


def a_comment(comment_id: str, thread_id: str, room_id: str, by: str) -> dict[str, object]:
    made = {"body": "So be it", "created_at": NOW}
    return {"id": comment_id, "thread_id": thread_id, "room_id": room_id, "author_id": by, **made}


def ids(statement: Any) -> Callable[[Connection], list[str]]:
    return lambda connection: sorted(connection.execute(statement).scalars(), key=str)


# -- declaring ----------------------------------------------------------------------------------


def test_a_table_that_nobody_declared_is_an_error_at_import() -> None:
    """V1: db/policies.py asks this of all tables when it is imported."""
    check_declared(metadata)
    forgotten = MetaData()
    Table("letters", forgotten, Column("id", Text))
    with pytest.raises(PolicyMissing, match="letters"):
        check_declared(forgotten)
    with pytest.raises(PolicyMissing):
        visible(forgotten.tables["letters"], "ada")


def test_a_table_is_declared_once_and_with_a_reason() -> None:
    """V1: one policy for each."""
    with pytest.raises(ValueError, match="twice"):
        internal(rooms, "it is there already")
    with pytest.raises(PolicyMissing, match="Say why"):
        internal(Table("letters", MetaData(), Column("id", Text)), " ")
    with pytest.raises(PolicyMissing, match="nothing to be fixed"):
        owned(Table("letters", MetaData(), Column("id", Text)), nothing_fixed())


def nothing_fixed() -> Any:
    from db.policies import Policy, everybody

    return Policy(everybody, fixed=("nothing",))


# -- reading ------------------------------------------------------------------------------------

READINGS = {
    "plain": select(comment_threads.c.id),
    "alias": select(comment_threads.alias("other").c.id),
    "joined": select(comment_threads.c.id).join(rooms, rooms.c.id == comment_threads.c.room_id),
    "from a join": select(comment_threads.c.id).select_from(
        rooms.join(comment_threads, rooms.c.id == comment_threads.c.room_id)
    ),
    "in a subquery": select(select(comment_threads.c.id).subquery().c.id),
    "in a common table": select(select(comment_threads.c.id).cte().c.id),
    "in a union": select(comment_threads.c.id).union_all(select(comment_threads.c.id).where(literal(False))),
    "by another table": select(users.c.id).where(
        users.c.id.in_(select(comment_threads.c.created_by)), users.c.id != "nobody"
    ),
    "locked": select(comment_threads.c.id).with_for_update(),
}


@pytest.mark.parametrize("form", READINGS)
async def test_everybody_sees_what_is_theirs(tenants: Scoped, form: str) -> None:
    """V2: in whatever form it is asked for."""
    found = await as_user(tenants, ADA).write(ids(READINGS[form]))
    assert found in (["t-ada"], ["ada"])
    # again: the form was kept, and is used for somebody else
    assert await as_user(tenants, BEA).write(ids(READINGS[form])) in (["t-bea"], ["bea"])
    assert len(await as_system(tenants).write(ids(READINGS[form]))) == 2
    assert len(await as_user(tenants, Actor("root", is_admin=True)).write(ids(READINGS[form]))) in (0, 2)


VALUES: dict[str, Callable[[str], Any]] = {
    "equal": lambda room_id: rooms.c.id == room_id,
    "in": lambda room_id: rooms.c.id.in_([room_id]),
    "in some": lambda room_id: rooms.c.id.in_([room_id, "else"]),
    "not in": lambda room_id: rooms.c.id.not_in(["r1" if room_id == "r2" else "r2", "of-ada", "of-bea"]),
    "contains": lambda room_id: rooms.c.id.contains(room_id, autoescape=True),
    "between": lambda room_id: rooms.c.id.between(room_id, room_id),
    "tuple": lambda room_id: (
        tuple_(rooms.c.id, rooms.c.schema) == tuple_(literal(room_id), literal("canvas"))
    ),
    "case": lambda room_id: case((rooms.c.id == room_id, literal(1)), else_=literal(0)) == 1,
    "subquery": lambda room_id: rooms.c.id.in_(
        select(room_heads.c.room_id).where(room_heads.c.room_id == room_id)
    ),
    "twice": lambda room_id: or_(rooms.c.id == room_id, rooms.c.title == room_id),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("is_admin", [False, True])
async def test_each_statement_has_its_own_values(tenants: Scoped, kind: str, is_admin: bool) -> None:
    """V2: what is kept of a statement is its form."""

    def fill(connection: Connection) -> None:
        for room_id in ("r1", "r2"):
            make_room(connection, room_id)

    await as_system(tenants).write(fill)
    ada = as_user(tenants, Actor("ada", is_admin=is_admin))
    for room_id in ("r1", "r2", "r1"):
        assert await ada.read(ids(select(rooms.c.id).where(VALUES[kind](room_id)))) == [room_id]
        changed = update(rooms).where(VALUES[kind](room_id)).values(title=f"{kind} {room_id}")
        await ada.write(lambda c, one=changed: c.execute(one).close())
        titles = ids(select(rooms.c.title).where(rooms.c.id == room_id))
        assert await ada.read(titles) == [f"{kind} {room_id}"]


async def test_what_is_joined_from_outside_is_left_out_and_nothing_else(tenants: Scoped) -> None:
    """V2: the far side of an outer join is empty where it is another's."""
    member = room_members.alias("member")
    by_method = (
        select(users.c.id, member.c.room_id)
        .outerjoin(member, member.c.user_id == users.c.id)
        .where(users.c.id.in_(["ada", "bea"]))
        .order_by(users.c.id)
    )
    by_join = (
        select(users.c.id, room_members.c.room_id)
        .select_from(users.outerjoin(room_members, room_members.c.user_id == users.c.id))
        .where(users.c.id.in_(["ada", "bea"]))
        .order_by(users.c.id)
    )
    for statement in (by_method, by_join):
        found = await as_user(tenants, ADA).read(lambda c, one=statement: c.execute(one).all())
        assert [tuple(row) for row in found] == [("ada", "of-ada"), ("bea", None)]


async def test_counting_and_guessing_tell_nothing(tenants: Scoped) -> None:
    """V2: nor does asking whether there is one."""
    theirs = select(rooms.c.id).where(rooms.c.id == "of-bea").exists()
    asked = select(select(func.count()).select_from(comment_threads).scalar_subquery(), theirs)
    assert tuple(await as_user(tenants, ADA).read(lambda c: c.execute(asked).one())) == (1, False)


async def test_what_cannot_be_held_to_the_policies_is_refused(tenants: Scoped) -> None:
    """V3: text, full joins, and a change by what else is there."""
    full = select(users.c.id).select_from(users.join(rooms, rooms.c.creator_id == users.c.id, full=True))
    refused: list[Any] = [
        text("SELECT id FROM rooms"),
        select(text("id")).select_from(text("rooms")),
        select(rooms.c.id).where(text("1 = 1")),
        full,
        update(comment_threads).where(comment_threads.c.room_id == rooms.c.id).values(revision=9),
        select(room_updates.c.seq),
        update(rooms).values(creator_id="ada"),
        update(users).values({users.c.is_admin: True}),
    ]
    for statement in refused:
        with pytest.raises(PolicyMissing):
            await as_user(tenants, ADA).write(lambda c, one=statement: c.execute(one).close())
    with pytest.raises(PolicyMissing):
        await as_user(tenants, ADA).write(lambda c: c.exec_driver_sql("SELECT id FROM rooms").close())


def _titles_by_another_name() -> list[Any]:
    bare, cut = table("rooms", column("id")), text("(SELECT id FROM rooms),")
    added = insert(users).values(id="x", name="x", created_at=NOW, seen_at=NOW).returning(users.c.id)
    return [
        select(bare.c.id),
        select(literal(1)).where(bare.select().exists()),
        select(users.c.id).join(bare, true()),
        select(users.c.id).outerjoin(bare, true()),
        select(rooms.tablesample(100).c.id),
        select(users.c.id, rooms.c.id).join(rooms, true()).with_only_columns(rooms.c.id),
        select(literal_column("(SELECT id FROM rooms)")),
        select(literal(1)).prefix_with(cut),
        select(literal(1)).suffix_with(text("UNION SELECT id FROM rooms")),
        select(users.c.id).with_hint(users, "x"),
        select(added.cte("added").c.id),
        update(users).where(users.c.id == "ada").values(name=rooms.c.title),
        update(users).where(users.c.id == "ada").values(name="A").returning(rooms.c.title),
        delete(personal_tokens).returning(rooms.c.title),
    ]


@pytest.mark.parametrize("number", range(len(_titles_by_another_name())))
async def test_what_the_wall_does_not_know_is_refused(tenants: Scoped, number: int) -> None:
    """V3: a table without its columns, a sample, words of SQL in odd places, a hidden join, a change within a
    query, and what a change would bring along from elsewhere."""
    statement = _titles_by_another_name()[number]
    with pytest.raises(PolicyMissing):
        await as_user(tenants, ADA).write(lambda c: c.execute(statement).close())


async def test_a_join_within_a_join_and_an_alias_of_an_alias_have_their_walls(tenants: Scoped) -> None:
    """V1: wherever in the statement a table stands."""
    inner = rooms.join(room_heads, room_heads.c.room_id == rooms.c.id)
    twice = rooms.alias("one").alias("two")
    for statement in (
        select(rooms.c.id).select_from(users.outerjoin(inner, rooms.c.creator_id == users.c.id)),
        select(rooms.c.id).select_from(users.join(inner, rooms.c.creator_id == users.c.id)),
        select(rooms.c.id).select_from(
            users.outerjoin(rooms.outerjoin(room_heads, true()), rooms.c.creator_id == users.c.id)
        ),
        select(twice.c.id),
        select(twice.c.id).select_from(users.outerjoin(twice, true())),
    ):
        found = await as_user(tenants, ADA).read(ids(statement))
        assert set(found) - {None} <= {"of-ada"}, statement


async def test_nobodys_transaction_finds_the_tables_shut(tenants: Scoped) -> None:
    """V3: whoever asks says whose eyes he has."""
    raw: Database = tenants.database
    for statement in (
        select(rooms.c.id),
        select(func.count()).select_from(users),
        text("SELECT 1"),
        delete(rooms),
        select(table("rooms", column("id"))),
    ):
        with pytest.raises(PolicyMissing, match="as_system"):
            await raw.write(lambda c, one=statement: c.execute(one).close())  # type: ignore[misc]
    # and a scope ends with its transaction
    assert await as_system(raw).read(ids(select(rooms.c.id))) == ["of-ada", "of-bea"]
    with pytest.raises(PolicyMissing):
        await raw.read(ids(select(rooms.c.id)))


# -- writing ------------------------------------------------------------------------------------


async def test_what_is_anothers_is_neither_changed_nor_removed(tenants: Scoped) -> None:
    """V2: there is nothing of that name for them."""
    changes: list[Any] = [
        update(comment_threads).where(comment_threads.c.id == "t-bea").values(revision=7),
        delete(comment_threads).where(comment_threads.c.id == "t-bea"),
        update(rooms).where(rooms.c.id == "of-bea").values(title="Mine"),
        delete(room_members).where(room_members.c.room_id == "of-bea"),
        update(users).where(users.c.id == "bea").values(name="Ada"),
    ]
    for statement in changes:
        assert await as_user(tenants, ADA).write(lambda c, one=statement: c.execute(one).rowcount) == 0
    await as_user(tenants, ADA).write(lambda c: update_room(c, "of-ada", title="Mine", now=NOW))
    with pytest.raises(RoomNotFound):
        await as_user(tenants, ADA).write(lambda c: update_room(c, "of-bea", title="Mine", now=NOW))


async def test_what_is_brought_in_is_ones_own(tenants: Scoped) -> None:
    """V2: neither into another's room, nor in another's name, nor into a thread of another room."""
    refused: list[tuple[Any, Any]] = [
        (insert(comment_threads), a_thread("t1", "of-bea", "ada")),
        (insert(comment_threads), a_thread("t1", "of-ada", "bea")),
        (insert(comments), a_comment("c1", "t-bea", "of-ada", "ada")),
        (
            insert(comments),
            [a_comment("c1", "t-ada", "of-ada", "ada"), a_comment("c2", "t-ada", "of-ada", "bea")],
        ),
        (insert(comments).values([a_comment("c1", "t-ada", "of-ada", "bea")]), None),
        (insert(comments).values(**a_comment("c1", "t-ada", "of-bea", "ada")), None),
        (insert(room_members), {"room_id": "of-bea", "user_id": "ada", "role": "owner", **TIMES}),
        (insert(room_heads), {"room_id": "of-bea"}),
        (insert(personal_tokens), a_token("bea")),
        (insert(audit_events), an_entry("ada")),
    ]
    for statement, values in refused:
        with pytest.raises(RowRefused):
            await as_user(tenants, ADA).write(lambda c, one=statement, v=values: c.execute(one, v).close())
    assert await as_system(tenants).read(ids(select(comments.c.id))) == []
    await as_user(tenants, ADA).write(
        lambda c: c.execute(
            insert(comments), [a_comment(f"c{n}", "t-ada", "of-ada", "ada") for n in (1, 2)]
        ).close()
    )
    await as_user(tenants, ADA).write(lambda c: c.execute(insert(personal_tokens), a_token("ada")).close())
    assert await as_user(tenants, ADA).read(ids(select(comments.c.id))) == ["c1", "c2"]


TIMES = {"room_created_at": NOW, "created_at": NOW}


def a_token(user_id: str) -> dict[str, object]:
    made = {"name": "mine", "scopes": "", "created_at": NOW}
    return {"id": f"token-{user_id}", "user_id": user_id, "token_hash": user_id.encode(), **made}


def an_entry(actor_id: str) -> dict[str, object]:
    names = dict.fromkeys(("target", "address", "request_id", "details", "actor_name"), "")
    return {
        **names,
        "chain": "of-ada",
        "seq": 1,
        "id": "e",
        "at": NOW,
        "actor_id": actor_id,
        "action": "room.rename",
        "result": "done",
        "hash": b"",
    }


async def test_an_insert_that_meets_anothers_row_leaves_it(tenants: Scoped) -> None:
    """V2: and one that takes from what is there takes what is theirs."""

    def meet(connection: Connection) -> None:
        # Bea is there already, and in Ada's hands she would get another name
        statement = insert_into(connection, users).values(id="ada", name="A", created_at=NOW, seen_at=NOW)
        connection.execute(
            statement.on_conflict_do_update(index_elements=[users.c.id], set_={"name": "Ada L."})
        )

    await as_user(tenants, ADA).write(meet)
    named = select(users.c.name).order_by(users.c.name)
    assert await as_system(tenants).read(ids(named)) == ["Ada L.", "Bea"]

    source = select(
        literal("copy"),
        comment_threads.c.id,
        comment_threads.c.room_id,
        literal("ada"),
        literal("x"),
        literal(NOW),
    )
    names = ["id", "thread_id", "room_id", "author_id", "body", "created_at"]
    await as_user(tenants, ADA).write(
        lambda c: c.execute(insert(comments).from_select(names, source)).close()
    )
    assert await as_system(tenants).read(ids(select(comments.c.room_id))) == ["of-ada"]


async def test_who_makes_a_room_owns_it(database: Scoped) -> None:
    """V2: with the queries that the routes use, on both walls."""

    def make(connection: Connection) -> None:
        make_room(connection, "mine")
        update_room(connection, "mine", visibility="unlisted", now=NOW)
        connection.execute(update(rooms).where(rooms.c.id == "mine").values(default_role="none"))

    await as_user(database, ADA).write(make)
    assert await as_user(database, ADA).read(lambda c: find_room(c, "mine")) is not None
    assert await as_user(database, BEA).read(lambda c: find_room(c, "mine")) is None
    with pytest.raises(RowRefused):
        await as_user(database, BEA).write(
            lambda c: insert_room(
                c, id="x", title="X", visibility="public", schema="open", creator_id="ada", now=NOW
            )
        )


async def test_an_invitation_shows_the_room_and_lets_its_addressee_in(tenants: Scoped) -> None:
    """V2: by id or by e-mail, while it is open; neither lets anybody be owner."""

    def invite(connection: Connection) -> None:
        connection.execute(update(users).where(users.c.id == "bea").values(email="bea@example.org"))
        for n, who in enumerate(({"user_id": "cyd"}, {"email": "bea@example.org"})):
            values = {"role": "viewer", "invited_by": "ada", "created_at": NOW, "expires_at": NOW}
            connection.execute(insert(invitations).values(id=f"i{n}", room_id="of-ada", **who, **values))

    await as_system(tenants).write(invite)
    await as_system(tenants).write(lambda c: make_room(c, "of-cyd", creator_id="cyd"))

    def come(connection: Connection, user_id: str, role: str) -> None:
        assert find_room(connection, "of-ada") is not None
        with pytest.raises(RoomNotFound):
            get_access(connection, "of-ada", Actor(user_id), "see")
        values = {"room_id": "of-ada", "user_id": user_id, "role": role, **TIMES}
        connection.execute(insert(room_members), values)
        touch_access(connection, "of-ada", NOW)
        assert get_access(connection, "of-ada", Actor(user_id), "see").role == role
        connection.execute(
            update(invitations).where(invitations.c.room_id == "of-ada").values(closed_as="accepted")
        )

    for user_id in ("bea", "cyd"):
        with pytest.raises(RowRefused):
            await as_user(tenants, Actor(user_id)).write(lambda c, one=user_id: come(c, one, "owner"))
        await as_user(tenants, Actor(user_id)).write(lambda c, one=user_id: come(c, one, "viewer"))
    assert await as_user(tenants, BEA).read(ids(select(invitations.c.id))) == ["i1"]


async def test_what_the_server_does_meanwhile_is_its_own(tenants: Scoped) -> None:
    """V3: the log and jobs are written in the transaction of who asked, who can't write them."""

    def work(connection: Connection) -> str:
        event = Event(at=NOW, actor_id="ada", actor_name="Ada", action="room.rename", room_id="of-ada")
        append(connection, event)
        job_id = enqueue(connection, kind="draw", payload={}, now=NOW, user_id="bea", key="one")
        assert find_job(connection, job_id) is None
        with as_server(connection):
            assert find_room(connection, "of-bea") is not None
        assert find_room(connection, "of-bea") is None
        return job_id

    job_id = await as_user(tenants, ADA).write(work)
    assert await as_user(tenants, BEA).read(lambda c: find_job(c, job_id)) is not None
    seen = ids(select(audit_events.c.action))
    assert await as_user(tenants, ADA).read(seen) == ["room.rename"]
    assert await as_user(tenants, BEA).read(seen) == []


async def test_an_owner_one_cannot_see_is_no_absent_one(tenants: Scoped) -> None:
    """V2: who made a room and gave it away is nothing in it, though he can't see whose it is."""

    def give_away(connection: Connection) -> None:
        connection.execute(
            update(room_members).where(room_members.c.room_id == "of-ada").values(user_id="bea")
        )
        connection.execute(update(rooms).where(rooms.c.id == "of-ada").values(visibility="public"))

    await as_system(tenants).write(give_away)
    assert await as_user(tenants, ADA).read(lambda c: find_role(c, "of-ada", "ada")) is None
    assert await as_user(tenants, ADA).read(ids(select(share_links.c.id))) == []


async def test_the_policies_say_what_the_table_of_roles_says(database: Scoped) -> None:
    """V2: for each role of everybody, each role of one's own, and who made a room that has no owner."""
    kinds = list(product(("none", *ROLES[:3]), (None, *ROLES), ("somebody", "me"), (False, True)))

    def prepare(connection: Connection) -> None:
        for user_id in ("somebody", "me", "owner"):
            put_user(connection, user_id, user_id.title(), NOW)

    def fill(connection: Connection, some: range) -> None:
        for n in some:
            default_role, own, creator_id, has_owner = kinds[n]
            room_id = f"room-{n:03}"
            made = {"title": "", "visibility": "unlisted", "schema": "open", "now": NOW}
            insert_room(connection, id=room_id, creator_id=creator_id, **made)  # type: ignore[arg-type]
            connection.execute(delete(room_members).where(room_members.c.room_id == room_id))
            connection.execute(update(rooms).where(rooms.c.id == room_id).values(default_role=default_role))
            if own is not None:
                add_member(connection, room_id, "me", own)
            if has_owner and own != "owner":
                add_member(connection, room_id, "owner", "owner")

    def ask(connection: Connection, some: range) -> dict[str, Any]:
        return {f"room-{n:03}": find_role(connection, f"room-{n:03}", "me") for n in some}

    def compare(connection: Connection, roles: dict[str, Any], action: Action) -> None:
        for is_admin in (False, True):
            clause = may(action, rooms.c.id, ActorEyes(is_admin=is_admin))
            let = set(connection.execute(select(rooms.c.id).where(clause), {PARAMETER: "me"}).scalars())
            assert let == {one for one, role in roles.items() if can(role, action, is_admin=is_admin)}, action

    await database.write(prepare)
    roles: dict[str, Any] = {}
    for first in range(0, len(kinds), 20):
        await database.write(partial(fill, some=range(first, first + 20)))
        roles |= await database.read(partial(ask, some=range(first, first + 20)))
    assert len(roles) == 80
    for action in ASKED:
        await database.read(partial(compare, roles=roles, action=action))
