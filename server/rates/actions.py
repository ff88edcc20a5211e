"""The table of actions: what is counted, how often it may be done, and what an operator says about it.

Owns: the names of actions and their rates, which operation is which action, reading KANVAS_RATE_LIMITS and
KANVAS_RATE_PLANS. Does not own: counting, who is counted. No I/O. Keeps rules L2, L6.

The rates are far above what a person does with our client. Its busiest minute (the test of the same words):
twenty rooms opened (40 reads, 20 bases, 20 joins), 50 images dropped (at most 250 calls) and shown (150
reads), 45 comments written, lists that are looked at, a session that is renewed. A drawing page sends 20
states of presence and 10 updates a second, less than a tenth of what a connection may.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from server.rates.base import Rate

MINUTE_S: Final = 60

Who = Literal["user", "address", "connection", "link", "mailbox"]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that is counted, by whom it is counted."""

    name: str
    rate: Rate | None
    who: Who = "user"
    is_auth: bool = False
    """Refused when Redis is away, where everything else is counted by each process alone."""


def _a_minute(name: str, limit: int, who: Who = "user", *, is_auth: bool = False) -> Action:
    return Action(name, Rate(limit, MINUTE_S), who, is_auth)


DEFAULT: Final = "default"
AUTH: Final = "auth"
AUTH_EMAIL: Final = "auth.email"
AUTH_MAILBOX: Final = "auth.mailbox"
AUTH_FAILED: Final = "auth.failed"
CONNECT: Final = "connect"
COMMENTS: Final = "comments"
TOKENS: Final = "tokens"
JOIN: Final = "join"
MESSAGES: Final = "messages"
BYTES: Final = "bytes"
MAILED: Final = "sharing.mail"
UNLOCK: Final = "sharing.password"
GUESS: Final = "sharing.guess"

ACTIONS: Final[Mapping[str, Action]] = {
    one.name: one
    for one in (
        # whatever has no name of its own
        _a_minute(DEFAULT, 10),
        _a_minute("read", 1200),
        # a room of 2,000 pictures that opens asks for each
        _a_minute("assets.read", 6000),
        _a_minute("assets.upload", 600),
        _a_minute("assets.parts", 2400),
        _a_minute("assets.import", 60),
        _a_minute("rooms.create", 30),
        _a_minute("rooms.change", 120),
        # going through a drawing, somebody writes, answers and closes dozens
        _a_minute(COMMENTS, 120),
        _a_minute("party.read", 600),
        _a_minute("party.write", 600),
        _a_minute(TOKENS, 60),
        _a_minute("sharing", 120),
        Action("sharing.invite", Rate(100, 3600)),
        # guests cost nothing, mails are in the name of the server
        Action(MAILED, Rate(200, 3600), "address"),
        _a_minute("sharing.look", 300, "address"),
        _a_minute("sharing.enter", 60),
        # each costs 50 ms and 16 MiB; a class behind one address enters when the lesson begins
        Action(UNLOCK, Rate(100, 600), "address"),
        Action(GUESS, Rate(1000, 3600), "link"),
        # each is read in a process of its own
        _a_minute("document", 30),
        _a_minute("admin", 300),
        # one address may be a school or an office: everybody signs in when the lesson begins, and everybody
        # comes back when the server restarts
        _a_minute(AUTH, 300, "address", is_auth=True),
        # a class that asks for its links at once; and nobody's mailbox is filled, from however many addresses
        _a_minute(AUTH_EMAIL, 60, "address", is_auth=True),
        Action(AUTH_MAILBOX, Rate(6, 15 * MINUTE_S), "mailbox", is_auth=True),
        # not for lack of Redis: a wrong token is refused either way
        _a_minute(AUTH_FAILED, 300, "address"),
        _a_minute(CONNECT, 6000, "address"),
        _a_minute(JOIN, 600),
        Action(MESSAGES, Rate(6000, 10), "connection"),
        Action(BYTES, Rate(80 * 1024 * 1024, 10), "connection"),
    )
}

