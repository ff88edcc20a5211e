"""Where people stand in a room, on both databases."""

from datetime import timedelta

from sqlalchemy import Connection, delete, update

from db.access import find_role, touch_access
from db.database import Database
from db.rooms import find_known_room, record_participant, share_room, trash_room, update_room
from db.standing import AT_ONCE, Standing, find_aliases, find_changed, find_roles, find_standings
from db.tables import room_members, users
from db.users import put_user
from party.policy import ROLES
from party.ports import Role
from tests.db.conftest import NOW, make_room


def join(conn: Connection, room_id: str, user_id: str, role: Role) -> None:
    put_user(conn, user_id, user_id, NOW)
    conn.execute(
        room_members.insert().values(
            room_id=room_id, user_id=user_id, role=role, room_created_at=NOW, created_at=NOW
        )
    )


async def test_the_higher_of_ones_own_and_everybodys(both: Database) -> None:
    """G2: for members, strangers and the owner; asked one by one or together it is the same."""
    people = ["ada", "viewer", "commenter", "editor", "stranger"]

    def fill(conn: Connection) -> None:
        make_room(conn, "r")
        for role in ROLES[:-1]:
            join(conn, "r", role, role)

    await both.write(fill)
    for everybody, least in (("none", None), *((role, role) for role in ROLES[:-1])):
        await both.write(
            lambda conn, e=everybody: update_room(conn, "r", visibility="unlisted", default_role=e, now=NOW)
        )
        found = await both.read(lambda conn: find_standings(conn, "r", people))
        assert found is not None
        roles = {one: standing.role for one, standing in found.people.items()}
        rank = [None, *ROLES].index
        own: dict[str, Role | None] = dict(zip(people, ("owner", *ROLES[:-1], None), strict=True))
        assert roles == {one: max(own[one], least, key=rank) for one in people}
        for one in people:
            assert await both.read(lambda conn, u=one: find_role(conn, "r", u)) == roles[one]
            assert await both.read(lambda conn, u=one: find_roles(conn, ["r", "x"], u)) == {"r": roles[one]}


async def test_a_room_that_an_older_version_made_is_its_makers(both: Database) -> None:
    """G2: it has no owner among its members; once it has one, its maker is nobody special."""

    def older(conn: Connection) -> None:
        make_room(conn, "r")
        conn.execute(delete(room_members))

    await both.write(older)
    found = await both.read(lambda conn: find_standings(conn, "r", ["ada", "ben"]))
    assert found is not None
    assert [found.people[one].role for one in ("ada", "ben")] == ["owner", "editor"]
    assert await both.read(lambda conn: find_roles(conn, ["r"], "ada")) == {"r": "owner"}
    await both.write(lambda conn: join(conn, "r", "ben", "owner"))
    found = await both.read(lambda conn: find_standings(conn, "r", ["ada", "ben"]))
    assert found is not None
    assert [found.people[one].role for one in ("ada", "ben")] == ["editor", "owner"]
    assert await both.read(lambda conn: find_roles(conn, ["r"], "ada")) == {"r": "editor"}


async def test_a_room_that_is_not_there_has_no_standings(both: Database) -> None:
    """G3: nor one in the trash; and many are asked for at once."""
    await both.write(lambda conn: make_room(conn, "r"))
    many = [f"u{number}" for number in range(AT_ONCE + 1)]
    found = await both.read(lambda conn: find_standings(conn, "r", many))
    assert found is not None
    assert len(found.people) == len(many)
    assert (await both.read(lambda conn: find_standings(conn, "r", []))) is not None
    assert await both.read(lambda conn: find_standings(conn, "nowhere", many)) is None
    await both.write(lambda conn: trash_room(conn, "r", now=NOW))
    assert await both.read(lambda conn: find_standings(conn, "r", ["ada"])) is None


async def test_the_guests_somebody_was_are_told(both: Database) -> None:
    """G8: all of them, and nobody else's."""

    def sign_in(conn: Connection) -> None:
        make_room(conn, "r")
        for guest, account in (("g1", "ada"), ("g2", "ada"), ("g3", "ben")):
            put_user(conn, guest, guest, NOW)
            conn.execute(update(users).where(users.c.id == guest).values(alias_of=account))

    await both.write(sign_in)
    found = await both.read(lambda conn: find_standings(conn, "r", ["ada", "ben", "g1"]))
    assert found is not None
    assert found.people == {
        "ada": Standing("owner", frozenset({"g1", "g2"})),
        "ben": Standing("editor", frozenset({"g3"})),
        "g1": Standing("editor"),
    }
    assert await both.read(lambda conn: find_aliases(conn, "ada")) == {"g1", "g2"}


async def test_what_changed_since_a_moment(both: Database) -> None:
    """G4: each room once, with its last change; a room where nothing ever changed is never told."""
    for number in range(3):
        await both.write(lambda conn, n=number: make_room(conn, f"r{n}"))
    await both.write(lambda conn: touch_access(conn, "r0", NOW))
    later = NOW + timedelta(seconds=1)
    await both.write(lambda conn: touch_access(conn, "r1", later))
    assert await both.read(lambda conn: find_changed(conn, NOW)) == {"r0": NOW, "r1": later}
    assert await both.read(lambda conn: find_changed(conn, later)) == {"r1": later}


async def test_who_lost_a_room_does_not_see_who_is_in_it(both: Database) -> None:
    """G3: whoever was in a room with somebody knows where they are, as long as he may see it."""

    def meet(conn: Connection) -> None:
        make_room(conn, "r")
        put_user(conn, "ben", "Ben", NOW)
        record_participant(conn, "r", "ben", NOW)

    await both.write(meet)
    for everybody, is_known in (("viewer", True), ("none", False)):
        await both.write(
            lambda conn, e=everybody: update_room(conn, "r", visibility="unlisted", default_role=e, now=NOW)
        )
        assert await both.read(lambda conn: share_room(conn, "ben", "ada")) is is_known
        found = await both.read(lambda conn: find_known_room(conn, "r", "ben"))
        assert (found is not None) is is_known
        assert await both.read(lambda conn: share_room(conn, "ada", "ben"))
    await both.write(lambda conn: join(conn, "r", "ben", "viewer"))
    assert await both.read(lambda conn: share_room(conn, "ben", "ada"))
