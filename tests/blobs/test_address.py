"""KANVAS_BLOBS_URL: what it takes, and that a wrong one is told without its secrets."""

from pathlib import Path

import pytest

from server.blobs.address import BucketAddress, FolderAddress, read_address
from server.blobs.open import storage_origin
from server.settings import Settings, SettingsError, effective_rows, read_settings

R2 = "https://0123456789abcdef.r2.cloudflarestorage.com"


def bucket(**changed: str) -> BucketAddress:
    told = {"bucket": "kanvas", "prefix": "", "endpoint": R2, "region": "auto", "public_endpoint": R2}
    return BucketAddress(**{**told, **changed})


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("file:///srv/kanvas", FolderAddress(Path("/srv/kanvas"))),
        ("file:///srv/a%20b/c", FolderAddress(Path("/srv/a b/c"))),
        (f"s3://kanvas?endpoint={R2}", bucket()),
        (f"s3://kanvas/?endpoint={R2}/", bucket()),
        (f"s3://kanvas/a/b?endpoint={R2}", bucket(prefix="a/b/")),
        (f"s3://kanvas/a/?endpoint={R2}&region=us-east-1", bucket(prefix="a/", region="us-east-1")),
        (
            f"s3://kanvas?endpoint={R2}&public_endpoint=HTTPS://Img.example.org:443",
            bucket(public_endpoint="https://img.example.org"),
        ),
        (
            "s3://kanvas?endpoint=http://[::1]:9000",
            bucket(endpoint="http://[::1]:9000", public_endpoint="http://[::1]:9000"),
        ),
        (
            "s3://kanvas?region=eu-central-1",
            bucket(
                endpoint="https://s3.eu-central-1.amazonaws.com",
                region="eu-central-1",
                public_endpoint="https://s3.eu-central-1.amazonaws.com",
            ),
        ),
    ],
)
def test_what_it_takes(url: str, address: FolderAddress | BucketAddress) -> None:
    assert read_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        *("kanvas", "http://example.org", "file://srv/kanvas", "file:relative", "file:///a?b=c", "s3://"),
        *("s3://kanvas", "s3://ab?region=x", "s3://Kanvas?region=x", "s3://a_b?region=x", "s3://a..b/../c"),
        *(f"s3://kanvas/../x?endpoint={R2}", f"s3://kanvas/a//b?endpoint={R2}", f"s3://k:1?endpoint={R2}"),
        *(f"s3://kanvas?endpoint={R2}/path", "s3://kanvas?endpoint=ftp://x", "s3://kanvas?endpoint=x"),
        *(f"s3://kanvas?endpoint={R2}&endpoint={R2}", f"s3://kanvas?endpoint={R2}&acl=public"),
        *(f"s3://kanvas?endpoint={R2}&region=a%20b", "s3://kanvas?endpoint=https://a:b@c"),
        *("s3://kanvas?endpoint=https://a;img-src", "s3://kanvas?endpoint=https://a%20b", "s3://[bad"),
        *(
            f"s3://KEY:SECRET@kanvas?endpoint={R2}",
            f"s3://KEY@kanvas?endpoint={R2}",
            "s3://kanvas?endpoint=https://a:x",
        ),
    ],
)
def test_what_it_refuses(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the setting has its own words
        read_address(url)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIAKEY:S3CRET@kanvas?endpoint={R2}",
        f"s3://AKIAKEY:a/S3CRET/b@kanvas?endpoint={R2}",
        f"s3://kanvas?endpoint={R2}&secret_access_key=S3CRET",
        "s3://kanvas?endpoint=https://user:S3CRET@host",
    ],
)
def test_credentials_are_refused_with_words_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings({"KANVAS_BLOBS_URL": url})
    told = str(refused.value)
    assert "S3CRET" not in told
    assert "AWS_SECRET_ACCESS_KEY, never into the address" in told


def test_the_default_is_in_the_data_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "a b")
    assert read_address(settings.effective_blobs_url) == FolderAddress(tmp_path / "a b" / "blobs")
    assert dict(effective_rows(settings))["KANVAS_BLOBS_URL"] == settings.effective_blobs_url


def test_only_a_bucket_has_an_origin_of_its_own(tmp_path: Path) -> None:
    assert storage_origin(Settings(data_dir=tmp_path)) is None
    settings = Settings(data_dir=tmp_path, blobs_url=f"s3://kanvas?endpoint={R2}")
    assert storage_origin(settings) == R2
