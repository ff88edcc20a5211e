"""What is shown of an address that may hold a secret (server/masks.py), and of every setting."""

import pytest

from db.postgres_url import PLAIN
from server.masks import mask_address
from server.settings import SettingsError, effective_rows, read_settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ada:s3cret@db/kanvas", "postgresql://ada:********@db/kanvas"),
        ("postgresql://ada:s3:c@ret@db/kanvas", "postgresql://ada:********@db/kanvas"),
        ("postgresql://ada:s3/cret@db/kanvas", "postgresql://ada:********@db/kanvas"),
        ("postgresql://ada@db/kanvas", "postgresql://ada@db/kanvas"),
        ("postgresql://db/k?password=s3cret&user=a", "postgresql://db/k?password=********&user=a"),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
        ("mysql://ada:s3cret@db/kanvas", "mysql://ada:********@db/kanvas"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("kanvas.db", "kanvas.db"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    assert mask_address(url, PLAIN) == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://u:pa/s3cret@host/db"),
        ("DATABASE_URL", "postgresql://u:pa?s3cret@host/db"),
        ("DATABASE_URL", "postgresql://u:pa#s3cret@host/db"),
        ("DATABASE_URL", "postgresql:/u:s3cret@host/db"),
        ("DATABASE_URL", "host=h password=s3cret"),
        ("DATABASE_URL", "postgresql://h/db?user=a&PASSWORD=s3cret"),
        ("DATABASE_URL", "postgresql://u:s3cret@host/db"),
        ("DATABASE_URL", "postgresql://host/db?sslpassword=s3cret"),
        ("REDIS_URL", "redis://:pa/s3cret@host"),
        ("REDIS_URL", "redis://host?password=s3cret"),
        ("REDIS_URL", "redis://:s3cret@host:x"),
        ("REDIS_URL", "redis:s3cret@host"),
        ("REDIS_URL", "redis://:s3cret@host"),
        ("BLOBS_URL", "s3://key:pa/s3cret@bucket?endpoint=http://a"),
        ("BLOBS_URL", "s3://bucket?endpoint=http://u:s3cret@a"),
        ("BLOBS_URL", "s3://bucket?aws_secret_access_key=s3cret"),
        ("METRICS_TOKEN", "s3cret and spaces in it"),
        ("METRICS_TOKEN", "s3cret-s3cret-s3cret"),
        ("SENTRY_DSN", "https://s3cret@sentry.example.org"),
        ("SENTRY_DSN", "https://s3cret@sentry.example.org/1"),
        ("OTLP_URL", "https://u:s3cret@traces.example.org"),
        ("OTLP_URL", "ftp://u:s3cret@traces.example.org"),
        ("JWT_JWKS_URL", "https://u:s3/cret@host"),
        ("OIDC_ISSUER", "https://u:s3/cret@host"),
        ("SECRET", "s3cret"),
    ],
)
def test_no_setting_shows_a_secret_whether_it_is_right_or_wrong(name: str, value: str) -> None:
    try:
        settings = read_settings({f"KANVAS_{name}": value})
    except SettingsError as error:
        told = str(error)
    else:
        told = f"{effective_rows(settings)} {settings!r}"
    assert "s3cret" not in told
    assert "cret@" not in told
