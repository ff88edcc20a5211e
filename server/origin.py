"""Where people reach this server: the beginning of every address that leaves it.

Owns: which origin stands in an answer and which in a mail. Rules kept: E8, T9, a mail never holds an address
that whoever asked for it could choose, so the Host header counts only in answers, and where it names this
machine.
"""

from urllib.parse import urlsplit

from starlette.datastructures import URL
from starlette.requests import HTTPConnection

from party.errors import Conflict
from server.identity.addresses import is_loopback
from server.settings import Settings


class NoPublicUrl(Conflict):
    """This server can't mail links before the operator tells it its address: KANVAS_PUBLIC_URL."""

    code = "no_public_url"


def shown_origin(connection: HTTPConnection, settings: Settings) -> str:
    """For the eyes of who is asking: the public address, or the one they asked at."""
    if settings.public_url is not None:
        return settings.public_url
    url = URL(scope=connection.scope)
    return f"{url.scheme}://{url.netloc}"


def mailed_origin(connection: HTTPConnection, settings: Settings) -> str:
    """For the eyes of others. Raises NoPublicUrl when nobody can say for sure."""
    if settings.public_url is not None:
        return settings.public_url
    if not settings.is_loopback:
        raise NoPublicUrl
    host = connection.headers.get("host", "")
    if is_loopback(_name_of(host)):
        return f"{connection.url.scheme}://{host}"
    own = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{own}:{settings.port}"


def _name_of(host: str) -> str:
    """The name in a Host header; empty for what is none, such as what browsers read otherwise than we do."""
    try:
        parts = urlsplit(f"//{host}")
        # the port is read for its ValueError
        is_plain = parts.netloc == host and not set(host) & set("@\\") and parts.port != 0
    except ValueError:
        return ""
    return (parts.hostname or "") if is_plain else ""
