"""The storage a server was set up with.

Owns: choosing and opening the adapter, the origin browsers meet. Does not own: the adapters.
Rule: the S3 library is imported only here, when it is asked for: it costs 0.8 s and 45 MB.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.blobs.address import BucketAddress, read_address
from server.blobs.base import Blobs
from server.blobs.files import FileBlobs
from server.settings import Settings, SettingsError


@asynccontextmanager
async def open_blobs(settings: Settings, secret: bytes) -> AsyncIterator[Blobs]:
    """The blobs of these settings. Raises SettingsError, Unavailable."""
    address = read_address(settings.effective_blobs_url)
    if isinstance(address, BucketAddress):
        try:
            from server.blobs.s3 import open_bucket  # noqa: PLC0415
        except ImportError as error:
            raise SettingsError(
                [
                    "KANVAS_BLOBS_URL=s3://... needs the S3 library; type: pip install 'kanvas[s3]' "
                    "(in a checkout: .venv/bin/pip install --require-hashes -r requirements-extras.lock)"
                ]
            ) from error
        async with open_bucket(address) as bucket:
            yield bucket
        return
    files = FileBlobs(address.folder, secret)
    await files.tidy()
    yield files


def storage_origin(settings: Settings) -> str | None:
    """The other origin browsers store to and read from; None when that is this server.

    With encryption it always is: nobody else could read what is stored.
    """
    if settings.encryption_keys is not None:
        return None
    address = read_address(settings.effective_blobs_url)
    return address.public_endpoint if isinstance(address, BucketAddress) else None
