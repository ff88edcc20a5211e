"""server.places: how many connections a user and a room may have."""

import pytest

from party.errors import TooManyConnections
from server.places import Places


def test_a_user_has_so_many_connections_over_all_rooms() -> None:
    """S8: one more is refused with a code that is tried again, in words, and takes nothing."""
    places = Places(per_user=2, per_room=10)
    first = places.take("ada", "a")
    places.take("ada", "b")
    with pytest.raises(TooManyConnections) as refused:
        places.take("ada", "c")
    assert refused.value.close_code == 1013
    assert refused.value.retry
    assert "2 connections" in refused.value.message
    assert places.taken() == 2
    places.take("bob", "c")
    first.free()
    places.take("ada", "c")


def test_a_room_has_so_many_connections_over_all_users() -> None:
    """S8: the refusal says that it is the room."""
    places = Places(per_user=10, per_room=2)
    first = places.take("ada", "a")
    places.take("bob", "a")
    with pytest.raises(TooManyConnections, match="room has 2"):
        places.take("eve", "a")
    first.free()
    places.take("eve", "a")


def test_a_place_is_freed_once_and_nothing_is_remembered() -> None:
    """S8: freeing twice gives nobody a second place."""
    places = Places(per_user=1, per_room=1)
    place = places.take("ada", "a")
    place.free()
    place.free()
    assert places.taken() == 0
    places.take("ada", "a")
    with pytest.raises(TooManyConnections):
        places.take("ada", "a")
    assert not Places(1, 1)._users
