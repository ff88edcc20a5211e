"""The settings: one table of names, types, defaults and help, read once into a frozen object.

Owns: every `KANVAS_*` variable, what it takes, and how a wrong one is told. Does not own: files and folders
(`secret.py`, `services.py`), the engine's limits (`party/limits.py`).

Rules: all problems are reported together, one line each; an unknown `KANVAS_*` is a problem, save those that
Kubernetes injects for a service called kanvas; an empty value means the default; a secret is never shown.
"""

import difflib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from db.postgres_url import PLAIN
from server.blobs.address import PARAMETERS
from server.masks import MASK, mask_address
from server.settings.bounds import Bounds
from server.settings.people import People
from server.settings.place import Place
from server.settings.running import Running

PREFIX: Final = "KANVAS_"
SECRETS: Final = frozenset(
    {"secret", "smtp_url", "encryption_keys", "oidc_client_secret", "metrics_token", "sentry_dsn"}
)
ADDRESSES: Final = {"database_url": PLAIN, "blobs_url": frozenset(PARAMETERS)}
"""Which of their parameters may be shown; of other addresses none."""

KUBERNETES: Final = re.compile(r"KANVAS_SERVICE_\w+|KANVAS_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?")
"""What Kubernetes puts into every container beside a service called kanvas (besides KANVAS_PORT=tcp://...)."""


class SettingsError(Exception):
    """The environment holds settings that are not valid; `problems` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(Running, Bounds, People, Place):
    """Everything that can be set. Make it with `read_settings`; in tests call it with keywords."""

    # pydantic takes the fields of the last base first: place, people, bounds, running

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    @property
    def effective_database_url(self) -> str:
        """The database's address, the default one being in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'kanvas.db'}"

    @property
    def effective_blobs_url(self) -> str:
        """Where images and files are kept, by default in the data folder."""
        return self.blobs_url or f"file://{quote(str(self.data_dir / 'blobs'))}"

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can connect."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed in: `read_settings` is the one place that looks at the environment."""
        return (init_settings,)


def _takes(field: FieldInfo) -> Mapping[str, str]:
    extra = field.json_schema_extra
    return {key: str(value) for key, value in extra.items()} if isinstance(extra, dict) else {}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the settings table, for the README and `kanvas check`."""

    name: str
    type: str
    default: str
    help: str
    secret: bool


def settings_table() -> list[Row]:
    """Every setting, in the order of the documentation."""
    return [
        Row(
            name=PREFIX + name.upper(),
            type=_takes(field)["kind"],
            default=_takes(field)["shown"],
            help=field.description or "",
            secret=name in SECRETS,
        )
        for name, field in Settings.model_fields.items()
    ]


def effective_rows(settings: Settings) -> list[tuple[str, str]]:
    """Every setting's name and its value now, secrets masked."""
    values: dict[str, str] = {}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if isinstance(value, bool):
            values[name] = "on" if value else "off"
        elif isinstance(value, tuple):
            values[name] = ",".join(map(str, value))
        else:
            values[name] = "" if value is None else str(value)
    values["database_url"] = mask_address(settings.effective_database_url, PLAIN)
    values["blobs_url"] = settings.effective_blobs_url
    values["otlp_url"] = mask_address(values["otlp_url"])
    values["secret"] = MASK if settings.secret else f"{MASK} (in {settings.data_dir / 'secret'})"
    return [(PREFIX + name.upper(), value) for name, value in values.items()]


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check the environment. Raises SettingsError with every problem at once."""
    given = {
        name.removeprefix(PREFIX).lower(): value.strip()
        for name, value in environ.items()
        if name.startswith(PREFIX) and not _is_kubernetes(name, value)
    }
    problems = [_unknown(name) for name in given if name not in Settings.model_fields]
    source = EnvSettingsSource(Settings, env_ignore_empty=True)
    source.env_vars = {name: value for name, value in given.items() if value}
    try:
        settings = Settings(**source())
    except ValidationError as error:
        wrong = sorted({str(one["loc"][0]) for one in error.errors()}, key=list(Settings.model_fields).index)
        problems += [_wrong(name, given.get(name, "")) for name in wrong]
        raise SettingsError(problems) from None
    problems += _together(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def _together(settings: Settings) -> list[str]:
    """Settings that mean something only together: every problem."""
    problems = []
    tokens = {
        "KANVAS_JWT_JWKS_URL": settings.jwt_jwks_url,
        "KANVAS_JWT_ISSUER": settings.jwt_issuer,
        "KANVAS_JWT_AUDIENCE": settings.jwt_audience,
    }
    missing = [name for name, value in tokens.items() if value is None]
    if missing and len(missing) < len(tokens):
        problems.append(f"{', '.join(missing)} must be set too, to take tokens of an identity provider.")
    if settings.oidc_issuer is not None:
        if settings.oidc_client_id is None:
            problems.append("KANVAS_OIDC_CLIENT_ID must be set too, to sign in at KANVAS_OIDC_ISSUER.")
        if settings.public_url is None and not settings.is_loopback:
            problems.append("KANVAS_PUBLIC_URL must be set too: KANVAS_OIDC_ISSUER sends people back to it.")
    elif settings.oidc_client_id is not None or settings.oidc_client_secret is not None:
        problems.append("KANVAS_OIDC_ISSUER must be set too, to sign in with KANVAS_OIDC_CLIENT_ID.")
    if settings.encryption_keys is not None and settings.asset_delivery == "redirect":
        problems.append(
            "KANVAS_ASSET_DELIVERY=redirect does not go with KANVAS_ENCRYPTION_KEYS: storage has only what "
            "this server can read, so it streams files itself; take auto or stream."
        )
    if settings.smtp_url is not None and settings.public_url is None and not settings.is_loopback:
        problems.append(
            "KANVAS_PUBLIC_URL must be set too: the links in mails of KANVAS_SMTP_URL lead to it."
        )
    return problems


def _is_kubernetes(name: str, value: str) -> bool:
    is_port = name == f"{PREFIX}PORT" and re.match(r"(tcp|udp|sctp)://", value)
    return bool(is_port or KUBERNETES.fullmatch(name))


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, Settings.model_fields, n=1, cutoff=0.6)
    hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else "; `kanvas check` lists all there are."
    return f"{PREFIX}{name.upper()} is not a setting{hint}"


def _wrong(name: str, value: str) -> str:
    is_address = _takes(Settings.model_fields[name])["kind"] == "url" or "://" in value
    shown = MASK if name in SECRETS else value
    if is_address and shown is value:
        shown = mask_address(value, ADDRESSES.get(name, ()))
    takes = _takes(Settings.model_fields[name])["takes"]
    return f"{PREFIX}{name.upper()}={shown} is not valid; it takes {takes}."
