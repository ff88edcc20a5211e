"""Range and If-Range, read as RFC 9110 section 14 has it."""

import pytest

from server.ranges import Span, Unsatisfiable, may_continue, read_range

SIZE = 10


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=3-500", (3, 10)),
        ("bytes=9-9", (9, 10)),
        ("bytes=-1", (9, 10)),
        ("bytes=-10", (0, 10)),
        ("bytes=-500", (0, 10)),
        ("BYTES=0-1", (0, 2)),
        (" bytes=0-1 ", (0, 2)),
        ("bytes= 0-1", (0, 2)),
        ("bytes=,0-1,", (0, 2)),
        # several, or nothing that can be read: the whole
        ("bytes=0-1,3-4", None),
        ("bytes=0-1, -1", None),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes", None),
        ("bytes=a-b", None),
        ("bytes=1-2x", None),
        ("bytes=+1-2", None),
        ("bytes=1-٢", None),
        ("bytes =0-1", None),
        ("items=0-1", None),
        ("bytes=0-99999999999999999999999", None),
        ("", None),
    ],
)
def test_what_is_asked_for(header: str | None, span: tuple[int, int] | None) -> None:
    found = read_range(header, SIZE)
    assert found == (None if span is None else Span(*span, SIZE))


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-10", "bytes=999-1000", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(header: str) -> None:
    with pytest.raises(Unsatisfiable) as refused:
        read_range(header, SIZE)
    assert refused.value.content_range == "bytes */10"


def test_nothing_has_no_range() -> None:
    assert read_range("bytes=5-4", 0) is None
    for header in ("bytes=0-", "bytes=-1"):
        with pytest.raises(Unsatisfiable):
            read_range(header, 0)


def test_the_header_of_the_answer() -> None:
    assert Span(3, 6, SIZE).content_range == "bytes 3-5/10"


@pytest.mark.parametrize(
    ("if_range", "etag", "may"),
    [
        (None, '"a"', True),
        ('"a"', '"a"', True),
        ('"b"', '"a"', False),
        ('W/"a"', '"a"', False),
        ('W/"a"', 'W/"a"', False),
        ("Sat, 21 Nov 2026 00:00:00 GMT", '"a"', False),
    ],
)
def test_only_the_very_same_tag_continues(if_range: str | None, etag: str, may: bool) -> None:
    assert may_continue(if_range, etag) is may
