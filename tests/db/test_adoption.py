"""A guest becomes an account, on both databases: nothing is lost, nothing is there twice."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Text, func, select
from sqlalchemy.event import listen, remove

from db.access import find_role
from db.accounts import (
    find_named,
    is_known_email,
    list_admin_ids,
    list_admins,
    list_aliases,
    put_account,
    put_link,
    set_admin,
    take_link,
)
from db.adoption import adopt
from db.database import Database
from db.members import Seat, end_link, put_member
from db.postgres_url import is_postgres
from db.rooms import find_room, insert_room, record_participant
from db.sessions import find_session, list_sessions, note_session, purge_sessions, remove_sessions
from db.tables import (
    assets,
    comment_mentions,
    comment_reads,
    comment_threads,
    comments,
    invitations,
    metadata,
    personal_tokens,
    room_exclusions,
    room_members,
    room_participants,
    rooms,
    share_links,
    uploads,
    user_sessions,
    users,
)
from db.users import find_user, put_user
from tests.db.conftest import NOW

LATER = NOW + timedelta(hours=1)
BEFORE = NOW - timedelta(hours=1)


def people(connection: Connection) -> None:
    for guest in ("fox", "owl"):
        put_user(connection, guest, guest.title(), NOW, is_guest=True)
    put_account(connection, id="ada", email="ada@example.org", name="Ada", now=NOW)
    put_user(connection, "host", "Host", NOW)


def room(connection: Connection, room_id: str, creator_id: str, **roles: str) -> None:
    """A room with members: user id to role. Everybody else has none."""
    insert_room(
        connection,
        id=room_id,
        title=room_id,
        visibility="unlisted",
        schema="canvas",
        creator_id=creator_id,
        now=NOW,
    )
    connection.execute(rooms.update().where(rooms.c.id == room_id).values(default_role="none"))
    connection.execute(room_members.delete().where(room_members.c.room_id == room_id))
    for user_id, role in roles.items():
        member(connection, room_id, user_id, role)


def member(connection: Connection, room_id: str, user_id: str, role: str, link_id: str | None = None) -> None:
    connection.execute(
        room_members.insert().values(
            room_id=room_id,
            user_id=user_id,
            role=role,
            link_id=link_id,
            room_created_at=NOW,
            created_at=NOW,
        )
    )


def members(connection: Connection, room_id: str) -> dict[str, str]:
    found = connection.execute(select(room_members).where(room_members.c.room_id == room_id))
    return {row.user_id: row.role for row in found}


async def test_roles_come_along_and_the_higher_one_stays(both: Database) -> None:
    """T5: whoever had which, the room has one owner, and the account the most of what both had."""

    def prepare(connection: Connection) -> None:
        people(connection)
        room(connection, "alone", "fox", fox="owner")
        room(connection, "owner", "fox", fox="owner", ada="viewer", host="editor")
        room(connection, "owned", "ada", ada="owner", fox="editor")
        room(connection, "higher", "host", host="owner", ada="viewer", fox="editor")
        room(connection, "lower", "host", host="owner", ada="editor", fox="viewer")
        room(connection, "other", "host", host="owner")
        room(connection, "link", "host", host="owner")
        member(connection, "link", "fox", "editor", None)
        member(connection, "link", "ada", "editor", "l1")
        room(connection, "old", "fox")
        assert adopt(connection, "fox", "ada", LATER)

    def look(connection: Connection) -> None:
        assert members(connection, "alone") == {"ada": "owner"}
        assert members(connection, "owner") == {"ada": "owner", "host": "editor"}
        assert members(connection, "owned") == {"ada": "owner"}
        assert members(connection, "higher") == {"host": "owner", "ada": "editor"}
        assert members(connection, "lower") == {"host": "owner", "ada": "editor"}
        assert members(connection, "other") == {"host": "owner"}
        # a membership of one's own outlives the link
        row = connection.execute(
            select(room_members).where(room_members.c.room_id == "link", room_members.c.user_id == "ada")
        ).one()
        assert (row.role, row.link_id) == ("editor", None)
        # of before there were members
        assert find_role(connection, "old", "ada") == "owner"
        assert find_role(connection, "old", "fox") is None
        changed = set(connection.execute(select(rooms.c.id).where(rooms.c.access_at == LATER)).scalars())
        assert changed == {"alone", "owner", "owned", "higher", "lower", "link"}
        assert list_aliases(connection, "ada") == {"fox"}

    await both.write(prepare)
    await both.read(look)


async def test_what_was_given_for_oneself_outlives_the_link_of_the_other(both: Database) -> None:
    """T5 E3 E6: a link that ends takes what it gave, be it to the guest or to the account, and no more."""
    cases = {
        # room: what the guest had, what the account had (role, link, own role), what is left without the link
        "more": (("editor", "l-more", None), ("viewer", None, None), "viewer"),
        "own": (("editor", "l-own", "commenter"), ("viewer", None, None), "commenter"),
        "both": (("editor", "l-both", "viewer"), ("commenter", "l-other", "commenter"), "commenter"),
        "less": (("commenter", None, None), ("editor", "l-less", None), "commenter"),
        "none": (("editor", "l-none", None), ("viewer", "l-gone", None), None),
        "firm": (("editor", None, None), ("editor", "l-firm", "viewer"), "editor"),
    }

    def work(connection: Connection) -> None:
        people(connection)
        for name, (guests, accounts, _) in cases.items():
            room(connection, name, "host", host="owner")
            for user_id, (role, link_id, own_role) in (("fox", guests), ("ada", accounts)):
                member(connection, name, user_id, role, link_id)
                mine = (room_members.c.room_id == name, room_members.c.user_id == user_id)
                connection.execute(room_members.update().where(*mine).values(own_role=own_role))
        assert adopt(connection, "fox", "ada", LATER)
        assert {name: members(connection, name)["ada"] for name in cases} == dict.fromkeys(cases, "editor")
        for name in cases:
            end_link(connection, name, f"l-{name}")
        left = {name: members(connection, name).get("ada") for name in cases}
        assert left == {name: role for name, (_, _, role) in cases.items()}

    await both.write(work)


async def test_it_waits_for_who_changes_a_room_of_the_guests(server_database: Database) -> None:
    """T5: and not in a circle, which PostgreSQL would take a second to see: rooms are locked before users."""
    turns: list[str] = []
    locked = asyncio.Event()

    def prepare(connection: Connection) -> None:
        people(connection)
        room(connection, "r", "host", host="owner", fox="viewer")

    def redeem(connection: Connection) -> None:
        turns.append("redeem")
        found = find_room(connection, "r", is_to_change=True)
        assert found is not None
        locked.set()
        connection.execute(select(func.pg_sleep(0.3)))
        put_member(connection, found, "fox", Seat("editor"), now=NOW)
        # as the check of a foreign key does
        connection.execute(
            select(users.c.id).where(users.c.id == "fox").with_for_update(key_share=True, read=True)
        )

    def become(connection: Connection) -> bool:
        turns.append("adopt")
        return adopt(connection, "fox", "ada", LATER)

    await server_database.write(prepare)
    redeeming = asyncio.create_task(server_database.write(redeem))
    await locked.wait()
    assert await server_database.write(become)
    await redeeming
    assert turns == ["redeem", "adopt"]
    found = await server_database.read(lambda connection: members(connection, "r"))
    assert found == {"host": "owner", "ada": "editor"}


def belongings(connection: Connection, user_id: str, other_id: str, n: int) -> None:
    """One row for `user_id` in every table that names people, in the rooms r1 and r2."""
    for room_id in ("r1", "r2"):
        if connection.execute(select(rooms.c.id).where(rooms.c.id == room_id)).first() is None:
            room(connection, room_id, "host", host="owner")
            thread: dict[str, Any] = {"room_id": room_id, "created_by": "host", "revision": 1}
            connection.execute(
                comment_threads.insert().values(id=f"t-{room_id}", created_at=NOW, updated_at=NOW, **thread)
            )
            connection.execute(
                comments.insert().values(
                    id=f"c-{room_id}",
                    thread_id=f"t-{room_id}",
                    room_id=room_id,
                    author_id="host",
                    body="x",
                    created_at=NOW,
                )
            )
    at = NOW + timedelta(minutes=n)
    of_room = {"room_id": "r1", "user_id": user_id}
    bytes_ = {
        "sha256": f"{n}",
        "size_bytes": 1,
        "content_type": "image/png",
        "filename": "x",
        "created_at": NOW,
    }
    connection.execute(
        uploads.insert().values(id=f"u{n}", key=f"uk{n}", expires_at=LATER, **of_room, **bytes_)
    )
    connection.execute(
        assets.insert().values(id=f"a{n}", key=f"ak{n}", stored_sha256="y", frames=1, **of_room, **bytes_)
    )
    connection.execute(
        comment_threads.insert().values(
            id=f"t{n}", room_id="r1", created_by=user_id, resolved_by=user_id, revision=10 + n,
            created_at=NOW, updated_at=NOW,
        )
    )  # fmt: skip
    connection.execute(
        comments.insert().values(
            id=f"c{n}", thread_id=f"t{n}", room_id="r1", author_id=user_id, body="x", created_at=NOW
        )
    )
    connection.execute(comment_mentions.insert().values(comment_id="c-r1", **of_room))
    # whoever writes has read
    for thread_id in ("t-r1", f"t{n}"):
        connection.execute(comment_reads.insert().values(thread_id=thread_id, read_at=at, **of_room))
    connection.execute(
        personal_tokens.insert().values(
            id=f"p{n}", user_id=user_id, name="x", token_hash=bytes([n]), scopes="", created_at=NOW
        )
    )
    shared: dict[str, Any] = {"room_id": "r1", "role": "viewer", "created_at": NOW, "expires_at": LATER}
    connection.execute(
        invitations.insert().values(id=f"i{n}", user_id=user_id, invited_by=other_id, **shared)
    )
    connection.execute(invitations.insert().values(id=f"j{n}", email="x@y.z", invited_by=user_id, **shared))
    connection.execute(
        share_links.insert().values(id=f"s{n}", label="", token_hash=bytes([n]), created_by=user_id, **shared)
    )
    connection.execute(room_exclusions.insert().values(until=at, **of_room))
    note_session(
        connection, id=f"n{n}", user_id=user_id, kind="guest", address="", user_agent="", now=NOW,
        expires_at=LATER,
    )  # fmt: skip


def named(connection: Connection, user_id: str) -> dict[str, int]:
    """How many rows name the user, by column, in every table there is."""
    found = {}
    for table in metadata.sorted_tables:
        for column in table.columns:
            if not isinstance(column.type, Text):
                continue
            count = len(connection.execute(select(column).where(column == user_id)).all())
            if count:
                found[f"{table.name}.{column.name}"] = count
    return found


async def test_it_reads_no_large_table_whole(database: Database) -> None:
    """T5: edits wait for the same writer, however much others have written."""
    ran: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, params: Any, _context: Any, _many: bool) -> None:
        ran.append((statement, params))

    def work(connection: Connection) -> list[str]:
        people(connection)
        belongings(connection, "fox", "host", 1)
        belongings(connection, "ada", "host", 2)
        listen(connection.engine, "before_cursor_execute", note)
        assert adopt(connection, "fox", "ada", LATER)
        remove(connection.engine, "before_cursor_execute", note)
        plans = [connection.exec_driver_sql("EXPLAIN QUERY PLAN " + one, params) for one, params in ran]
        return [str(row[-1]) for plan in plans for row in plan]

    told = await database.write(work)
    read_whole = {line.split()[1] for line in told if line.startswith("SCAN")}
    # what is open now, a few for each room; a week of jobs
    small = {"invitations", "share_links", "room_exclusions", "jobs"}
    assert read_whole <= {*small, "own", "held"}, read_whole


async def test_whatever_names_the_guest_names_the_account(both: Database) -> None:
    """T5: in every table, also in those that hold one row for each; and only history still says the guest.

    A column for user ids that somebody adds and forgets here is found by its name.
    """

    def prepare(connection: Connection) -> None:
        people(connection)
        belongings(connection, "fox", "host", 1)
        belongings(connection, "ada", "host", 2)
        room(connection, "mine", "fox", fox="owner")
        record_participant(connection, "mine", "ada", LATER)
        record_participant(connection, "mine", "fox", BEFORE)
        record_participant(connection, "r2", "fox", NOW)
        assert adopt(connection, "fox", "ada", LATER)

    def look(connection: Connection) -> None:
        assert named(connection, "fox") == {"users.id": 1}
        told = named(connection, "ada")
        twice = ("uploads.user_id", "assets.user_id", "comments.author_id", "comment_threads.created_by",
                 "comment_threads.resolved_by", "personal_tokens.user_id", "invitations.user_id",
                 "invitations.invited_by", "share_links.created_by")  # fmt: skip
        assert {name: told[name] for name in twice} == dict.fromkeys(twice, 2)
        assert told["comment_reads.user_id"] == 3
        once = ("comment_mentions.user_id", "room_exclusions.user_id",
                "user_sessions.user_id", "rooms.creator_id", "room_members.user_id")  # fmt: skip
        assert {name: told[name] for name in once} == dict.fromkeys(once, 1)
        assert told["room_participants.user_id"] == 2
        assert told["users.alias_of"] == 1
        [until] = connection.execute(select(room_exclusions.c.until)).scalars()
        assert until == NOW + timedelta(minutes=2)
        ended = select(personal_tokens.c.id).where(personal_tokens.c.revoked_at == LATER)
        assert connection.execute(ended).scalars().all() == ["p1"]
        seen = connection.execute(
            select(room_participants.c.first_seen_at, room_participants.c.last_seen_at).where(
                room_participants.c.room_id == "mine"
            )
        ).one()
        assert tuple(seen) == (NOW, LATER)
        columns = {
            f"{table.name}.{column.name}"
            for table in metadata.sorted_tables
            for column in table.columns
            if column.name.endswith("_by") or column.name in ("user_id", "creator_id", "author_id")
        }
        assert columns - set(told) == HISTORY | {"room_members.invited_by"}

    await both.write(prepare)
    await both.read(look)


HISTORY = {
    "room_updates.user_id", "room_clients.user_id", "quarantine.user_id", "revocations.user_id",
    "idempotency_keys.user_id", "jobs.user_id",
}  # fmt: skip
"""What was done under the guest's id stays so; the alias says who that is. (Of jobs, what waits is moved.)"""


