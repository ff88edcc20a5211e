"""What becomes of a role when somebody is let in again, or a link ends."""

from itertools import product

import pytest

from db.members import Seat, raise_seat
from party.policy import ROLES, higher
from party.ports import Role

GIVEN: list[Role] = ["viewer", "commenter", "editor"]


@pytest.mark.parametrize(
    ("had", "role", "link_id", "has"),
    [
        (None, "viewer", None, Seat("viewer")),
        (None, "viewer", "a", Seat("viewer", "a")),
        (Seat("owner"), "editor", "a", Seat("owner")),
        (Seat("viewer"), "editor", "a", Seat("editor", "a", "viewer")),
        (Seat("editor"), "editor", "a", Seat("editor")),
        # of two links the one that gave more counts, and what is their own stays
        (Seat("viewer", "a"), "editor", "b", Seat("editor", "b")),
        (Seat("commenter", "a", "viewer"), "editor", "b", Seat("editor", "b", "viewer")),
        (Seat("editor", "a"), "editor", "b", Seat("editor", "a")),
        # what is given to somebody outlives the link
        (Seat("editor", "a"), "editor", None, Seat("editor")),
        (Seat("editor", "a"), "viewer", None, Seat("editor", "a", "viewer")),
        (Seat("editor", "a", "commenter"), "viewer", None, Seat("editor", "a", "commenter")),
        (Seat("viewer", "a"), "commenter", None, Seat("commenter")),
    ],
)
def test_a_seat_is_raised(had: Seat | None, role: Role, link_id: str | None, has: Seat) -> None:
    """E3"""
    assert raise_seat(had, role, link_id) == has


def test_nothing_that_is_given_takes_anything_away() -> None:
    """E3: for every seat there is and all that can be given, twice is once."""
    seats = [Seat(role) for role in ROLES]
    seats += [
        Seat(role, "a", own)
        for role, own in product(GIVEN, [None, *GIVEN])
        if own is None or (own != role and higher(own, role) == role)
    ]
    for had, role, link_id in product(seats, GIVEN, [None, "a", "b"]):
        has = raise_seat(had, role, link_id)
        assert has.role == higher(had.role, role)
        assert raise_seat(has, role, link_id) == has
        # a link never adds to what is left without it
        left = has.role if has.link_id is None else has.own_role
        own = had.role if had.link_id is None else had.own_role
        assert left == (own if link_id is not None else higher(own, role))
