"""Where people reach this server: the beginning of every address that leaves it.

Owns: which origin stands in an answer and which in a mail. Rule kept: E8, a mail never holds an address that
whoever asked for it could choose, so the Host header counts only in answers, and where it names this machine.
"""

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
    return settings.public_url or _asked_at(connection)


def mailed_origin(connection: HTTPConnection, settings: Settings) -> str:
    """For the eyes of others. Raises NoPublicUrl when nobody can say for sure."""
    if settings.public_url is not None:
        return settings.public_url
    if not settings.is_loopback:
        raise NoPublicUrl
    if is_loopback(connection.url.hostname or ""):
        return _asked_at(connection)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def _asked_at(connection: HTTPConnection) -> str:
    url = URL(scope=connection.scope)
    return f"{url.scheme}://{url.netloc}"
