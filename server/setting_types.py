"""What a setting may be: one function for each kind of value, from text to what the code uses.

Owns: checking and normalising single values, and the shape of one row of the table. Does not own: the table
and how a wrong value is told (`settings/`). Rule: a wrong value is a ValueError, whose words nobody sees.
"""

import base64
import ipaddress
import re
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, SecretStr

from db.postgres_url import is_postgres, normal_postgres_url
from party.errors import Invalid
from server.blobs.address import read_address
from server.identity.addresses import is_safe_address
from server.rates.actions import read_table

HOST_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_-]{1,63})*", re.I
)
OWN_ISSUER: Final = "kanvas"
KEY_BYTES: Final = 32
DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def host(value: str) -> str:
    bare = value.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        if not HOST_NAME.fullmatch(bare) or re.fullmatch(r"[\d.]+", bare):
            raise ValueError("not an address") from None
    return bare


def data_dir(value: Path) -> Path:
    return value.expanduser().absolute()


def switch(value: object) -> object:
    if isinstance(value, str):
        try:
            return {"on": True, "off": False}[value.strip().lower()]
        except KeyError:
            raise ValueError("not on or off") from None
    return value


def lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def normal_origin(value: str) -> str:
    """An origin as browsers write it: lower case, no default port. Raises ValueError."""
    parts = urlsplit(value.strip().removesuffix("/"))
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path or parts.query or parts.fragment:
        raise ValueError("not an origin")
    if parts.username is not None or parts.password is not None:
        raise ValueError("not an origin")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port
    return f"{parts.scheme}://{host}" + (
        f":{port}" if port not in (None, DEFAULT_PORTS[parts.scheme]) else ""
    )


def origins(value: object) -> object:
    if isinstance(value, str):
        given = [part.strip() for part in value.split(",") if part.strip()]
        return tuple("*" if one == "*" else normal_origin(one) for one in given)
    return value


def networks(value: object) -> object:
    if isinstance(value, str):
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())
    return value


def proxies(value: object) -> object:
    # empty is the default, so nobody has a word of its own
    return () if isinstance(value, str) and value.strip().lower() == "none" else networks(value)


def rate_limits(value: str) -> str:
    read_table(limits=value)
    return value


def rate_plans(value: str) -> str:
    read_table(plans=value)
    return value


def public_url(value: str | None) -> str | None:
    return None if value is None else normal_origin(value)


def database_url(value: str | None) -> str | None:
    if value is None:
        return None
    if is_postgres(value):
        try:
            normal_postgres_url(value)
        except Invalid as error:
            raise ValueError("not an address of a database") from error
    elif not value.startswith("sqlite:///") or len(value) == len("sqlite:///"):
        raise ValueError("not an address of a database")
    return value


def blobs_url(value: str | None) -> str | None:
    if value is not None:
        read_address(value)
    return value


def redis_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        parts = urlsplit(value.get_secret_value())
        # the port is read for its ValueError
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.port == 0:
            raise ValueError("not a Redis address")
        # else the resolver fails with an error of its own, at every start
        host(parts.hostname.removesuffix("."))
        if not re.fullmatch(r"(/\d{0,3})?", parts.path) or parts.query or parts.fragment:
            raise ValueError("not a Redis address")
    return value


def provider_url(value: str | None) -> str | None:
    """An address of an identity provider: https, or http on this machine. Kept as it is: it is compared."""
    if value is not None and not is_safe_address(value):
        raise ValueError("not a safe address")
    return value


def jwt_issuer(value: str | None) -> str | None:
    if value is not None and value == OWN_ISSUER:
        raise ValueError("the name of our own tokens")
    return value


def words(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def scopes(value: str) -> str:
    given = value.split()
    if "openid" not in given or not all(re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", one) for one in given):
        raise ValueError("no scopes of OpenID Connect")
    return " ".join(given)


def admin_claim(value: str | None) -> str | None:
    if value is not None and not all(part.strip() for part in value.rpartition("=")[::2]):
        raise ValueError("not a claim and a value")
    return value


def token(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not re.fullmatch(r"[!-~]{16,512}", value.get_secret_value()):
        raise ValueError("not a token")
    return value


def collector(value: str | None) -> str | None:
    if value is not None:
        parts = urlsplit(value)
        # the port is read for its ValueError
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("not an address")
        if parts.path in ("", "/"):
            # where collectors take traces; as an endpoint they tell their host and port alone
            value = parts._replace(path="/v1/traces").geturl()
    return value


def dsn(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        parts = urlsplit(value.get_secret_value())
        is_dsn = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and parts.username
        if not is_dsn or not re.fullmatch(r"(/[\w.-]+)*/\d+", parts.path):
            raise ValueError("not a DSN")
    return value


def smtp_url(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        parts = urlsplit(value.get_secret_value())
        # the port is read for its ValueError
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.port == 0:
            raise ValueError("not the address of a mail server")
        host(parts.hostname.removesuffix("."))
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("not the address of a mail server")
    return value


def mail_from(value: str) -> str:
    name, address = parseaddr(value)
    is_line = value.isprintable() and len(value) <= 320
    if not is_line or not re.fullmatch(r"[^@\s<>\",;:]+@[^@\s<>\",;:]+", address) or "@" in name:
        raise ValueError("not an address")
    return value


def encryption_keys(value: SecretStr | None) -> SecretStr | None:
    if value is not None:
        read_keys(value.get_secret_value())
    return value


def read_keys(text: str) -> dict[str, bytes]:
    """Master keys by id, the one in use first. Raises ValueError."""
    keys: dict[str, bytes] = {}
    for part in text.split(","):
        key_id, _, encoded = part.strip().partition(":")
        raw = base64.b64decode(encoded, validate=True)
        if not re.fullmatch(r"[a-z0-9_-]{1,32}", key_id) or len(raw) != KEY_BYTES or key_id in keys:
            raise ValueError("not a key")
        keys[key_id] = raw
    return keys


def secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value().encode()) < 32:
        raise ValueError("too short")
    return value


def setting(default: Any, kind: str, takes: str, help_text: str, *, shown: str, **bounds: Any) -> Any:
    """One row of the table: its default, type, what it takes, and what it is for."""
    extra: dict[str, JsonValue] = {"kind": kind, "takes": takes, "shown": shown}
    return Field(default=default, description=help_text, json_schema_extra=extra, **bounds)
