"""Open sockets: warned, renewed, closed; and revoked while they come in."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from party.errors import BadFrame, KanvasError, Unauthenticated, Unavailable
from party.wire import encode_notice
from server.auth import LEEWAY_S, Identity
from server.identity.desk import Desk
from server.identity.revocations import Voidable
from server.identity.sessions import WARN_S, Sessions, Sitting
from server.identity.signal import (
    decode_token,
    encode_ending,
    encode_refused,
    encode_renewed,
    encode_token,
)

NOW = 1_800_000_000.0


class World:
    """A clock, sockets and what is revoked."""

    def __init__(self) -> None:
        self.now = NOW
        self.void: set[str] = set()
        self.sessions = Sessions(self.is_void, clock=lambda: self.now)

    def is_void(self, one: Voidable) -> bool:
        return bool(self.void & {one.token_id, one.session_id, one.user_id})

    def pass_s(self, seconds: float) -> None:
        """Turn as the task does, each second."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 1)
            self.sessions.turn()

    def sit(self, who: Identity, *, warned: bool = True) -> "tuple[Sitting, Wire]":
        wire = Wire()
        return self.sessions.open(who, wire, wire, wants_warning=warned), wire


class Wire:
    """A socket and its place, as far as sessions know them."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.ends: list[KanvasError] = []
        self.is_free = False

    def send(self, *messages: bytes) -> None:
        self.sent += messages

    def fail(self, error: KanvasError) -> None:
        self.ends.append(error)

    def free(self) -> None:
        self.is_free = True


def ada(lives_s: float = 600, token_id: str = "t1", **more: Any) -> Identity:
    return Identity(
        "ada",
        "Ada",
        False,
        datetime.fromtimestamp(NOW, UTC),
        datetime.fromtimestamp(NOW + lives_s, UTC),
        token_id=token_id,
        session_id=more.pop("session_id", "s1"),
        **more,
    )


def test_it_is_told_a_minute_before_and_closed_after() -> None:
    """I6."""
    world = World()
    _, wire = world.sit(ada(600))
    world.pass_s(600 - WARN_S - 2)
    assert wire.sent == []
    world.pass_s(4)
    assert wire.sent == [encode_ending(59)]
    world.pass_s(WARN_S + LEEWAY_S - 4)
    assert wire.ends == []
    world.pass_s(4)
    assert [one.close_code for one in wire.ends] == [4401]


def test_stock_clients_are_closed_without_a_word() -> None:
    """I6: they would not know what to do with a message of ours."""
    world = World()
    _, wire = world.sit(ada(100), warned=False)
    world.pass_s(100)
    assert (wire.sent, wire.ends) == ([], [])
    world.pass_s(LEEWAY_S + 2)
    assert wire.sent == []
    assert [one.close_code for one in wire.ends] == [4401]


def test_a_token_that_ends_soon_is_told_at_once() -> None:
    """I6."""
    world = World()
    _, wire = world.sit(ada(30))
    world.pass_s(2)
    assert wire.sent == [encode_ending(29)]


def test_a_renewed_socket_lives_on() -> None:
    """I6: and what it stood on before may be revoked without harm."""
    world = World()
    sitting, wire = world.sit(ada(100))
    assert world.sessions.renew(sitting, ada(1000, "t2", session_id="s2")) == 1000
    world.void |= {"s1", "t1"}
    world.sessions.close_void({"ada"})
    world.pass_s(900)
    assert wire.ends == []
    assert wire.sent == []
    world.pass_s(200)
    assert len(wire.sent) == 1
    assert len(wire.ends) == 1


def test_a_renewal_that_brings_no_time_is_not_asked_for_again() -> None:
    """I6: a sign-in at the provider may end with the token, whatever is renewed."""
    world = World()
    sitting, wire = world.sit(ada(100))
    world.pass_s(45)
    assert len(wire.sent) == 1
    assert world.sessions.renew(sitting, ada(100, "t2")) == 55
    world.pass_s(54)
    assert len(wire.sent) == 1
    assert wire.ends == []
    world.pass_s(10)
    assert len(wire.ends) == 1


def test_a_token_of_somebody_else_renews_nothing() -> None:
    """I6."""
    world = World()
    sitting, wire = world.sit(ada(100))
    with pytest.raises(Unauthenticated, match="somebody else"):
        world.sessions.renew(sitting, replace(ada(1000), user_id="eve"))
    world.void.add("t9")
    with pytest.raises(Unauthenticated):
        world.sessions.renew(sitting, ada(1000, "t9"))
    world.pass_s(110)
    assert len(wire.ends) == 1


def test_a_token_that_is_good_for_other_things_renews_nothing() -> None:
    """I6, U3: else a socket would go on drawing on a token that may not even read, when the one it was opened
    with is revoked, and an operator's for ever on a sign-in that is none."""
    world = World()
    plain, writes = ada(1000, "t2"), frozenset({"rooms:read", "rooms:write"})
    for opened, fresh in (
        (ada(100, scopes=writes), ada(1000, "t2", scopes=frozenset({"account:read"}))),
        (ada(100, scopes=writes), plain),
        (ada(100), ada(1000, "t2", scopes=writes)),
        (ada(100, is_admin=True), plain),
    ):
        sitting, wire = world.sit(opened)
        with pytest.raises(Unauthenticated, match="connect anew"):
            world.sessions.renew(sitting, fresh)
        world.pass_s(110)
        assert len(wire.ends) == 1
    sitting, _ = world.sit(ada(100))
    assert world.sessions.renew(sitting, ada(1000, "t2", is_admin=True)) == world.sessions.seconds_left(
        sitting
    )
    sitting, _ = world.sit(ada(100, scopes=writes))
    world.sessions.renew(sitting, ada(1000, "t2", scopes=writes))


