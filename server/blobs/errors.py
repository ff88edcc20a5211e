"""What can be wrong with a blob or with a signed address of one.

Owns: these errors. Does not own: how they are rendered (`problems.py`), what an asset makes of them.
Source: RFC 9110 section 15 (411, 412, 422), RFC 6585 section 3 (428).
"""

from party.errors import Forbidden, Invalid, KanvasError, NotFound


class BlobExists(KanvasError):
    """There is something under this key already, and what is stored is never overwritten; take a new key."""

    code = "blob_exists"
    status = 412
    close_code = 4409


class BlobNotFound(NotFound):
    """Nothing is stored under this key; it was removed, or never arrived."""

    code = "blob_not_found"


class BlobMismatch(Invalid):
    """What arrived is not what was announced; nothing was stored. Send exactly the announced bytes."""

    code = "blob_mismatch"


class BadKey(Invalid):
    """This can't be a key; it takes names of letters, digits, dots, dashes and underscores, and slashes."""

    code = "bad_key"


class BlobUrlRefused(Forbidden):
    """The signature does not fit this address and method; use the address exactly as it was given."""

    code = "blob_url_refused"


class BlobUrlExpired(BlobUrlRefused):
    """This address has expired; ask for a new one."""

    code = "blob_url_expired"


class BlobTypeRefused(KanvasError):
    """The address was signed for another Content-Type; send the headers you were given with it."""

    code = "blob_type_refused"
    status = 415
    close_code = 4400


class LengthMissing(KanvasError):
    """An upload says its length beforehand; send it with Content-Length, not in chunks."""

    code = "length_missing"
    status = 411
    close_code = 4400


class OverwritePossible(KanvasError):
    """An upload must not overwrite anything; send the header If-None-Match: * with it."""

    code = "if_none_match_missing"
    status = 428
    close_code = 4400
