"""The table of actions, and what an operator may say about it."""

import pytest

from server.app import all_operations
from server.rates.actions import ACTIONS, EXEMPT, OPERATIONS, read_table
from server.rates.base import Rate, Verdict
from server.rates.guard import key_of_address, key_of_user
from server.rates.headers import rate_headers, refusal
from tests.conventions.tree import ROOT

EXEMPT_NOW = {
    "put_blob", "read_blob", "read_health", "read_readiness", "read_config", "read_document", "read_docs",
    "read_docs_part",
}  # fmt: skip


def test_every_operation_is_counted_or_is_named_here() -> None:
    """L2: health, configuration, documentation and signed addresses are not counted; all else is."""
    actions = {operation.name: operation.action for operation in all_operations().operations}
    uncounted = {name for name, action in actions.items() if action is None}
    # the metrics, once they are there
    assert uncounted - {"read_metrics", "read_worker_metrics"} == EXEMPT_NOW
    assert set(actions.values()) - {None} <= set(ACTIONS)
    assert set(OPERATIONS) | EXEMPT <= set(actions)
    assert set(OPERATIONS.values()) <= set(ACTIONS)
    assert actions["sign_in_guest"] == actions["refresh_token"] == "auth"
    assert actions["list_jobs"] == actions["sweep_now"] == "admin"
    assert actions["list_rooms"] == actions["get_job"] == "read"


def test_the_default_is_ten_a_minute() -> None:
    """L2"""
    assert ACTIONS["default"].rate == Rate(10, 60)
    assert read_table().rates == {name: action.rate for name, action in ACTIONS.items()}


def test_an_operator_may_change_single_actions_and_all_for_a_plan() -> None:
    table = read_table("default=20/60, read=off,party.write=1000/10", "pro=x5,slow=x0.01,bot:party.write=off")
    assert table.rate("default") == table.rate("default", "no such plan") == Rate(20, 60)
    assert table.rate("read") is table.rate("read", "pro") is None
    assert table.rate("party.write") == Rate(1000, 10)
    assert table.rate("default", "pro") == Rate(100, 60)
    assert table.rate("messages", "pro") == Rate(30_000, 10)
    # never nothing
    assert table.rate("default", "slow") == Rate(1, 60)
    assert table.rate("party.write", "bot") is None
    assert table.rate("default", "bot") == Rate(20, 60)


@pytest.mark.parametrize("off", ["off", " OFF "])
def test_all_may_be_off(off: str) -> None:
    table = read_table(off, "pro=x5")
    assert not any(table.rate(action, "pro") for action in ACTIONS)


@pytest.mark.parametrize(
    "wrong",
    ["on", "default", "default=", "default=10", "default=0/60", "default=10/0", "default=-1/60", "x=10/60",
     "default=10/86401", "default=1.5/60", "default=10/60/60", "default=x5", "=10/60", "default==10/60"],
)  # fmt: skip
def test_a_limit_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_table(wrong)


@pytest.mark.parametrize(
    "wrong",
    ["off", "pro", "pro=5", "pro=x0", "pro=x-1", "pro=xyz", "=x5", "p o=x5", "pro:nothing=1/60",
     "pro:auth=1/60", "pro:default=x5", ":default=1/60"],
)  # fmt: skip
def test_a_plan_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_table(plans=wrong)


def test_users_and_addresses_never_share_a_key() -> None:
    """L3: an outside issuer may call a user what it likes."""
    names = ["ada", "@192.0.2.1", "#ada", "a" * 129, "a" * 130, "ada:default"]
    keys = [key_of_user(name) for name in names] + [key_of_address("192.0.2.1")]
    assert len(set(keys)) == len(keys)
    assert all(len(key) <= 128 for key in keys)


def test_the_headers_of_a_verdict() -> None:
    """L4"""
    rate = Rate(30, 60)
    assert rate_headers("rooms.create", rate, Verdict(True, 30, 29, 0, 59.2)) == {
        "RateLimit-Policy": '"rooms.create";q=30;w=60',
        "RateLimit": '"rooms.create";r=29;t=60',
    }
    error = refusal("rooms.create", rate, Verdict(False, 30, 0, 0.2, 59.2))
    assert error.headers["RateLimit"] == '"rooms.create";r=0;t=1'
    assert error.retry_after_s == 1
    assert str(error) == (
        "Too many requests of the kind rooms.create: 30 in 60 s are allowed. Try again in 1 s."
    )


def test_the_readme_tells_the_table_as_it_is() -> None:
    """One row for each action, with its limit and by whom it is counted."""
    told = []
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and " in " in cells[1] and cells[1].endswith(" s"):
            told.append(tuple(cells[:3]))
    assert told == [
        (f"`{one.name}`", f"{one.rate.limit} in {one.rate.window_s:g} s", one.who)
        for one in ACTIONS.values()
        if one.rate is not None
    ]
