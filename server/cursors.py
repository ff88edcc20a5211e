"""Pages of listings that go newest first by (time, id): what is asked for, and where the next one begins.

Owns: the query parameters and the cursor, opaque to clients. Does not own: listings.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Annotated, Final

import orjson
from pydantic import BeforeValidator, Field

from server.problems import invalid_field
from server.registry import Query
from server.text import whole_number

MAX_PAGE: Final = 50


class PageQuery(Query):
    """Which page of a listing."""

    cursor: str | None = Field(default=None, max_length=200, description="next_cursor of the page before")
    limit: Annotated[int, BeforeValidator(whole_number)] = Field(default=MAX_PAGE, ge=1, le=MAX_PAGE)


def encode_cursor(at: datetime, id: str) -> str:  # noqa: A002
    """Where the page after this entry begins."""
    raw = orjson.dumps([int(at.timestamp() * 1_000_000), id])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(cursor: str, id_pattern: str) -> tuple[datetime, str]:
    """The position in a cursor of ids like this. Raises InvalidFields."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        at_us, entry_id = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(entry_id, str) or not re.fullmatch(id_pattern, entry_id):
            raise ValueError("no such id")
        seconds, micros = divmod(at_us, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros), entry_id
    except (ValueError, TypeError, OverflowError, OSError, binascii.Error) as error:
        raise invalid_field(
            "cursor", "cursor", "Send next_cursor of the page before as it was, or leave it out."
        ) from error
