"""The address of a PostgreSQL database, as people and hosting services write it.

Owns: which URLs are PostgreSQL's, their one form, which parameters are no secret. Does not own: connecting
(postgres.py), how one is shown. Pure, and imports no driver: the settings use it.

Rule: a password is never in an error. Sources: RFC 3986;
postgresql.org/docs/current/libpq-connect.html section 34.1.1.3 (URIs and their parameters).
"""

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from party.errors import Invalid

SCHEMES = ("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg", "postgresql+psycopg2")
TAKES = "postgresql://[user[:password]@]host[:port]/database[?sslmode=…]"

# The driver reads these from the URL; anything else in it would be sent to the server as a setting.
_KNOWN = {
    "application_name",
    "host",
    "krbsrvname",
    "options",
    "passfile",
    "password",
    "port",
    "search_path",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "user",
}
# libpq's, without a meaning here: deadlines and keep-alives are our own, the driver binds no channels.
_IGNORED = {"channel_binding", "connect_timeout", "gssencmode", "keepalives", "pgbouncer", "sslcompression"}
PLAIN = (_KNOWN | _IGNORED) - {"password", "sslpassword"}
"""Parameters whose values anybody may see."""


def is_postgres(url: str) -> bool:
    """Whether the URL names a PostgreSQL database, well or badly."""
    return url.partition(":")[0].lower() in SCHEMES


def normal_postgres_url(url: str) -> str:
    """The URL as the driver takes it: postgresql://…, without parameters that mean nothing to it.

    Raises Invalid for one that can't be meant, without its password.
    """
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise Invalid(f"The database URL can't be read; it takes {TAKES}.") from None
    if parts.scheme.lower() not in SCHEMES or not parts.netloc.rpartition("@")[2]:
        raise Invalid(f"The database URL is not complete; it takes {TAKES}.")
    if not re.fullmatch(r"/[^/]+", parts.path) or parts.fragment:
        raise Invalid(f"The database URL names no database; it takes {TAKES}.")
    for _, port in (one.rpartition("]")[2].partition(":")[::2] for one in _hosts(parts.netloc)):
        if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise Invalid(f"The database URL has a port that is none; it takes {TAKES}.")
    kept = [(name, value) for name, value in given if name not in _IGNORED and not name.startswith("keepal")]
    if unknown := sorted({name for name, _ in kept} - _KNOWN):
        raise Invalid(f"The database URL has a parameter that is not known: {unknown[0]}.")
    return urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(kept, quote_via=quote), ""))


def _hosts(netloc: str) -> list[str]:
    return netloc.rpartition("@")[2].split(",")
