"""Tokens and passwords, of which only hashes are kept."""

from server.sealed import check_password, hash_password, hash_token, is_token, make_token


def test_a_token_is_found_by_its_hash_and_no_other() -> None:
    token, kept = make_token("kanvas_x_")
    other, _ = make_token("kanvas_x_")
    assert token.startswith("kanvas_x_")
    assert len(token) == len("kanvas_x_") + 43
    assert kept == hash_token(token)
    assert is_token(token, kept)
    assert not is_token(other, kept)
    assert token.encode() not in kept


def test_a_password_is_salted_and_checked() -> None:
    kept = hash_password("pässword \N{WAVING HAND SIGN}")
    assert kept != hash_password("pässword \N{WAVING HAND SIGN}")
    assert check_password("pässword \N{WAVING HAND SIGN}", kept)
    assert not check_password("password", kept)
    assert kept.startswith("scrypt$14$8$1$")
