"""Keys and the cipher of rows: what opens where, and what is told when it does not."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from db.cipher import DataKey, Plain, Slot
from db.errors import Damaged, KeyMissing
from server.vault import cipher as cipher_module
from server.vault.cipher import VaultCipher
from server.vault.keys import make_key, unwrap

NOW = datetime(2026, 11, 20, tzinfo=UTC)
MASTERS = {"a": b"a" * 32, "b": b"b" * 32}
SLOT = Slot("update", "room", 1, 7)


def two_keys() -> list[DataKey]:
    old = make_key(MASTERS, NOW)._replace(retired_at=NOW)
    return [old, make_key({"b": MASTERS["b"]}, NOW + timedelta(seconds=1))]


def test_what_is_sealed_opens_in_its_own_place_only() -> None:
    """Z2: every part of the place counts, and nothing can be moved between the parts."""
    key = make_key(MASTERS, NOW)
    cipher = VaultCipher(MASTERS, [key])
    sealed = cipher.seal(key.id, SLOT, b"secret")
    assert cipher.open(key.id, SLOT, sealed) == b"secret"
    assert b"secret" not in sealed
    assert cipher.seal(key.id, SLOT, b"secret") != sealed
    for slot in (
        SLOT._replace(kind="state"),
        SLOT._replace(room_id="other"),
        SLOT._replace(epoch=2),
        SLOT._replace(seq=8),
        Slot("update", "7\nroom", 1, 1),
        Slot("update", "room", 17, 7),
    ):
        with pytest.raises(Damaged):
            cipher.open(key.id, slot, sealed)


def test_any_changed_bit_and_any_cut_is_noticed() -> None:
    """Z2."""
    key = make_key(MASTERS, NOW)
    cipher = VaultCipher(MASTERS, [key])
    sealed = cipher.seal(key.id, SLOT, b"secret")
    for at in range(len(sealed)):
        with pytest.raises(Damaged):
            cipher.open(key.id, SLOT, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        with pytest.raises(Damaged):
            cipher.open(key.id, SLOT, sealed[:at])


def test_the_newest_key_seals_and_all_open() -> None:
    """Z1."""
    old, new = two_keys()
    before = VaultCipher(MASTERS, [old._replace(retired_at=None)])
    sealed = before.seal(old.id, SLOT, b"then")
    cipher = VaultCipher(MASTERS, [old, new])
    assert cipher.key_id == new.id
    assert cipher.ids == (new.id, old.id)
    assert cipher.open(old.id, SLOT, sealed) == b"then"
    with pytest.raises(Damaged):
        cipher.open(new.id, SLOT, sealed)


def test_without_its_master_key_a_key_seals_and_opens_nothing() -> None:
    """Z3: and says which is missing."""
    old, new = two_keys()
    cipher = VaultCipher({"a": MASTERS["a"]}, [old, new])
    assert cipher.key_id == new.id
    for attempt in (cipher.seal, cipher.open):
        with pytest.raises(KeyMissing, match=f"{new.id} is wrapped with the master key b"):
            attempt(new.id, SLOT, b"x" * 40)
    assert set(cipher.failures) == {new.id}
    for attempt in (Plain().seal, Plain().open):
        with pytest.raises(KeyMissing):
            attempt(new.id, SLOT, b"x" * 40)


def test_another_master_key_of_the_same_name_is_told() -> None:
    """Z8."""
    key = make_key(MASTERS, NOW)
    with pytest.raises(KeyMissing, match="is another than the one that wrapped"):
        unwrap({"a": b"z" * 32}, key)
    # a wrapped key is bound to its id: rows of data_keys can't be swapped
    with pytest.raises(KeyMissing):
        unwrap(MASTERS, key._replace(id="00000000"))
    with pytest.raises(KeyMissing):
        unwrap(MASTERS, key._replace(master_id="b"))


def test_a_key_that_was_removed_is_remembered_by_who_writes_with_it() -> None:
    """Z4: a file that was on its way is sealed again with the next one."""
    old, new = two_keys()
    cipher = VaultCipher(MASTERS, [old])
    sealed = cipher.seal(old.id, SLOT, b"then")
    cipher.learn([new])
    assert cipher.ids == (new.id,)
    assert cipher.open(old.id, SLOT, sealed) == b"then"
    with pytest.raises(KeyMissing, match="no data key"):
        VaultCipher(MASTERS, [new]).open(old.id, SLOT, sealed)


def test_keys_of_rooms_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cipher_module, "MOST_ROOM_KEYS", 3)
    key = make_key(MASTERS, NOW)
    cipher = VaultCipher(MASTERS, [key])
    slots = [SLOT._replace(room_id=f"r{number}") for number in range(10)]
    sealed = [cipher.seal(key.id, slot, b"x") for slot in slots]
    assert [cipher.open(key.id, *one) for one in zip(slots, sealed, strict=True)] == [b"x"] * 10
    assert len(cipher._room_keys) <= 3
    for one, other in itertools.permutations(range(3), 2):
        with pytest.raises(Damaged):
            cipher.open(key.id, slots[one], sealed[other])
