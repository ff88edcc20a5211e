"""Which URLs are taken, where redirects lead, and what a file is called."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.imports.names import MAX_NAME_CHARS, file_name
from server.imports.urls import follow, read_url
from server.problems import ImportFailed, ImportUrlInvalid


@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("https://example.org/a.png", "example.org", b"/a.png"),
        (" HTTPS://Example.ORG.:443/a?b=c#d ", "example.org", b"/a?b=c"),
        ("http://example.org", "example.org", b"/"),
        ("http://example.org:443", "example.org:443", b"/"),
        ("http://example.org:8080/ä b", "example.org:8080", b"/%C3%A4%20b"),
        ("http://bücher.example/", "xn--bcher-kva.example", b"/"),
        ("http://1.2.3.4/", "1.2.3.4", b"/"),
        ("http://[2606:4700::1]:8080/", "[2606:4700::1]:8080", b"/"),
        ("http://my_cdn.example/", "my_cdn.example", b"/"),
        ("http://127。0。0。1/", "127.0.0.1", b"/"),
        ("http://localhost/%0d%0aX", "localhost", b"/%0d%0aX"),
    ],
)
def test_what_is_taken_and_what_is_sent(url: str, authority: str, target: bytes) -> None:
    place = read_url(url)
    assert (place.authority, place.target) == (authority, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.org/a",
        "gopher://example.org:6379/_x",
        "data:image/png;base64,AA",
        "javascript:alert(1)",
        "//example.org/a",
        "http:///a",
        "http:example.org",
        "http://user@example.org/",
        "http://user:word@example.org/",
        "http://good.example\\@127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.01/",
        "http://1.2.3.4.5/",
        "http://a.0x/",
        "http://１２７.0.0.1/",
        "http://127%2e0.0.1/",
        "http://[::1%25lo]/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://a b/",
        "http://a\r\nX: y/",
        "http://a\x00/",
        "http://-a.example/",
        "http://a..example/",
        "http://.../",
        f"http://{'a' * 64}.example/",
        f"http://{'a.' * 130}example/",
        "http://example.org:0/",
        "http://example.org:22/",
        "http://example.org:25/",
        "http://example.org:6000/",
        "http://example.org:65536/",
        "http://example.org:x/",
        "http://example.org/" + "a" * 9000,
    ],
)
def test_what_is_refused(url: str) -> None:
    with pytest.raises(ImportUrlInvalid):
        read_url(url)


@settings(max_examples=100)
@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://[", "//"]))
def test_any_text_is_a_place_or_refused(text: str, before: str) -> None:
    try:
        place = read_url(before + text)
    except ImportUrlInvalid:
        return
    assert place.authority.isascii()
    assert place.target.startswith(b"/")
    assert not set(place.authority.encode() + place.target) & set(b" \r\n\t\0")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (b"b.png", "https://example.org/dir/b.png"),
        (b"/b.png", "https://example.org/b.png"),
        (b"//other.example/x", "https://other.example/x"),
        (b"https://other.example/x?y#z", "https://other.example/x?y"),
        ("/ü".encode(), "https://example.org/%C3%BC"),
    ],
)
def test_where_a_redirect_leads(location: bytes, expected: str) -> None:
    assert follow(read_url("https://example.org/dir/a.png"), location).url == expected


@pytest.mark.parametrize(
    "location", [b"ftp://x/", b"http://a:b@x/", b"https://2130706433/", b"\xff\xfe", b"/" + b"a" * 9000]
)
def test_a_redirect_is_read_like_the_first_address(location: bytes) -> None:
    with pytest.raises(ImportUrlInvalid):
        follow(read_url("https://example.org/"), location)


def test_no_redirect_leads_from_https_to_http() -> None:
    with pytest.raises(ImportFailed, match="from https to http"):
        follow(read_url("https://example.org/"), b"http://example.org/")
    assert follow(read_url("http://example.org/"), b"https://example.org/").scheme == "https"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b"attachment; filename=a.png", "a.png"),
        (b'attachment; filename="a \\"b\\".png"', 'a "b".png'),
        (b"inline; filename=a.png; filename*=UTF-8''%C3%BC.png", "ü.png"),
        (b"inline; filename*=iso-8859-1'en'%FC.png; filename=a.png", "ü.png"),
        (b"inline; filename*=utf-8''%ff; filename=a.png", "a.png"),
        (b"inline; filename*=klingon''x; filename=a.png", "a.png"),
        ('attachment; filename="ü.png"'.encode(), "ü.png"),
        ('attachment; filename="ü.png"'.encode("latin-1"), "ü.png"),
        (b'attachment; filename="../../etc/passwd"', "passwd"),
        (b'attachment; filename="C:\\\\dir\\\\a.png"', "a.png"),
        (b'attachment; filename=".."', "by-path.jpg"),
        (b'attachment; filename="a;b.png"; x=y', "a;b.png"),
        ('attachment; filename="exe.\u202egpj"'.encode(), "exe.gpj"),
        (b'attachment; filename="a\tb.png"', "ab.png"),
        (b"attachment", "by-path.jpg"),
        (b'attachment; filename="unclosed', "by-path.jpg"),
        (b"", "by-path.jpg"),
        (None, "by-path.jpg"),
    ],
)
def test_a_file_is_called_what_its_server_says_or_else_by_its_path(
    disposition: bytes | None, name: str
) -> None:
    assert file_name(disposition, b"/dir/by-path.jpg?x=/y") == name


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (b"/", None),
        (b"/a/", None),
        (b"/..", None),
        (b"/%C3%BC%20b.png", "ü b.png"),
        (b"/a%2f..%2fb", "b"),
        (b"/" + b"a" * 300 + b".jpeg", "a" * (MAX_NAME_CHARS - 5) + ".jpeg"),
        (b"/%00%0a", None),
    ],
)
def test_names_by_path(target: bytes, name: str | None) -> None:
    assert file_name(None, target) == name


@settings(max_examples=100)
@given(st.binary(max_size=200), st.binary(max_size=60))
def test_a_name_is_one_line_without_slashes(disposition: bytes, target: bytes) -> None:
    name = file_name(b"x; filename*=utf-8''" + disposition, target)
    assert name is None or (0 < len(name) <= MAX_NAME_CHARS and not set(name) & set("/\\\r\n\0"))