def test_what_is_gone_costs_nothing() -> None:
    world = World()
    sitting, wire = world.sit(ada(100))
    sitting.free()
    sitting.free()
    assert wire.is_free
    assert world.sessions.renew(sitting, ada(1000)) == 100
    assert (len(world.sessions), world.sessions._wheel) == (0, {})
    world.pass_s(200)
    assert wire.ends == []


def test_a_jump_of_the_clock_is_survived() -> None:
    world = World()
    _, first = world.sit(ada(100))
    _, second = world.sit(replace(ada(10**7), user_id="bea"))
    world.now += 90_000
    world.sessions.turn()
    assert len(first.ends) == 1
    assert second.ends == []
    world.now -= 80_000
    world.sessions.turn()
    _, third = world.sit(ada(100_100))
    world.now += 90_000
    world.pass_s(120)
    assert len(third.ends) == 1


def test_revocation_finds_a_socket_that_is_coming_in() -> None:
    """I8: whether it is written before or after the socket is there."""
    world = World()
    world.void.add("t1")
    wire = Wire()
    with pytest.raises(Unauthenticated):
        world.sessions.open(ada(), wire, wire, wants_warning=True)
    assert wire.is_free
    assert len(world.sessions) == 0
    world.void.clear()
    _, wire = world.sit(ada())
    _, other = world.sit(ada(token_id="t2", session_id="s2"))
    world.void.add("s1")
    world.sessions.close_void({"ada", "nobody"})
    assert [one.close_code for one in wire.ends] == [4401]
    assert other.ends == []


def test_many_sockets_end_in_their_own_second() -> None:
    world = World()
    sockets = [world.sit(replace(ada(10 + number % 50), user_id=f"u{number}"))[1] for number in range(5000)]
    world.pass_s(30)
    ended = [wire for number, wire in enumerate(sockets) if wire.ends]
    assert 1000 < len(ended) < 2500
    world.pass_s(60)
    assert all(len(wire.ends) == 1 for wire in sockets)


# -- the desk ---------------------------------------------------------------------------------------


