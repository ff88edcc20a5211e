"""Where Redis is and who we are there, and what its refusals mean.

Owns: the parts of KANVAS_REDIS_URL, words for what goes wrong. Does not own: connections.
Rule: nothing told here holds a password. Redis 5 repeats the words of a command it does not know, and AUTH is
among them: of a refusal only what is recognised is told.
"""

import os
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from party.errors import KanvasError

PORT: Final = 6379

REFUSALS: Final = {
    "WRONGPASS": "it refuses the user or password of KANVAS_REDIS_URL",
    "NOAUTH": "it asks for a password, and KANVAS_REDIS_URL has none",
    "NOPERM": "the user of KANVAS_REDIS_URL may not use all commands, keys and channels that begin with "
    "KANVAS_REDIS_PREFIX",
    "LOADING": "it is still starting",
    "MASTERDOWN": "it is a replica that has lost its master",
    "READONLY": "it is a replica, which takes no changes",
    "OOM": "its memory is full",
    "ERR unknown command": "it is older than Redis 6",
    "ERR max number of clients": "it has no connections left",
    "ERR DB index": "it has no database of this number",
    "NOPROTO": "it is older than Redis 6",
    "MISCONF": "its disk refuses snapshots, and so it takes no changes",
    "WRONGTYPE": "another program uses keys that begin with KANVAS_REDIS_PREFIX; choose another",
    "MOVED": "it is a cluster; name a Redis that is none",
    "CLUSTERDOWN": "it is a cluster; name a Redis that is none",
}
PIPED: Final = re.compile(r"Command # \d+ .* of pipeline caused error: (\(')?", re.DOTALL)
"""What redis-py puts before the words of Redis."""

NAMES: Final = {
    "AuthenticationError": "WRONGPASS",
    "AuthenticationWrongNumberOfArgsError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
}
"""redis-py's exceptions, which have lost the word that says what they are."""


class RedisAway(KanvasError):
    """Redis does not answer; what needs it works again when it does."""

    code = "redis_away"
    status = 503
    close_code = 1013


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """The parts of `redis://[user:password@]host[:port][/number]`; rediss is with TLS."""

    host: str
    port: int
    database: int
    is_tls: bool
    user: str
    password: str | None = field(repr=False)

    @property
    def shown(self) -> str:
        """For logs: the place alone."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"


def read_address(url: str) -> RedisAddress:
    """The parts of a checked address (`setting_types.redis_url`)."""
    parts = urlsplit(url)
    return RedisAddress(
        host=parts.hostname or "",
        port=parts.port or PORT,
        database=int(parts.path.removeprefix("/") or 0),
        is_tls=parts.scheme == "rediss",
        user=unquote(parts.username or "") or "default",
        password=unquote(parts.password) if parts.password is not None else None,
    )


def explain(error: BaseException) -> str:
    """Why Redis can't be used, in words that complete "Redis is away: ..."; without any secret."""
    told = PIPED.sub("", str(error))
    for begin, words in REFUSALS.items():
        # redis-py takes the ERR off
        if told.startswith((begin, begin.removeprefix("ERR "))):
            return words
    if told.startswith("Authentication required"):
        return REFUSALS["NOAUTH"]
    name = type(error).__name__
    if name in NAMES or "invalid username-password" in told:
        return REFUSALS[NAMES.get(name, "WRONGPASS")]
    if isinstance(error, TimeoutError) or name == "TimeoutError":
        return "it does not answer"
    if isinstance(error, ConnectionError | OSError) or name == "ConnectionError":
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        return f"it can't be reached{_cause(cause)}"
    return f"it answered with an error ({told.split(' ', 1)[0][:40]})" if told else f"it failed ({name})"


def _cause(error: BaseException) -> str:
    if isinstance(error, socket.gaierror | ssl.SSLError):
        return f" ({error.strerror})"
    # redis-py keeps the number in its words alone
    told = re.match(r"Error (\d+) connecting", str(error))
    number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
    return f" ({os.strerror(number).lower()})" if number else ""
