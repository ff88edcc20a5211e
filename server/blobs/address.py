"""Where blobs are kept, read from KANVAS_BLOBS_URL.

Owns: the two forms of the address and what is wrong with others. Does not own: opening it (`open.py`).
Rules: credentials are no part of the address and never shown; it is settled here, without the S3 library, so
that a wrong address is told with all other settings.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from server.blobs.base import check_key
from server.blobs.errors import BadKey

TAKES: Final = (
    "file:///absolute/folder or s3://bucket/prefix?endpoint=https://host&region=auto; credentials go into "
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, never into the address"
)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGION: Final = re.compile(r"[a-z0-9-]{1,40}")
PARAMETERS: Final = ("endpoint", "region", "public_endpoint")


@dataclass(frozen=True, slots=True)
class FolderAddress:
    """A folder of this machine."""

    folder: Path


@dataclass(frozen=True, slots=True)
class BucketAddress:
    """A bucket, or what is below `prefix` ("" or "a/b/") in it. Endpoints have no slash at the end."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    public_endpoint: str
    """What browsers use; the server may reach the storage by another name."""


def read_address(url: str) -> FolderAddress | BucketAddress:
    """The address. Raises ValueError with the reason."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("not an address") from error
    if "@" in parts.netloc:
        raise ValueError("credentials are no part of the address")
    if parts.scheme == "file":
        return _folder(url)
    if parts.scheme == "s3":
        return _bucket(url)
    raise ValueError("neither file:// nor s3://")


def _folder(url: str) -> FolderAddress:
    parts = urlsplit(url)
    folder = Path(unquote(parts.path))
    if parts.netloc or parts.query or parts.fragment or not folder.is_absolute() or "\0" in str(folder):
        raise ValueError("not an absolute folder")
    return FolderAddress(folder)


def _bucket(url: str) -> BucketAddress:
    parts = urlsplit(url)
    if not _BUCKET.fullmatch(parts.netloc) or parts.fragment:
        raise ValueError("not the name of a bucket")
    prefix = parts.path.strip("/")
    try:
        if prefix:
            check_key(prefix)
    except BadKey as error:
        raise ValueError("not a prefix of keys") from error
    given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    options = dict(given)
    if len(options) != len(given) or set(options) - set(PARAMETERS):
        raise ValueError("a parameter that is not known, or twice")
    region = options.get("region", "auto")
    if not _REGION.fullmatch(region):
        raise ValueError("not a region")
    if "endpoint" not in options and region == "auto":
        raise ValueError("an endpoint is needed, or the region of AWS")
    endpoint = _endpoint(options.get("endpoint", f"https://s3.{region}.amazonaws.com"))
    return BucketAddress(
        bucket=parts.netloc,
        prefix=f"{prefix}/" if prefix else "",
        endpoint=endpoint,
        region=region,
        public_endpoint=_endpoint(options.get("public_endpoint", endpoint)),
    )


def _endpoint(value: str) -> str:
    parts = urlsplit(value.removesuffix("/"))
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise ValueError("not an endpoint")
    if parts.path or parts.query or parts.fragment or not re.fullmatch(r"[A-Za-z0-9.\[\]:_-]+", host):
        raise ValueError("not an endpoint")
    port = parts.port
    is_usual = port in (None, {"http": 80, "https": 443}[parts.scheme])
    return f"{parts.scheme}://{host.lower()}" + ("" if is_usual else f":{port}")