async def test_a_second_time_moves_what_came_in_late(both: Database) -> None:
    """T5: and a guest who is an account's is nobody else's."""

    def work(connection: Connection) -> None:
        people(connection)
        put_account(connection, id="eve", email="eve@example.org", name="Eve", now=NOW)
        assert adopt(connection, "fox", "ada", NOW)
        room(connection, "late", "fox", fox="owner")
        assert adopt(connection, "fox", "ada", LATER)
        assert members(connection, "late") == {"ada": "owner"}
        room(connection, "later", "fox", fox="owner")
        assert not adopt(connection, "fox", "eve", LATER)
        assert members(connection, "later") == {"fox": "owner"}
        assert adopt(connection, "owl", "ada", LATER)
        assert list_aliases(connection, "ada") == {"fox", "owl"}
        # not an account, not oneself, not who is not there
        for guest, account in (("eve", "ada"), ("ada", "ada"), ("nobody", "ada"), ("owl", "nobody")):
            assert not adopt(connection, guest, account, LATER)
        # and a guest that became somebody is nobody to become
        put_user(connection, "hen", "Hen", NOW, is_guest=True)
        assert not adopt(connection, "hen", "fox", LATER)

    await both.write(work)


# -- accounts ---------------------------------------------------------------------------------------


async def test_a_link_is_taken_once_and_in_time(both: Database) -> None:
    """T1"""

    def put(connection: Connection) -> None:
        for name, ends in ((b"good", LATER), (b"late", NOW)):
            put_link(
                connection,
                token_hash=name,
                email="ada@example.org",
                guest_id="fox",
                next_path="/r/x",
                now=NOW,
                expires_at=ends,
            )

    def take(connection: Connection) -> list[Any]:
        return [take_link(connection, name, NOW) for name in (b"good", b"good", b"late", b"none")]

    await both.write(put)
    good, *others = await both.write(take)
    assert (good.email, good.guest_id, good.next_path) == ("ada@example.org", "fox", "/r/x")
    assert others == [None, None, None]