class SeatStandIn:
    """What a seat is told."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.has_left = False

    def receive(self, data: bytes) -> None:
        self.got.append(data)

    def drained(self) -> None:
        self.got.append(b"drained")

    def leave(self) -> None:
        self.has_left = True


async def desk_of(world: World, answer: Identity | Exception) -> tuple[Desk, SeatStandIn, Wire]:
    async def verify(token: str) -> Identity:
        await asyncio.sleep(0)
        if isinstance(answer, Exception):
            raise answer
        assert token == "fresh"
        return answer

    sitting, wire = world.sit(ada(100))
    seat = SeatStandIn()
    return Desk(seat, sitting, world.sessions, verify), seat, wire


async def calm() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_fresh_token_over_the_open_socket() -> None:
    """I6: everything else passes as it is."""
    world = World()
    desk, seat, wire = await desk_of(world, ada(500, "t2"))
    desk.receive(b"\x00\x02\x00")
    desk.drained()
    desk.receive(encode_token("fresh"))
    desk.receive(encode_token("fresh"))
    await calm()
    assert wire.sent == [encode_renewed(500)]
    assert seat.got == [b"\x00\x02\x00", b"drained"]
    desk.leave()
    assert seat.has_left


@pytest.mark.parametrize("error", [Unauthenticated("No."), Unavailable("Later.")])
async def test_a_renewal_that_fails_is_told_and_the_socket_stays(error: KanvasError) -> None:
    """I6."""
    world = World()
    desk, _, wire = await desk_of(world, error)
    desk.receive(encode_token("fresh"))
    await calm()
    assert wire.sent == [encode_refused(error.message)]
    assert wire.ends == []
    world.pass_s(110)
    assert len(wire.ends) == 1


async def test_who_has_the_answer_may_send_the_next_at_once() -> None:
    """I6: none is lost that came after the answer to the one before."""
    world = World()
    desk, _, wire = await desk_of(world, Unauthenticated("No."))
    send = wire.send

    def send_and_hear(*messages: bytes) -> None:
        send(*messages)
        if len(wire.sent) == 1:
            desk.receive(encode_token("fresh"))

    wire.send = send_and_hear  # type: ignore[method-assign]
    desk.receive(encode_token("fresh"))
    await calm()
    assert wire.sent == [encode_refused("No.")] * 2


async def test_a_socket_that_leaves_takes_its_renewal_along() -> None:
    world = World()
    desk, _, wire = await desk_of(world, ada(500, "t2"))
    desk.receive(encode_token("fresh"))
    desk.leave()
    await calm()
    assert wire.sent == []


@pytest.mark.parametrize(
    "message", [b"\x40", b"\x40\x01", b"\x40\x00\x05ab", b"\x40\x00\x01a!", b"\x40\x00\x01\xff"]
)
async def test_what_is_no_such_message_costs_its_sender(message: bytes) -> None:
    """W1: 4400."""
    world = World()
    desk, _, wire = await desk_of(world, ada())
    desk.receive(message)
    assert [type(one) for one in wire.ends] == [BadFrame]


def test_the_messages() -> None:
    """I6: the bytes our client reads and writes (static/tests/app/signal.test.ts has the same)."""
    assert encode_ending(58) == bytes((64, 0, 58))
    assert encode_renewed(86400) == bytes((64, 1, 0x80, 0xA3, 0x05))
    assert encode_refused("No.") == b"\x40\x02\x03No."
    assert decode_token(encode_token("a.b.c")) == "a.b.c"
    assert encode_notice("x")[0] != 64


def test_a_revoked_user_of_long_ago() -> None:
    """I7: whoever signs in afterwards is in."""
    world = World()
    world.void.add("s1")
    fresh = replace(ada(), issued_at=datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=1), session_id="s2")
    world.sit(fresh)
    assert len(world.sessions) == 1


def test_a_clock_that_was_far_ahead_for_a_while() -> None:
    """I6: set right again the clock counts: who comes then, and who was there, is told and closed."""
    world = World()
    world.now += 86_400
    world.sessions.turn()
    _, come_meanwhile = world.sit(ada(lives_s=86_400 + 120))
    world.now = NOW
    world.sessions.turn()
    _, come_after = world.sit(ada(lives_s=120))
    world.pass_s(120 - WARN_S + 2)
    assert come_after.sent == [encode_ending(int(WARN_S) - 1)]
    world.pass_s(WARN_S + LEEWAY_S + 2)
    assert [error.close_code for error in come_after.ends] == [4401]
    assert come_meanwhile.ends == []
    world.pass_s(86_400)
    assert [error.close_code for error in come_meanwhile.ends] == [4401]


def test_a_socket_that_fails_costs_no_other_its_end() -> None:
    """I6."""

    class Broken(Wire):
        def fail(self, error: KanvasError) -> None:
            super().fail(error)
            raise RuntimeError("broken")

    world = World()
    wires = [Broken() for _ in range(3)]
    for wire in wires:
        world.sessions.open(ada(lives_s=10), wire, wire, wants_warning=False)
    world.pass_s(10 + LEEWAY_S + 2)
    assert [len(wire.ends) for wire in wires] == [1, 1, 1]
