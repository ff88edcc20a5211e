"""party.quarantine with a clock in the hand: who is held, for how long, and who is not."""

from dataclasses import replace

import pytest

from party.errors import Quarantined, RoomHeld
from party.quarantine import (
    CARE_S,
    FIRST_S,
    MANY_CLIENTS,
    MANY_IDS,
    MOST_HOLDS,
    MOST_S,
    QUIET_S,
    Crash,
    Quarantine,
    Reason,
    hold_s,
)

NOW = 1_800_000_000.0


def crash(
    at: float = NOW,
    user_id: str | None = "mallory",
    client_ids: tuple[int, ...] = (7,),
    *,
    reason: Reason = "hung",
    is_exact: bool = True,
    room_id: str = "r",
) -> Crash:
    stage = "load" if user_id is None else "edit"
    return Crash(at, reason, stage, room_id, user_id, client_ids, is_exact)  # type: ignore[arg-type]


def is_held(quarantine: Quarantine, at: float, user_id: str = "mallory", client_id: int = 7) -> bool:
    try:
        quarantine.check("r", user_id, {client_id: 1}, at)
    except Quarantined:
        return True
    return False


def test_the_client_that_was_in_hand_is_held_and_nobody_else() -> None:
    """Q3, Q4: by room, principal and client id."""
    quarantine = Quarantine()
    quarantine.blame(crash())
    assert is_held(quarantine, NOW + 1)
    assert not is_held(quarantine, NOW + 1, client_id=8), "a fresh client id goes on"
    assert not is_held(quarantine, NOW + 1, user_id="ada"), "so does somebody who relays its structs"
    quarantine.check("other", "mallory", (7,), NOW + 1)
    quarantine.check_entry("r", "mallory", NOW + 1)
    assert not quarantine.is_careful("r", NOW + 1)


def test_a_hold_doubles_up_to_a_day() -> None:
    """Q4: 30 s, a minute, two, ...; a client that comes back at once is held longer each time."""
    quarantine = Quarantine()
    now, held = NOW, []
    for _ in range(16):
        (hold,) = quarantine.blame(crash(now))
        held.append(hold.until - now)
        assert is_held(quarantine, hold.until - 0.1)
        assert not is_held(quarantine, hold.until)
        now = hold.until
    assert held[:5] == [30, 60, 120, 240, 480]
    assert held[-3:] == [MOST_S] * 3
    assert hold_s(10_000) == MOST_S


def test_a_quiet_day_forgets_it() -> None:
    """Q4: counted from the end of the hold."""
    quarantine = Quarantine()
    quarantine.blame(crash())
    ended = NOW + FIRST_S
    assert [hold.strikes for hold in quarantine.holds(ended + QUIET_S - 1)] == [1]
    assert [hold.strikes for hold in quarantine.blame(crash(ended + QUIET_S - 1))] == [2]
    again = ended + QUIET_S - 1 + 2 * FIRST_S + QUIET_S
    assert [hold.strikes for hold in quarantine.blame(crash(again))] == [1]
    assert quarantine.holds(again + FIRST_S + QUIET_S) == []


def test_one_of_several_holds_nobody_but_the_next_is_named() -> None:
    """Q3: the room takes one edit at a time for a while."""
    quarantine = Quarantine()
    (hold,) = quarantine.blame(crash(is_exact=False))
    assert (hold.kind, hold.user_id, hold.client_id) == ("care", None, None)
    assert not is_held(quarantine, NOW + 1)
    quarantine.check_entry("r", "mallory", NOW + 1)
    assert quarantine.is_careful("r", NOW + CARE_S - 1)
    assert not quarantine.is_careful("r", NOW + CARE_S)
    assert not quarantine.is_careful("other", NOW)


def test_a_kill_from_outside_needs_a_second_one() -> None:
    """Q3: an operator's kill -9 blames nobody; want of memory comes again."""
    quarantine = Quarantine()
    assert [hold.kind for hold in quarantine.blame(crash(reason="killed"))] == ["care"]
    assert not is_held(quarantine, NOW + 1)
    assert [hold.kind for hold in quarantine.blame(crash(NOW + 5, reason="killed"))] == ["client"]
    assert is_held(quarantine, NOW + 6)
    late = NOW + 5 + CARE_S + 1
    assert [hold.kind for hold in quarantine.blame(crash(late, reason="killed"))] == ["care"]


def test_without_a_client_id_it_is_the_principal() -> None:
    """Q3: a pure deletion advances no id; an update that can't be walked has none yet."""
    quarantine = Quarantine()
    (hold,) = quarantine.blame(crash(client_ids=()))
    assert (hold.kind, hold.client_id) == ("user", None)
    assert is_held(quarantine, NOW + 1, client_id=1)
    with pytest.raises(Quarantined):
        quarantine.check("r", "mallory", (), NOW + 1)
    with pytest.raises(Quarantined, match="come back"):
        quarantine.check_entry("r", "mallory", NOW + 1)
    quarantine.check_entry("r", None, NOW + 1)
    assert not is_held(quarantine, NOW + 1, user_id="ada")


def test_client_after_client_is_the_principal() -> None:
    """Q3: whoever takes a fresh id for each attack runs out of them; one edit with many ids is one attack."""
    quarantine = Quarantine()
    assert len(quarantine.blame(crash(NOW, client_ids=tuple(range(100, 140))))) == 40
    for n in range(1, MANY_CLIENTS - 1):
        assert [hold.kind for hold in quarantine.blame(crash(NOW + n, client_ids=(n,)))] == ["client"]
    last = NOW + MANY_CLIENTS
    assert [hold.kind for hold in quarantine.blame(crash(last, client_ids=(50,)))] == ["client", "user"]
    assert is_held(quarantine, last + 1, client_id=999)


