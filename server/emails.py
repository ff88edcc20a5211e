"""E-mail addresses as people type them: what counts as one, and when two are the same.

Owns: the type of a request's field, and folding. Does not own: mails. Pure.
Rules: compatible forms are made equal and case is folded, before the @ too: no provider tells people apart
by it, and nobody shall have two accounts for one mailbox. What is left is one address without display name,
quotes or comments. Source: RFC 5321 sections 2.4 and 4.5.3.1, RFC 6531 (letters beyond ASCII).
"""

import re
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

MAX_EMAIL_CHARS: Final = 254

EMAIL_PATTERN: Final = (
    r'^[^\u0000-\u0020\u007f-\u00a0"(),:;<>@\[\\\]]{1,64}'
    r'@[^\u0000-\u0020\u007f-\u00a0"(),:;<>@\[\\\]]{1,189}$'
)
_EMAIL: Final = re.compile(EMAIL_PATTERN.removesuffix("$") + r"\Z")


def fold_email(email: str) -> str:
    """The address as it is stored and compared."""
    return unicodedata.normalize("NFKC", email).casefold()


def check_email(value: str) -> str:
    """One folded address. Raises PydanticCustomError."""
    folded = fold_email(value)
    # folding may make an "@" or a space of something that looks like one
    is_sound = _EMAIL.match(value) and _EMAIL.match(folded) and len(folded) <= MAX_EMAIL_CHARS
    if not is_sound or not all(one.isprintable() and not one.isspace() for one in folded):
        raise PydanticCustomError("email", "Give one e-mail address, such as ada@example.org.")
    return folded


Email = Annotated[
    str,
    Field(
        max_length=MAX_EMAIL_CHARS, json_schema_extra={"pattern": EMAIL_PATTERN}, examples=["ada@example.org"]
    ),
    AfterValidator(check_email),
]
"""An e-mail address, folded."""
