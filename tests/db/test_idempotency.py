"""Remembered answers live and die with the change they answer."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from db.database import Database
from db.idempotency import Answer, find_answer, purge_answers, store_answer
from db.rooms import find_room
from party.errors import Conflict
from tests.db.conftest import NOW, make_room


def store(connection: Connection, user_id: str, key: str, body: bytes = b"{}") -> None:
    store_answer(connection, user_id, key, "hash", 201, '{"location": "/x"}', body, NOW)


@pytest.fixture
def database(both: Database) -> Database:
    return both


async def test_an_answer_comes_back_to_its_user_only(database: Database) -> None:
    await database.write(lambda connection: store(connection, "ada", "k", b"\x00\xff"))
    expected = Answer("hash", 201, '{"location": "/x"}', b"\x00\xff", NOW)
    assert await database.read(lambda connection: find_answer(connection, "ada", "k")) == expected
    assert await database.read(lambda connection: find_answer(connection, "bob", "k")) is None
    assert await database.read(lambda connection: find_answer(connection, "ada", "other")) is None


async def test_a_key_used_meanwhile_undoes_the_change(database: Database) -> None:
    await database.write(lambda connection: store(connection, "ada", "k"))

    def work(connection: Connection) -> None:
        make_room(connection, "r")
        store(connection, "ada", "k", b"second")

    with pytest.raises(Conflict):
        await database.write(work)
    assert await database.read(lambda connection: find_room(connection, "r")) is None
    answer = await database.read(lambda connection: find_answer(connection, "ada", "k"))
    assert answer is not None
    assert answer.body == b"{}"


async def test_old_answers_are_forgotten(database: Database) -> None:
    await database.write(lambda connection: store(connection, "ada", "k"))
    assert await database.write(lambda connection: purge_answers(connection, NOW)) == 0
    late = NOW + timedelta(microseconds=1)
    assert await database.write(lambda connection: purge_answers(connection, late)) == 1
    assert await database.read(lambda connection: find_answer(connection, "ada", "k")) is None
