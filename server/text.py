"""Text from people: which characters a name or a title may hold, and what is a number.

Owns: the one rule, as a pattern that Python, ECMAScript and JSON Schema read alike, and its words.
Rules: no control characters, no line separators, no characters that reorder text (they fake names); something
visible in it; the ends are trimmed after the check, so the schema says exactly what is accepted.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

_CONTROL: Final = r"\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
_INVISIBLE: Final = (
    r" \u00a0\u00ad\u034f\u1680\u115f\u1160\u17b4\u17b5\u180e"
    r"\u2000-\u200f\u202f\u205f-\u2064\u3000\u3164\uffa0"
)
LINE_PATTERN: Final = rf"^[^{_CONTROL}]*[^{_CONTROL}{_INVISIBLE}][^{_CONTROL}]*$"
SEARCH_PATTERN: Final = rf"^[^{_CONTROL}]*$"
_CONTROL_BUT_LINES: Final = _CONTROL.replace(r"\u0000-\u001f", r"\u0000-\u0008\u000b-\u001f")
REMARK_PATTERN: Final = (
    rf"^[^{_CONTROL_BUT_LINES}]*[^{_CONTROL_BUT_LINES}{_INVISIBLE}\u0009\u000a][^{_CONTROL_BUT_LINES}]*$"
)

_LINE: Final = re.compile(LINE_PATTERN.removesuffix("$") + r"\Z")
_SEARCH: Final = re.compile(SEARCH_PATTERN.removesuffix("$") + r"\Z")
# two searches, for the whole pattern takes the square of the length on text with a wrong last character
_WRONG_IN_REMARK: Final = re.compile(rf"[{_CONTROL_BUT_LINES}]")
_VISIBLE: Final = re.compile(rf"[^{_CONTROL}{_INVISIBLE}]")


def check_line(value: str) -> str:
    """One line of text with something to see in it, trimmed. Raises PydanticCustomError."""
    if not _LINE.match(value):
        raise PydanticCustomError("text", "Give a line with something visible, without control characters.")
    return value.strip()


def check_search(value: str) -> str:
    """Text to search for, trimmed; may be empty. Raises PydanticCustomError."""
    if not _SEARCH.match(value):
        raise PydanticCustomError("text", "Leave the control characters out.")
    return value.strip()


def check_remark(value: str) -> str:
    """Lines of text with something to see in them, trimmed. Raises PydanticCustomError."""
    if _WRONG_IN_REMARK.search(value) or not _VISIBLE.search(value):
        raise PydanticCustomError(
            "text", "Give text with something visible, without control characters; lines end with \\n."
        )
    return value.strip()


def whole_number(value: object) -> object:
    """A number in a query, as text. Raises PydanticCustomError."""
    # pydantic would take "1_0", " 10" and "10.0" for an integer too
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise PydanticCustomError("int_parsing", "Give a whole number.")
    return value


WHOLE: Final = BeforeValidator(
    lambda value: int(value) if isinstance(value, float) and value.is_integer() else value
)
"""For whole numbers in a body: JSON knows no integers, and to JSON Schema 1.0 is one. It stands last, or the
schema loses the bounds."""

Name = Annotated[
    str,
    Field(min_length=1, max_length=64, json_schema_extra={"pattern": LINE_PATTERN}, examples=["Ada"]),
    AfterValidator(check_line),
]
"""What a person is called: 1 to 64 characters."""

Title = Annotated[
    str,
    Field(min_length=1, max_length=120, json_schema_extra={"pattern": LINE_PATTERN}, examples=["Floor plan"]),
    AfterValidator(check_line),
]
"""What a room is called: 1 to 120 characters."""

Search = Annotated[
    str,
    Field(max_length=120, json_schema_extra={"pattern": SEARCH_PATTERN}, examples=["plan"]),
    AfterValidator(check_search),
]
"""Part of a title: up to 120 characters."""

Remark = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4000,
        json_schema_extra={"pattern": REMARK_PATTERN},
        examples=["Bigger, please."],
    ),
    AfterValidator(check_remark),
]
"""What somebody writes about a drawing: 1 to 4,000 characters, in lines."""
