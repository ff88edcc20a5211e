"""The table of roles and actions, cell by cell."""

from itertools import pairwise, product

import pytest

from party.policy import ACTIONS, OPERATOR, ROLES, TABLE, Action, actions_of, can, higher, lower
from party.ports import Role

#                viewer  commenter editor  owner   operator
EXPECTED = {
    "see": "     yes     yes       yes     yes     yes",
    "present": " yes     yes       yes     yes     no",
    "comment": " no      yes       yes     yes     no",
    "moderate": "no      no        no      yes     yes",
    "edit": "    no      no        yes     yes     no",
    "rename": "  no      no        no      yes     yes",
    "share": "   no      no        no      yes     yes",
    "audit": "   no      no        no      yes     yes",
    "delete": "  no      no        no      yes     yes",
    "transfer": "no      no        no      yes     yes",
}


def cells() -> dict[tuple[str, str], bool]:
    return {
        (action, who): said == "yes"
        for action, row in EXPECTED.items()
        for who, said in zip((*ROLES, "operator"), row.split(), strict=True)
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_the_table_is_this_one(action: Action) -> None:
    """G1, G2: every role, everybody without one, and the operator with each of them."""
    expected = cells()
    for role in ROLES:
        assert can(role, action) is expected[action, role]
        # what the operator may besides takes nothing away
        assert can(role, action, is_admin=True) is (expected[action, role] or expected[action, "operator"])
        assert (action in actions_of(role)) is can(role, action)
        assert (action in actions_of(role, is_admin=True)) is can(role, action, is_admin=True)
    assert can(None, action) is False
    assert can(None, action, is_admin=True) is expected[action, "operator"]
    assert actions_of(None) == frozenset()
    assert actions_of(None, is_admin=True) == OPERATOR


def test_every_action_and_role_is_in_it() -> None:
    """G1: nothing was added on one side alone; each role may do all that those below it may."""
    assert set(EXPECTED) == set(ACTIONS)
    assert set(TABLE) == set(ROLES)
    for below, above in pairwise(ROLES):
        assert TABLE[below] < TABLE[above]


def test_the_higher_role_is_the_one_that_allows_more() -> None:
    """G2: whichever way round; none is below all."""
    everybody: tuple[Role | None, ...] = (None, *ROLES)
    for one, other in product(everybody, everybody):
        found = higher(one, other)
        assert found == everybody[max(everybody.index(one), everybody.index(other))]
        assert actions_of(found) == actions_of(one) | actions_of(other)
        if one is not None and other is not None:
            assert actions_of(lower(one, other)) == actions_of(one) & actions_of(other)
