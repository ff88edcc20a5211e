"""Conditional requests: entity tags, If-Match and If-None-Match.

Owns: reading and comparing the headers. Does not own: what a tag stands for.
Source: RFC 9110 sections 8.8.3 and 13.1.
"""

import re
from typing import Final

from server.problems import invalid_field

_TAG: Final = r'(?:W/)?"[!#-~]*"'
IF_MATCH_PATTERN: Final = rf"^(\*|{_TAG}([ \t]*,[ \t]*{_TAG})*)$"
_LIST: Final = re.compile(IF_MATCH_PATTERN.removesuffix("$") + r"\Z")


def make_etag(version: str | int) -> str:
    """A strong tag."""
    return f'"{version}"'


def check_if_match(header: str | None, etag: str) -> bool:
    """Whether the condition holds; True without one. Strong comparison: a weak tag never matches.

    Raises InvalidFields when the header can't be read.
    """
    if header is None or header.strip() == "*":
        return True
    if not _LIST.match(header.strip()):
        raise invalid_field("If-Match", "entity_tag", 'Send "*" or entity tags in double quotes.')
    return etag in re.findall(_TAG, header)


def is_known_to_client(header: str | None, etag: str) -> bool:
    """Whether If-None-Match names the tag (weak comparison); what can't be read is ignored."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    return any(one.removeprefix("W/") == etag.removeprefix("W/") for one in re.findall(_TAG, header))
