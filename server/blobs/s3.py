"""Blobs in a bucket of S3, R2 or what speaks like them. The only importer of aioboto3 and what is below it.

Owns: the client and its settings, signing, translating errors. Does not own: the address (`address.py`).
Rules: one client for the life of the process; bodies stream both ways with a known length, unsigned (TLS
keeps them) and without checksum trailers, which R2 does not take; every write says If-None-Match: *; every
wait has a deadline; bytes that stop in the middle of a read are asked for again from there.
Source: Signature Version 4 with query parameters; R2's S3 compatibility and its conditional operations.

Addresses are signed with botocore's signer directly: 60 µs, against 200 µs by `generate_presigned_url`, which
builds, validates and serialises a whole request first.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import aioboto3
import aiohttp
import structlog
from aiobotocore.config import AioConfig
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from party.errors import Unavailable
from server.blobs.address import BucketAddress
from server.blobs.base import (
    CHUNK_BYTES,
    IMMUTABLE,
    BlobInfo,
    Part,
    Signed,
    Started,
    check_key,
    check_number,
    check_parts,
    check_prefix,
    check_signing,
)
from server.blobs.errors import BlobExists, BlobMismatch, BlobNotFound
from server.blobs.streamed import StreamedBody
from server.blobs.trial import round_trip
from server.settings import SettingsError

log = structlog.get_logger("kanvas.blobs")

CONNECT_S: Final = 5.0
READ_S: Final = 30.0
ATTEMPTS: Final = 3
CONNECTIONS: Final = 64
DELETES_AT_ONCE: Final = 16
MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound", "NoSuchUpload"})
TAKEN: Final = frozenset({"412", "PreconditionFailed"})


@asynccontextmanager
async def open_bucket(address: BucketAddress) -> AsyncIterator["S3Blobs"]:
    """The bucket, with the credentials of the standard AWS chain. Raises SettingsError without any."""
    session = aioboto3.Session()
    config = AioConfig(
        signature_version="s3v4",
        connect_timeout=CONNECT_S,
        read_timeout=READ_S,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        s3={"addressing_style": "path", "payload_signing_enabled": False},
    )
    async with AsyncExitStack() as stack:
        try:
            credentials = await session.get_credentials()
            if credentials is None:
                raise SettingsError(
                    [
                        "KANVAS_BLOBS_URL=s3://... needs credentials; set AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY (or any other source the AWS tools know)."
                    ]
                )
            client = await stack.enter_async_context(
                session.client("s3", region_name=address.region, endpoint_url=address.endpoint, config=config)
            )
            client.meta.events.register_first("needs-retry.s3.PutObject", _refuse_retry)
        except BotoCoreError as error:
            raise SettingsError([f"The credentials for KANVAS_BLOBS_URL can't be read: {error}."]) from error
        yield S3Blobs(address, client, credentials)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        found = error.response.get("Error", {})
        code = str(found.get("Code", ""))
        if code in MISSING:
            raise BlobNotFound from error
        if code in TAKEN:
            raise BlobExists from error
        raise _unavailable(what, f"says {code}", error) from error
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _unavailable(what, "does not answer", error) from error


def _refuse_retry(
    response: Any, caught_exception: Exception | None, request_dict: Mapping[str, Any], **_: object
) -> None:
    """What went wrong, raised at once: a source can't be read twice, and the library would only tell that."""
    if not isinstance(request_dict.get("body"), StreamedBody):
        return
    if caught_exception is not None:
        raise caught_exception
    if response[0].status_code >= 300:
        raise ClientError(response[1], "PutObject")


def _unavailable(what: str, does: str, error: Exception) -> Unavailable:
    # its own words name hosts, buckets and accounts: they are for the operator
    log.warning("the object storage failed", doing=what, reason=str(error) or type(error).__name__)
    return Unavailable(f"This can't {what} now; the object storage {does}.")


