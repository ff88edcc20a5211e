"""How an address is shown: without what could be a secret.

Owns: the one way to mask an address, a right one in `kanvas check` or a wrong one in an error. Does not own:
which settings are secret as a whole (settings/). Pure.
Rule: what can't be read is masked rather than shown, since a wrong address is mostly one with a password that
was not escaped: up to the last @ everything may be a part of it.
"""

import re
from collections.abc import Collection
from typing import Final

MASK: Final = "********"
HARMLESS: Final = re.compile(r"[\w./\\ -]{0,200}(:\d{1,5})?/?")
"""What is no address at all may be shown when it is a word or a path."""


def mask_address(address: str, plain: Collection[str] = ()) -> str:
    """`address` without its password and without the values of parameters other than those in `plain`.

    A SQLite file has no secrets. Never fails.
    """
    scheme, found, rest = address.partition("://")
    if not found:
        return address if HARMLESS.fullmatch(address) else MASK
    if scheme == "sqlite":
        return address
    user, at, rest = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    if colon:
        user = f"{name}:{MASK}"
    elif not re.fullmatch(r"[\w.%+-]*", user):
        user = MASK
    place, mark, query = rest.partition("?")
    query = "&".join(_mask_parameter(one, plain) for one in query.split("&"))
    return f"{scheme}://{user}{at}{place.partition('#')[0]}{mark}{query}"


def _mask_parameter(parameter: str, plain: Collection[str]) -> str:
    name, equals, _ = parameter.partition("=")
    return parameter if name in plain or not parameter else f"{name if equals else ''}{equals}{MASK}"
