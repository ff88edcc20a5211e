"""Where it listens, and where what it keeps is.

Owns: these settings. Does not own: reading them, and checking them together (`reading.py`).
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, SecretStr
from pydantic_settings import BaseSettings

from server import setting_types as kinds
from server.blobs.address import TAKES
from server.setting_types import setting


class Place(BaseSettings):
    """Where it listens, and where what it keeps is."""

    host: Annotated[str, AfterValidator(kinds.host)] = setting(
        "127.0.0.1",
        "address",
        "an IP address or a host name",
        "Address to listen on; 0.0.0.0 or :: lets other machines in.",
        shown="127.0.0.1",
    )
    port: int = setting(
        8000,
        "integer",
        "a whole number from 0 to 65535",
        "Port to listen on; 0 takes any free one.",
        shown="8000",
        ge=0,
        le=65535,
    )
    data_dir: Annotated[Path, AfterValidator(kinds.data_dir)] = setting(
        Path(".data"),
        "path",
        "a folder",
        "Folder for the database, the images and the generated secret.",
        shown="./.data",
    )
    database_url: Annotated[str | None, AfterValidator(kinds.database_url)] = setting(
        None,
        "url",
        "sqlite:////absolute/path.db, or postgresql://user:password@host:port/database",
        "Where the database is: a SQLite file, or PostgreSQL.",
        shown="sqlite:///{data_dir}/kanvas.db",
        # it may hold a password
        repr=False,
    )
    database_pool: int = setting(
        8,
        "integer",
        "a whole number from 1 to 1000",
        "Most connections to PostgreSQL of one process, besides those that save edits.",
        shown="8",
        ge=1,
        le=1000,
    )
    database_committers: int = setting(
        2,
        "integer",
        "a whole number from 1 to 16",
        "Connections to PostgreSQL of one process that save edits; rooms are dealt out to them.",
        shown="2",
        ge=1,
        le=16,
    )
    database_timeout_s: int = setting(
        5,
        "integer",
        "a whole number of seconds from 1 to 300",
        "Seconds a transaction in PostgreSQL may take before it is given up.",
        shown="5",
        ge=1,
        le=300,
    )
    blobs_url: Annotated[str | None, AfterValidator(kinds.blobs_url)] = setting(
        None,
        "url",
        TAKES,
        "Where images and files are kept: a folder, or a bucket of S3 or R2.",
        shown="file://{data_dir}/blobs",
    )
    redis_url: Annotated[SecretStr | None, AfterValidator(kinds.redis_url)] = setting(
        None,
        "url",
        "redis://[user:password@]host[:port][/number], or rediss:// with TLS",
        "Redis, for several processes that serve the same rooms; empty is one process alone.",
        shown="",
    )
    redis_prefix: str = setting(
        "kanvas:",
        "text",
        "up to 64 letters, digits and . _ : -",
        "What all our keys and channels in Redis begin with; two installations need two.",
        shown="kanvas:",
        pattern=r"^[A-Za-z0-9._:-]{1,64}$",
    )
    encryption_keys: Annotated[SecretStr | None, AfterValidator(kinds.encryption_keys)] = setting(
        None,
        "list",
        "id:key pairs separated by commas, a key being 32 bytes in base64 (openssl rand -base64 32)",
        "Master keys that encrypt documents, journal and files at rest; the first is used, the others only "
        "read. Empty encrypts nothing.",
        shown="",
    )