async def test_one_account_for_an_address(both: Database) -> None:
    """T3: also when two come with it at once."""

    def make(new_id: str, at: datetime) -> Any:
        return lambda conn: put_account(conn, id=new_id, email="ada@example.org", name="Ada", now=at)

    found = await asyncio.gather(*(both.write(make(f"id{n}", NOW)) for n in range(6)))
    assert len({one.id for one in found}) == 1
    again = await both.write(make("other", LATER))
    assert (again.id, again.seen_at) == (found[0].id, LATER)
    assert await both.read(lambda conn: find_named(conn, "ada@example.org")) == again
    assert await both.read(lambda conn: is_known_email(conn, "ada@example.org", NOW))
    assert not await both.read(lambda conn: is_known_email(conn, "eve@example.org", NOW))


async def test_operators(both: Database) -> None:
    """T10: found by an index that holds nobody else."""

    def work(connection: Connection) -> None:
        people(connection)
        assert list_admins(connection) == []
        assert set_admin(connection, "ada", is_admin=True)
        assert not set_admin(connection, "ada", is_admin=True)
        assert [one.id for one in list_admins(connection)] == ["ada"]
        # a change of name keeps it
        put_user(connection, "ada", "Countess", LATER)
        ada = find_user(connection, "ada")
        assert ada is not None
        assert (ada.name, ada.is_admin, ada.email) == ("Countess", True, "ada@example.org")
        assert list_admin_ids(connection) == {"ada"}
        assert set_admin(connection, "ada", is_admin=False)
        assert list_admin_ids(connection) == frozenset()

    await both.write(work)

    def plan(connection: Connection) -> str:
        asked = select(users.c.id).where(users.c.is_admin.is_(True))
        text = str(asked.compile(connection, compile_kwargs={"literal_binds": True}))
        if is_postgres(both.url):
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            return str(connection.exec_driver_sql(f"EXPLAIN {text}").all())
        return str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all())

    assert "ix_users_admin" in await both.write(plan)


