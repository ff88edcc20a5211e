"""What a fetched file is called: by its server, or by its address. Pure.

Owns: reading Content-Disposition and the last segment of a path. Does not own: what a name may be used for;
it comes from a stranger and is a label for people, never a path.

Rules: `filename*` goes before `filename`; only the part behind the last slash or backslash; no control or
format characters (bidirectional ones make "gpj.exe" read as "exe.jpg"); what can't be read is no name.
Sources: RFC 6266 (section 4.3), RFC 8187 (section 3.2), RFC 9110 (section 5.6.4).
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_NAME_CHARS: Final = 200
MAX_HEADER_CHARS: Final = 4096

PARAMETER: Final = re.compile(
    r""";\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s"]*)""", re.DOTALL
)
CHARSETS: Final = {"utf-8": "utf-8", "iso-8859-1": "latin-1"}


def file_name(disposition: bytes | None, target: bytes) -> str | None:
    """The name of a file by its Content-Disposition, or else by its path; None when neither has one."""
    found = None if disposition is None else _named(_text(disposition)[:MAX_HEADER_CHARS])
    if found is None:
        path = target.partition(b"?")[0]
        found = _clean(_text(unquote_to_bytes(path.rpartition(b"/")[2])))
    return found


def _named(header: str) -> str | None:
    values: dict[str, str] = {}
    # the first of two that are called alike
    for name, value in PARAMETER.findall(";" + header.partition(";")[2]):
        values.setdefault(name.lower(), value)
    extended = _extended(values.get("filename*", ""))
    return extended if extended is not None else _clean(_unquoted(values.get("filename", "")))


def _extended(value: str) -> str | None:
    """charset'language'percent-encoded."""
    charset, _, rest = value.strip('"').partition("'")
    encoding = CHARSETS.get(charset.lower())
    if encoding is None:
        return None
    try:
        return _clean(unquote_to_bytes(rest.partition("'")[2]).decode(encoding))
    except UnicodeDecodeError:
        return None


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _clean(name: str) -> str | None:
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(char for char in last if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    kept = kept.strip()
    if len(kept) > MAX_NAME_CHARS:
        # what tells its type is at the end
        stem, dot, suffix = kept.rpartition(".")
        end = dot + suffix if dot and len(suffix) <= 8 else ""
        kept = (stem if end else kept)[: MAX_NAME_CHARS - len(end)] + end
    return None if kept in ("", ".", "..") else kept
