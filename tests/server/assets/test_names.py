"""Names of files from outside, and the keys made of them."""

import pytest
from pydantic_core import PydanticCustomError

from server.assets.names import (
    check_filename,
    default_filename,
    make_disposition,
    make_key,
    make_rendition_key,
    rename_for,
    tame_filename,
)
from server.blobs.base import check_key

ULID = "01kf3w9d2rj4x0v7c8m5qh6t1b"
STRANGE = (
    "../../etc/passwd",
    "..\\..\\boot.ini",
    "/absolute",
    "a\x00b.png",
    "\u202egnp.exe",
    "",
    ".",
    "..",
    ".hidden",
    "con",
    "aux.png",
    "x" * 5000,
    "\ud83d",
    "Straße 7 (alt).PNG",
    "写真.jpeg",
    'quote".png',
    "a;b=c.png",
    "line\r\nSet-Cookie: a=b.png",
    "%2e%2e%2f.png",
    "🙂" * 100,
)


@pytest.mark.parametrize("number", range(len(STRANGE)))
@pytest.mark.parametrize("user_id", ["01kf3w9d2rj4x0v7c8m5qh6t1b", "auth0|1", "../x", "con", "ä" * 200, ""])
def test_a_key_is_a_key_whatever_the_name(number: int, user_id: str) -> None:
    key = make_key(user_id, ULID, STRANGE[number], "image/png")
    check_key(key, is_new=True)
    folder, user, name = key.split("/")
    assert folder == "images"
    assert user
    assert name.startswith(f"{ULID}-")
    assert name.endswith(".png")
    assert len(key) < 250
    check_key(make_rendition_key(key, "thumb", "image/webp"), is_new=True)


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_a_header_is_one_line_of_ascii(number: int) -> None:
    for is_inline in (True, False):
        told = make_disposition(STRANGE[number].encode(errors="replace").decode(), is_inline=is_inline)
        assert told.isascii()
        assert told.isprintable()
        plain = told.split("; filename=")[1].split("; filename*")[0]
        assert plain[0] == plain[-1] == '"'
        assert not set(plain[1:-1]) & set('"\\')


@pytest.mark.parametrize("number", range(len(STRANGE)))
def test_a_tamed_name_passes_the_check(number: int) -> None:
    name = tame_filename(STRANGE[number], "fallback.png")
    assert check_filename(name) == name
    assert 0 < len(name) <= 200


@pytest.mark.parametrize("name", ["a/b", "a\\b", "..", ".", "a\nb", " "])
def test_folders_and_nothing_are_refused(name: str) -> None:
    with pytest.raises(PydanticCustomError):
        check_filename(name)


@pytest.mark.parametrize(
    ("name", "after", "renamed"),
    [
        ("IMG_1.HEIC", "image/jpeg", "IMG_1.jpg"),
        ("no ending", "image/jpeg", "no ending.jpg"),
        ("IMG_1.HEIC", "image/heic", "IMG_1.HEIC"),
        (".HEIC", "image/webp", ".HEIC.webp"),
        ("x" * 200, "image/webp", "x" * 195 + ".webp"),
    ],
)
def test_what_was_stored_as_another_type_is_called_so(name: str, after: str, renamed: str) -> None:
    assert rename_for(name, "image/heic", after) == renamed
    assert default_filename("ab" * 32, after).startswith("image-abababab.")