class S3Blobs:
    """Blobs in a bucket. `client` is an open S3 client."""

    def __init__(self, address: BucketAddress, client: Any, credentials: Any) -> None:
        self._address = address
        self._client = client
        self._credentials = credentials

    def below(self, prefix: str) -> "S3Blobs":
        """The blobs below a prefix ("a/") of this one, with the same client."""
        check_prefix(prefix)
        return S3Blobs(
            replace(self._address, prefix=self._address.prefix + prefix), self._client, self._credentials
        )

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._address.bucket, "Key": self._address.prefix + key}

    # -- whole blobs ----------------------------------------------------------------------------

    async def put(
        self, key: str, source: AsyncIterator[bytes], *, size_bytes: int, content_type: str
    ) -> None:
        """See Blobs.put."""
        check_key(key, is_new=True)
        body = StreamedBody(source, size_bytes)
        if not size_bytes:
            # a body of no length is never looked at
            async for _ in body:
                continue
        try:
            with _translated("be stored"):
                async with asyncio.timeout(None) as patience:
                    body.patience = patience
                    try:
                        await self._client.put_object(
                            **self._at(key),
                            Body=body if size_bytes else b"",
                            ContentLength=size_bytes,
                            ContentType=content_type,
                            CacheControl=IMMUTABLE,
                            IfNoneMatch="*",
                        )
                    finally:
                        # what the library still does with the body is not this request's any more
                        body.patience = None
        except Unavailable as error:
            if body.failure is not None and not isinstance(body.failure, asyncio.CancelledError):
                raise body.failure from None
            # two at once: S3 may tell the one that loses 409 instead of 412
            cause = error.__cause__
            is_race = isinstance(cause, ClientError) and "Conflict" in cause.response["Error"]["Code"]
            if is_race and await self.find(key) is not None:
                raise BlobExists from error
            raise

    async def find(self, key: str) -> BlobInfo | None:
        """See Blobs.find."""
        check_key(key)
        try:
            with _translated("be found"):
                found = await self._client.head_object(**self._at(key))
        except BlobNotFound:
            return None
        return BlobInfo(key, found["ContentLength"], found.get("ContentType"), found["LastModified"])

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """See Blobs.read."""
        check_key(key)
        at, failed = start, 0
        while end is None or at < end:
            begun = at
            try:
                with _translated("be read"):
                    async with self._open(key, at, end) as body:
                        async for chunk in body.iter_chunks(CHUNK_BYTES):
                            at += len(chunk)
                            yield chunk
                return
            except Unavailable as error:
                if _is_beyond(error):
                    return
                failed = 1 if at > begun else failed + 1
                # what has never begun was tried again by the library already
                if at == start or failed >= ATTEMPTS:
                    raise
                log.info("a read stopped and goes on from there", key=key, at=at, reason=error.message)

    @asynccontextmanager
    async def _open(self, key: str, start: int, end: int | None) -> AsyncIterator[Any]:
        span = (
            {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        )
        answer = await self._client.get_object(**self._at(key), **span)
        body = answer["Body"]
        try:
            yield body
        finally:
            # not read to its end, the connection can't be used again
            body.close()

    async def delete(self, keys: Sequence[str]) -> None:
        """See Blobs.delete. One request each: deleting many takes a checksum not all storages know."""
        for key in keys:
            check_key(key)
        left = iter(keys)
        failed: list[Unavailable] = []

        async def work() -> None:
            for key in left:
                try:
                    with _translated("be removed"):
                        await self._client.delete_object(**self._at(key))
                except BlobNotFound:
                    continue
                except Unavailable as error:
                    failed.append(error)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(DELETES_AT_ONCE, len(keys))):
                tasks.create_task(work())
        if failed:
            raise failed[0]

    async def list(self, prefix: str = "") -> AsyncGenerator[BlobInfo, None]:
        """See Blobs.list."""
        check_prefix(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._address.bucket, Prefix=self._address.prefix + prefix
        )
        with _translated("be listed"):
            async for page in pages:
                for one in page.get("Contents", []):
                    key = one["Key"].removeprefix(self._address.prefix)
                    # some tools make "folders": empty objects whose key ends with a slash
                    if not key.endswith("/"):
                        yield BlobInfo(key, one["Size"], None, one["LastModified"])

    def local_path(self, key: str) -> Path | None:
        """See Blobs.local_path."""
        check_key(key)
        return None

    async def check(self) -> None:
        """See Blobs.check."""
        await round_trip(self)

    async def tidy(self) -> None:
        """See Blobs.tidy: a bucket keeps nothing of what did not arrive."""

    # -- signed addresses -----------------------------------------------------------------------

    async def sign_get(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> Signed:
        """See Blobs.sign_get."""
        check_key(key)
        params = {
            "response-cache-control": IMMUTABLE,
            "response-content-disposition": disposition,
            "response-content-type": content_type,
        }
        return await self._sign("GET", key, params, {}, expires_s)

    async def sign_put(self, key: str, *, size_bytes: int, content_type: str, expires_s: int) -> Signed:
        """See Blobs.sign_put."""
        check_key(key, is_new=True)
        headers = {"Content-Type": content_type, "If-None-Match": "*"}
        return await self._sign("PUT", key, {}, headers, expires_s, size_bytes)

    async def _sign(
        self,
        method: Literal["GET", "PUT"],
        key: str,
        params: Mapping[str, str],
        headers: Mapping[str, str],
        expires_s: int,
        size_bytes: int | None = None,
    ) -> Signed:
        check_signing(expires_s, size_bytes or 0)
        address = self._address
        url = f"{address.public_endpoint}/{address.bucket}/{quote(address.prefix + key, safe='/~')}"
        bound = dict(headers)
        if size_bytes is not None:
            bound["Content-Length"] = str(size_bytes)
        with _translated("be signed"):
            # those of a role are renewed here, now and then
            frozen = await self._credentials.get_frozen_credentials()
        request = AWSRequest(
            method=method, url=f"{url}?{urlencode(params)}" if params else url, headers=bound
        )
        signed_at = datetime.now(UTC)
        S3SigV4QueryAuth(frozen, "s3", address.region, expires_s).add_auth(request)
        return Signed(method, request.url, dict(headers), signed_at + timedelta(seconds=expires_s))

    # -- uploads in parts -----------------------------------------------------------------------

    async def start_parts(self, key: str, *, content_type: str) -> str:
        """See Blobs.start_parts."""
        check_key(key, is_new=True)
        with _translated("be stored"):
            made = await self._client.create_multipart_upload(
                **self._at(key), ContentType=content_type, CacheControl=IMMUTABLE
            )
        return str(made["UploadId"])

    async def sign_part(
        self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int
    ) -> Signed:
        """See Blobs.sign_part."""
        check_key(key, is_new=True)
        check_number(number)
        params = {"partNumber": str(number), "uploadId": parts_id}
        return await self._sign("PUT", key, params, {}, expires_s, size_bytes)

    async def list_parts(self, key: str, parts_id: str) -> Sequence[Part]:
        """See Blobs.list_parts."""
        check_key(key)
        pages = self._client.get_paginator("list_parts").paginate(**self._at(key), UploadId=parts_id)
        with _translated("be listed"):
            found = [one async for page in pages for one in page.get("Parts", [])]
        # of a part that was sent again S3 lists the last one, SeaweedFS all
        last = {one["PartNumber"]: one for one in sorted(found, key=lambda one: one["LastModified"])}
        return [Part(number, one["Size"], one["ETag"]) for number, one in sorted(last.items())]

    async def finish_parts(self, key: str, parts_id: str, parts: Sequence[Part]) -> None:
        """See Blobs.finish_parts."""
        check_parts(parts, await self.list_parts(key, parts_id))
        # R2 forgets the upload when the condition fails, so it is asked first; the condition stays for a race
        if await self.find(key) is not None:
            raise BlobExists
        try:
            with _translated("be stored"):
                await self._client.complete_multipart_upload(
                    **self._at(key),
                    UploadId=parts_id,
                    MultipartUpload={
                        "Parts": [{"PartNumber": one.number, "ETag": one.etag} for one in parts]
                    },
                    IfNoneMatch="*",
                )
        except Unavailable as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "InvalidPart":
                raise BlobMismatch("A part is another than it was; list the parts again.") from cause
            raise

    async def abort_parts(self, key: str, parts_id: str) -> None:
        """See Blobs.abort_parts."""
        check_key(key)
        try:
            with _translated("be removed"):
                await self._client.abort_multipart_upload(**self._at(key), UploadId=parts_id)
        except BlobNotFound:
            return

    async def list_started(self) -> AsyncGenerator[Started, None]:
        """See Blobs.list_started."""
        prefix = self._address.prefix
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._address.bucket, Prefix=prefix
        )
        with _translated("be listed"):
            async for page in pages:
                for one in page.get("Uploads", []):
                    yield Started(one["Key"].removeprefix(prefix), one["UploadId"], one["Initiated"])

    # -- the bucket -----------------------------------------------------------------------------

    async def allow_origins(self, origins: Sequence[str]) -> bool:
        """See Blobs.allow_origins."""
        rule = {
            "AllowedOrigins": list(origins),
            "AllowedMethods": ["GET", "PUT", "HEAD"],
            "AllowedHeaders": ["content-type", "if-none-match"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 3600,
        }
        with _translated("be allowed"):
            await self._client.put_bucket_cors(
                Bucket=self._address.bucket, CORSConfiguration={"CORSRules": [rule]}
            )
        return True


def _is_beyond(error: Unavailable) -> bool:
    cause = error.__cause__
    return isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "InvalidRange"
