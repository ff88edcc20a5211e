"""E-mail addresses: which are taken, and the one form they are kept, compared and written to in.

Owns: folding an address. Does not own: whether anybody reads what is sent there. Pure. Keeps rule T3.

A mail goes to the folded address, never to what was typed: whoever finds a spelling that folds to somebody
else's address has then written to that one. The local part is folded too, although RFC 5321 section 2.4 lets
servers tell cases apart; none that people use does. Quoted local parts and address literals are not taken.
Sources: RFC 5321 sections 2.4 and 4.5.3.1, RFC 6531, RFC 5890 (names of hosts), UAX 15 (NFKC).
"""

import re
import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from server.text import check_line

MAX_CHARS: Final = 254
MAX_LOCAL_CHARS: Final = 64
NAME_CHARS: Final = 64
SPECIAL: Final = re.compile(r"[\s\"(),:;<>@\[\\\]]")
LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN: Final = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(\.{LABEL})*")


def fold_email(given: str) -> str:
    """The address as it is kept. Raises ValueError for what is none we write to."""
    folded = unicodedata.normalize("NFKC", given.strip())
    local, at, domain = folded.rpartition("@")
    local = unicodedata.normalize("NFKC", local.casefold())
    if (
        not at
        or not local
        or len(local) > MAX_LOCAL_CHARS
        or not local.isprintable()
        or SPECIAL.search(local)
    ):
        raise ValueError("no address")
    if ".." in f".{local}.":
        raise ValueError("dots in the wrong places")
    try:
        ascii_domain = domain.casefold().encode("idna").decode()
    except UnicodeError as error:
        raise ValueError("no domain") from error
    if not DOMAIN.fullmatch(ascii_domain) or len(local) + 1 + len(ascii_domain) > MAX_CHARS:
        raise ValueError("no domain")
    return f"{local}@{ascii_domain}"


def check_email(value: str) -> str:
    """`fold_email` for the API. Raises PydanticCustomError."""
    try:
        return fold_email(value)
    except ValueError:
        raise PydanticCustomError("email", "Give an e-mail address, such as ada@example.org.") from None


def name_of_email(email: str) -> str:
    """What somebody may be called of whom only a folded address is known: never the whole address, which
    others must not see."""
    words = re.sub(r"[._+-]+", " ", email.partition("@")[0].partition("+")[0]).split()
    try:
        return check_line(" ".join(word[:1].upper() + word[1:] for word in words)[:NAME_CHARS])
    except PydanticCustomError:
        return "Somebody"


Email = Annotated[
    str,
    Field(min_length=3, max_length=MAX_CHARS, examples=["ada@example.org"]),
    AfterValidator(check_email),
]
"""An e-mail address, folded when it is read."""
