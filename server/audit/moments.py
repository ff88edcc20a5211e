"""Moments as people give them to the audit log, in a query or as an option. Owns: RFC 3339, no more."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def read_moment(value: object) -> object:
    """A moment with its zone, in UTC. Raises PydanticCustomError."""
    if isinstance(value, datetime):
        return value
    # pydantic would take a number for seconds, and a day for its midnight
    if isinstance(value, str) and MOMENT.fullmatch(value):
        try:
            # of a fraction six digits are kept
            shorter = re.sub(r"(\.\d{6})\d+", r"\1", value)
            return datetime.fromisoformat(shorter.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise PydanticCustomError("datetime", "Give a moment with its zone, such as 2026-01-31T12:00:00Z.")


Moment = Annotated[datetime, BeforeValidator(read_moment), Field(examples=["2026-01-31T12:00:00Z"])]