OPERATIONS: Final[Mapping[str, str]] = {
    "create_room": "rooms.create",
    "change_room": "rooms.change",
    "delete_room": "rooms.change",
    "restore_room": "rooms.change",
    "change_member": "sharing",
    "remove_room_member": "sharing",
    "transfer_room": "sharing",
    "invite": "sharing.invite",
    "withdraw_invitation": "sharing",
    "decline_invitation": "sharing",
    "accept_invitation": "sharing.enter",
    "accept_mailed_invitation": "sharing.enter",
    "look_at_invitation": "sharing.look",
    "make_link": "sharing",
    "revoke_room_link": "sharing",
    "look_at_link": "sharing.look",
    "redeem_link": "sharing.enter",
    "export_document": "document",
    "export_room_audit": "document",
    "export_all_audit": "document",
    "export_my_audit": "document",
    "announce_asset": "assets.upload",
    "put_asset": "assets.upload",
    "list_parts": "assets.parts",
    "sign_parts": "assets.parts",
    "complete_upload": "assets.parts",
    "cancel_upload": "assets.parts",
    "import_asset": "assets.import",
    "read_room_asset": "assets.read",
    "read_asset": "assets.read",
    "read_state": "party.read",
    "read_base": "party.read",
    "apply_update": "party.write",
    "ask_link": AUTH_EMAIL,
    "rename_me": DEFAULT,
    "create_thread": COMMENTS,
    "change_thread": COMMENTS,
    "delete_thread": COMMENTS,
    "create_reply": COMMENTS,
    "change_comment": COMMENTS,
    "delete_comment": COMMENTS,
    # as often as somebody opens a thread
    "read_thread": "read",
    "make_personal_token": TOKENS,
    "revoke_personal_token": TOKENS,
    # nobody has to stay signed in because Redis is away, or because of what was done before
    "sign_out": "read",
    "sign_out_everywhere": "read",
    "end_my_session": "read",
}
"""Operation to action; what is not here goes by its tag and its method."""

EXEMPT_TAGS: Final = frozenset({"server"})
"""Health, metrics, configuration, this document: cheap, and asked for by machines."""

EXEMPT: Final = frozenset({"put_blob", "read_blob"})
"""Signed addresses: each was counted when it was signed, and a page loads hundreds."""


def action_name(operation: str, tag: str, method: str, *, needs_user: bool) -> str | None:
    """What an operation is counted as; None when it is not."""
    if operation in EXEMPT or tag in EXEMPT_TAGS:
        return None
    if operation in OPERATIONS:
        return OPERATIONS[operation]
    if tag == "admin":
        return "admin"
    # before anybody is known there is nothing to count by but the address, and nothing to do but sign in
    if not needs_user:
        return AUTH
    return "read" if method == "GET" else DEFAULT


@dataclass(frozen=True, slots=True)
class Table:
    """The rates in force. Make one with `read_table`."""

    rates: Mapping[str, Rate | None]
    """Action to rate; None is not limited."""

    factors: Mapping[str, float] = field(default_factory=dict)
    """Plan to what its rates are multiplied with."""

    plans: Mapping[tuple[str, str], Rate | None] = field(default_factory=dict)
    """Plan and action to a rate of its own."""

    def rate(self, action: str, plan: str = "") -> Rate | None:
        """The rate of an action for who has this plan; an unknown plan is none."""
        if (plan, action) in self.plans:
            return self.plans[plan, action]
        rate = self.rates[action]
        factor = self.factors.get(plan)
        if rate is None or factor is None:
            return rate
        return Rate(max(1, int(rate.limit * factor)), rate.window_s)


NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
RATE: Final = re.compile(r"([0-9]{1,12})/([0-9]{1,5})")
FACTOR: Final = re.compile(r"x([0-9]{1,6}(\.[0-9]{1,3})?)")


def read_table(limits: str = "", plans: str = "") -> Table:
    """The table with an operator's changes. Raises ValueError with the part that is wrong.

    `limits` is "off", or `action=limit/seconds` and `action=off`, separated by commas. `plans` is
    `plan=x5` for all actions of a user, and `plan:action=limit/seconds` or `plan:action=off` for one.
    """
    rates = {name: action.rate for name, action in ACTIONS.items()}
    if limits.strip().lower() == "off":
        return Table(dict.fromkeys(rates))
    for name, value in _parts(limits):
        if name not in ACTIONS:
            raise ValueError(f"no action is called {name}")
        rates[name] = _rate(value)
    factors: dict[str, float] = {}
    own: dict[tuple[str, str], Rate | None] = {}
    for name, value in _parts(plans):
        plan, colon, action = name.partition(":")
        if not NAME.fullmatch(plan):
            raise ValueError(f"{plan} is no name of a plan")
        if not colon:
            factor = FACTOR.fullmatch(value)
            if factor is None or float(factor[1]) == 0:
                raise ValueError(f"{value} is no factor")
            factors[plan] = float(factor[1])
        elif action not in ACTIONS or ACTIONS[action].who in ("address", "link", "mailbox"):
            # who has no token has no plan
            raise ValueError(f"no action of a user is called {action}")
        else:
            own[plan, action] = _rate(value)
    return Table(rates, factors, own)


def _parts(text: str) -> list[tuple[str, str]]:
    found = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{part} says nothing")
        found.append((name.strip(), value.strip()))
    return found


def _rate(value: str) -> Rate | None:
    if value.lower() == "off":
        return None
    given = RATE.fullmatch(value)
    if given is None or int(given[1]) == 0 or not 1 <= int(given[2]) <= 86_400:
        raise ValueError(f"{value} is no rate")
    return Rate(int(given[1]), int(given[2]))
