"""Addresses of our own that carry their permission: who has one may do exactly what it says, for a while.

Owns: making and checking them. Does not own: the routes behind them (`routes.py`), who is given one.
Rules: the key is derived from the server's secret and signs nothing else; method, key and every parameter are
bound, and none can be added or left out; comparison takes the same time for every wrong signature.
Source: RFC 2104 (HMAC), after the manner of S3's presigned addresses.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import urlencode

from server.blobs.base import Signed, check_key, check_number, check_signing
from server.blobs.errors import BlobUrlExpired, BlobUrlRefused

PATH: Final = "/blobs/"
PURPOSE: Final = b"kanvas: signed addresses of blobs, version 1"
SIGNATURE: Final = "signature"
EXPIRES: Final = "expires"

Method = Literal["GET", "PUT"]


class UrlSigner:
    """Signs and checks. `secret` is the server's; `clock` gives seconds since 1970."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret, PURPOSE, hashlib.sha256)
        self._clock = clock

    def sign(
        self,
        method: Method,
        key: str,
        params: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        expires_s: int,
    ) -> Signed:
        """The address of a checked key with these parameters."""
        end_s = int(self._clock()) + expires_s
        told = {**params, EXPIRES: str(end_s)}
        told[SIGNATURE] = self._signature(method, key, told)
        return Signed(
            method=method,
            url=f"{PATH}{key}?{urlencode(told)}",
            headers=dict(headers or {}),
            expires_at=datetime.fromtimestamp(end_s, UTC),
        )

    def check(self, method: str, key: str, params: Mapping[str, str]) -> None:
        """Raises BlobUrlRefused for what we did not sign like this, BlobUrlExpired for what we did once."""
        told = {name: value for name, value in params.items() if name != SIGNATURE}
        given = params.get(SIGNATURE, "").encode(errors="surrogatepass")
        if not hmac.compare_digest(given, self._signature(method, key, told).encode()):
            raise BlobUrlRefused
        if int(told[EXPIRES]) <= self._clock():
            raise BlobUrlExpired

    def _signature(self, method: str, key: str, params: Mapping[str, str]) -> str:
        # JSON: a value can't be moved from one name into its neighbour's
        text = json.dumps([method, key, sorted(params.items())], ensure_ascii=True)
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


class OwnAddresses:
    """The signing verbs of Blobs for adapters whose bytes go through this server."""

    def __init__(self, signer: UrlSigner) -> None:
        self.signer = signer
        self.coming: set[str] = set()
        """What is being sent to signed addresses at this moment."""

    async def sign_get(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> Signed:
        """See Blobs.sign_get."""
        check_key(key)
        check_signing(expires_s)
        params = {"type": content_type, "disposition": disposition}
        return self.signer.sign("GET", key, params, expires_s=expires_s)

    async def sign_put(self, key: str, *, size_bytes: int, content_type: str, expires_s: int) -> Signed:
        """See Blobs.sign_put."""
        check_key(key, is_new=True)
        check_signing(expires_s, size_bytes)
        headers = {"Content-Type": content_type, "If-None-Match": "*"}
        params = {"type": content_type, "size": str(size_bytes)}
        return self.signer.sign("PUT", key, params, headers=headers, expires_s=expires_s)

    async def sign_part(
        self, key: str, parts_id: str, number: int, *, size_bytes: int, expires_s: int
    ) -> Signed:
        """See Blobs.sign_part."""
        check_key(key, is_new=True)
        check_signing(expires_s, size_bytes)
        check_number(number)
        params = {"upload": parts_id, "part": str(number), "size": str(size_bytes)}
        return self.signer.sign("PUT", key, params, expires_s=expires_s)
