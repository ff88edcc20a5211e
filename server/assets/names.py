"""Names of files: what people call them, and the keys their bytes are stored under.

Owns: both, and what may stand in them. Pure. Rules: a name from outside never chooses a place; a key is
`images/{user_id}/{ulid}-{safe name}` in characters that every storage and file system takes.
Source: RFC 6266 and RFC 8187 (Content-Disposition); S3's "safe characters" for keys.
"""

import hashlib
import re
import unicodedata
from typing import Annotated, Final
from urllib.parse import quote

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from server.media.kinds import EXTENSIONS
from server.text import LINE_PATTERN, check_line

PREFIX: Final = "images/"
NAME_CHARS: Final = 200
SAFE_CHARS: Final = 80

_SAFE_USER: Final = re.compile(r"[A-Za-z0-9_-]{5,64}")
"""No device of Windows has so long a name."""


def check_filename(value: str) -> str:
    """A file's name without any folder, trimmed. Raises PydanticCustomError."""
    name = check_line(value)
    if re.search(r"[/\\]", name) or name in (".", ".."):
        raise PydanticCustomError("filename", "Give the name of the file alone, without folders.")
    return name


Filename = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_CHARS,
        json_schema_extra={"pattern": LINE_PATTERN},
        description="What people call it; without folders",
        examples=["holiday.jpg"],
    ),
    AfterValidator(check_filename),
]
"""1 to 200 characters."""


def tame_filename(found: str | None, fallback: str) -> str:
    """A name from the network or a header, made one that `check_filename` accepts; `fallback` if none is."""
    last = re.split(r"[/\\]", found or "")[-1]
    kept = "".join(one for one in last if one.isprintable()).strip()[:NAME_CHARS].strip()
    try:
        return check_filename(kept)
    except PydanticCustomError:
        return fallback


def make_key(user_id: str, asset_id: str, filename: str, content_type: str) -> str:
    """Where a file of this user goes. The id is a ULID, so no two files ever share a key."""
    return f"{PREFIX}{_safe_user(user_id)}/{asset_id}-{safe_name(filename, content_type)}"


def make_rendition_key(key: str, name: str, content_type: str) -> str:
    """Where a smaller form of the image at `key` goes; the same at every attempt."""
    return f"{key}.{name}{_ending(content_type)}"


def safe_name(filename: str, content_type: str) -> str:
    """In ASCII, short, not hidden, and with the ending that its type has."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    ending = _ending(content_type)
    stem = plain.rsplit(".", 1)[0] if "." in plain else plain
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[: SAFE_CHARS - len(ending)].strip("-")
    return (kept or "file") + ending


def rename_for(filename: str, before: str, after: str) -> str:
    """The name of a file that was stored as another type than it came: with the ending of what it is now."""
    if before == after:
        return filename
    stem = filename.rsplit(".", 1)[0] or filename
    return stem[: NAME_CHARS - 5] + _ending(after)


def default_filename(sha256: str, content_type: str) -> str:
    """What a file is called that came without a name."""
    return f"{content_type.partition('/')[0]}-{sha256[:8]}{_ending(content_type)}"


def make_disposition(filename: str, *, is_inline: bool) -> str:
    """Content-Disposition: in ASCII for old readers, and as it is."""
    plain = unicodedata.normalize("NFKD", filename).encode("ascii", "ignore").decode()
    plain = re.sub(r'[^ -~]|["\\%]', "_", plain).strip() or "file"
    kind = "inline" if is_inline else "attachment"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _ending(content_type: str) -> str:
    return "." + EXTENSIONS[content_type]


def _safe_user(user_id: str) -> str:
    # ids of other issuers may hold anything ("auth0|123", "../x")
    if _SAFE_USER.fullmatch(user_id):
        return user_id
    return "u-" + hashlib.sha256(user_id.encode()).hexdigest()[:32]
