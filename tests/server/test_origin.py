"""Where the links lead that leave this server."""

from pathlib import Path

import pytest
from starlette.requests import Request

from server.origin import NoPublicUrl, mailed_origin, shown_origin
from server.settings import Settings


def request(host: str | None) -> Request:
    """One that came under this name."""
    headers = [] if host is None else [(b"host", host.encode())]
    scope = {"type": "http", "scheme": "http", "path": "/", "query_string": b"", "headers": headers}
    return Request(scope | {"server": ("127.0.0.1", 8000), "method": "POST"})


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:9000", "http://localhost:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("evil.example", "http://127.0.0.1:8000"),
        ("localhost@evil.example", "http://127.0.0.1:8000"),
        ("127.0.0.1:9000/x", "http://127.0.0.1:8000"),
        ("localhost:x", "http://127.0.0.1:8000"),
        ("localhost#.evil.example", "http://127.0.0.1:8000"),
        ("evil.example\\\\@localhost", "http://127.0.0.1:8000"),
        (None, "http://127.0.0.1:8000"),
    ],
)
def test_nobody_chooses_where_a_link_leads(tmp_path: Path, host: str | None, origin: str) -> None:
    """T9: the Host header of who asks for somebody else's mail."""
    asked = request(host)
    assert mailed_origin(asked, Settings(data_dir=tmp_path)) == origin
    public = Settings(data_dir=tmp_path, public_url="https://kanvas.example.org")
    assert mailed_origin(asked, public) == "https://kanvas.example.org"


def test_who_is_reached_from_elsewhere_says_so(tmp_path: Path) -> None:
    """E8: a name that only this machine knows is of no use in a mail."""
    with pytest.raises(NoPublicUrl):
        mailed_origin(request("kanvas.example"), Settings(data_dir=tmp_path, host="0.0.0.0"))


def test_an_answer_has_the_address_that_was_asked(tmp_path: Path) -> None:
    assert shown_origin(request("kanvas.example:9000"), Settings(data_dir=tmp_path)) == (
        "http://kanvas.example:9000"
    )
    public = Settings(data_dir=tmp_path, public_url="https://kanvas.example.org")
    assert shown_origin(request("evil.example"), public) == "https://kanvas.example.org"
