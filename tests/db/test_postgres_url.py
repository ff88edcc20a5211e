"""Addresses of PostgreSQL, as people write them; and that no password is shown."""

import pytest

from db.postgres_url import is_postgres, normal_postgres_url
from party.errors import Invalid


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://ada@db/kanvas", "postgresql://ada@db/kanvas"),
        ("postgresql://ada:p%40ss@db:5433/kanvas", "postgresql://ada:p%40ss@db:5433/kanvas"),
        ("postgresql+asyncpg://db/kanvas", "postgresql://db/kanvas"),
        ("postgresql://[::1]:5432/kanvas", "postgresql://[::1]:5432/kanvas"),
        ("postgresql://a:b@one:1,two:2/kanvas", "postgresql://a:b@one:1,two:2/kanvas"),
        (
            "postgresql://a:b@db/kanvas?sslmode=verify-full&channel_binding=require&keepalives_idle=30",
            "postgresql://a:b@db/kanvas?sslmode=verify-full",
        ),
    ],
)
def test_what_is_meant_is_understood(given: str, expected: str) -> None:
    assert is_postgres(given)
    assert normal_postgres_url(given) == expected


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql://ada:s3cret@/kanvas",
        "postgresql://ada:s3cret@db",
        "postgresql://ada:s3cret@db/",
        "postgresql://ada:s3cret@db/a/b",
        "postgresql://ada:s3cret@db:port/kanvas",
        "postgresql://ada:s3cret@db:70000/kanvas",
        "postgresql://ada:s3cret@db/kanvas?sslmod=require",
        "postgresql://ada:s3cret@[db/kanvas",
        "mysql://ada:s3cret@db/kanvas",
    ],
)
def test_what_cannot_be_meant_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        normal_postgres_url(url)
    assert "s3cret" not in str(caught.value)