async def test_sessions_are_noted_renewed_and_forgotten(both: Database) -> None:
    """T6"""

    def note(connection: Connection, session_id: str, user_id: str, now: datetime, agent: str) -> None:
        note_session(
            connection,
            id=session_id,
            user_id=user_id,
            kind="email",
            address="192.0.2.1",
            user_agent=agent,
            now=now,
            expires_at=now + timedelta(days=1),
        )

    def work(connection: Connection) -> None:
        note(connection, "s1", "ada", NOW, "one\r\n" + "x" * 999)
        note(connection, "s1", "ada", LATER, "two")
        note(connection, "s2", "ada", NOW, "three")
        # nobody's session is another's
        note(connection, "s2", "eve", LATER, "four")
        found = list_sessions(connection, "ada", LATER)
        assert [(one.id, one.user_agent, one.created_at, one.seen_at) for one in found] == [
            ("s1", "two", NOW, LATER),
            ("s2", "three", NOW, NOW),
        ]
        assert find_session(connection, "s2", "eve") is None
        assert purge_sessions(connection, NOW + timedelta(days=1)) == 1
        remove_sessions(connection, "ada", BEFORE)
        assert find_session(connection, "s1", "ada") is not None
        remove_sessions(connection, "ada", NOW)
        assert connection.execute(select(user_sessions)).all() == []

    await both.write(work)