def test_a_room_that_can_not_be_opened() -> None:
    """Q6: it says when; the others are open."""
    quarantine = Quarantine()
    (hold,) = quarantine.blame(crash(user_id=None, client_ids=()))
    assert hold.kind == "room"
    with pytest.raises(RoomHeld, match="UTC") as held:
        quarantine.check_entry("r", "ada", NOW + 10)
    assert held.value.retry_after_s == FIRST_S - 10
    assert held.value.retry
    quarantine.check_entry("other", "ada", NOW + 10)
    quarantine.check_entry("r", "ada", NOW + FIRST_S)


def test_told_twice_it_counts_once() -> None:
    """Q3: a worker that was killed while it took a crash in takes it in again."""
    quarantine = Quarantine()
    quarantine.blame(crash())
    assert [hold.strikes for hold in quarantine.blame(crash())] == [1]
    again = Quarantine(replace(hold, last_at=hold.last_at - 5e-7) for hold in quarantine.holds(NOW))
    assert [hold.strikes for hold in again.blame(crash())] == [1]
    assert [hold.strikes for hold in again.blame(crash(NOW + 1))] == [2]


def test_a_hold_is_lifted_at_once_and_with_its_strikes() -> None:
    """Q7: by its id, which is the same in every process."""
    quarantine = Quarantine()
    (hold,) = quarantine.blame(crash())
    assert quarantine.lift("no such") is None
    assert quarantine.lift(hold.id) == hold
    assert not is_held(quarantine, NOW + 1)
    assert quarantine.holds(NOW + 1) == []
    (again,) = quarantine.blame(crash(NOW + 2))
    assert (again.id, again.strikes) == (hold.id, 1)


def test_the_list_is_bounded() -> None:
    """Q4: what ends first goes first."""
    quarantine = Quarantine()
    for n in range(MOST_HOLDS + 10):
        quarantine.blame(crash(NOW + n, room_id=f"r{n}"))
    holds = quarantine.holds(NOW)
    assert len(holds) == MOST_HOLDS
    assert {"r0", f"r{MOST_HOLDS + 9}"} & {hold.room_id for hold in holds} == {f"r{MOST_HOLDS + 9}"}


def test_an_edit_with_thousands_of_ids_is_one_hold() -> None:
    """Q3, Q4: 2,000 ids in 20 KB made 2,000 holds, and every other one was forgotten for them."""
    quarantine = Quarantine()
    quarantine.blame(crash(user_id=None, client_ids=(), room_id="closed"))
    changed = quarantine.blame(crash(client_ids=tuple(range(2_000))))
    assert [hold.kind for hold in changed] == ["user"]
    assert is_held(quarantine, NOW + 1, client_id=5_000)
    with pytest.raises(RoomHeld):
        quarantine.check_entry("closed", None, NOW + 1)
    few = quarantine.blame(crash(room_id="few", client_ids=tuple(range(MANY_IDS))))
    assert [hold.kind for hold in few] == ["client"] * MANY_IDS


def test_a_client_id_drives_out_no_room_and_no_user() -> None:
    """Q4, Q6: client ids are for free, so they are forgotten first, whatever ends first."""
    quarantine = Quarantine()
    quarantine.blame(crash(user_id=None, client_ids=(), room_id="closed"))
    quarantine.blame(crash(client_ids=(), room_id="user"))
    quarantine.blame(crash(is_exact=False, room_id="care"))
    for n in range(3 * MOST_HOLDS):
        quarantine.blame(crash(NOW + n / 1_000, f"u{n}", room_id="r"))
    kinds = [hold.kind for hold in quarantine.holds(NOW)]
    assert len(kinds) == MOST_HOLDS
    assert sorted(set(kinds)) == ["care", "client", "room", "user"]
    for n in range(MOST_HOLDS):
        quarantine.blame(crash(NOW + 10 + n / 1_000, None, (), room_id=f"r{n}"))
    holds = quarantine.holds(NOW)
    assert len(holds) == MOST_HOLDS
    assert f"r{MOST_HOLDS - 1}" in {hold.room_id for hold in holds}
    assert quarantine.blame(crash(NOW + 20))[0].kind == "client"
    assert {hold.kind for hold in quarantine.holds(NOW)} <= {"care", "room", "user"}


def test_what_ends_first_is_found_without_a_search() -> None:
    """Q4: the heap keeps what is live, however often a hold is struck again or lifted."""
    quarantine = Quarantine()
    for n in range(10 * MOST_HOLDS):
        (hold, *_) = quarantine.blame(crash(NOW + n, f"u{n % 5}", room_id=f"r{n % 7}"))
        if n % 3 == 0:
            quarantine.lift(hold.id)
    assert sum(map(len, quarantine._ends.values())) <= 8 * MOST_HOLDS
    assert len(quarantine.holds(NOW)) <= 70


def test_the_words_fit_into_a_close_frame() -> None:
    """Q4: 123 bytes of UTF-8."""
    quarantine = Quarantine()
    quarantine.blame(crash())
    quarantine.blame(crash(client_ids=(), room_id="u"))
    quarantine.blame(crash(user_id=None, client_ids=(), room_id="x"))
    for room_id in ("r", "u"):
        with pytest.raises(Quarantined) as refused:
            quarantine.check(room_id, "mallory", (7,), NOW)
        assert len(refused.value.message.encode()) <= 123
        assert not refused.value.retry
    with pytest.raises(RoomHeld) as held:
        quarantine.check_entry("x", "ada", NOW)
    assert len(held.value.message.encode()) <= 123
