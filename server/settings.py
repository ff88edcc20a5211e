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
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from db.postgres_url import PLAIN
from server import setting_types as kinds
from server.blobs.address import PARAMETERS, TAKES
from server.masks import MASK, mask_address
from server.setting_types import setting

PREFIX: Final = "KANVAS_"
SECRETS: Final = frozenset({"secret", "oidc_client_secret", "metrics_token", "sentry_dsn"})
ADDRESSES: Final = {"database_url": PLAIN, "blobs_url": frozenset(PARAMETERS)}
"""Which of their parameters may be shown; of other addresses none."""

KUBERNETES: Final = re.compile(r"KANVAS_SERVICE_\w+|KANVAS_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?")
"""What Kubernetes puts into every container beside a service called kanvas (besides KANVAS_PORT=tcp://...)."""


class SettingsError(Exception):
    """The environment holds settings that are not valid; `problems` has one line for each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Settings(BaseSettings):
    """Everything that can be set. Make it with `read_settings`; in tests call it with keywords."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", validate_default=True)

    host: Annotated[str, AfterValidator(kinds.host)] = setting(
        "127.0.0.1",
        "address",
        "an IP address or a host name",
        "Address to listen on; 0.0.0.0 or :: lets other machines in.",
        shown="127.0.0.1",
    )
    port: int = setting(
        8000,
        "integer",
        "a whole number from 0 to 65535",
        "Port to listen on; 0 takes any free one.",
        shown="8000",
        ge=0,
        le=65535,
    )
    data_dir: Annotated[Path, AfterValidator(kinds.data_dir)] = setting(
        Path(".data"),
        "path",
        "a folder",
        "Folder for the database, the images and the generated secret.",
        shown="./.data",
    )
    database_url: Annotated[str | None, AfterValidator(kinds.database_url)] = setting(
        None,
        "url",
        "sqlite:////absolute/path.db, or postgresql://user:password@host:port/database",
        "Where the database is: a SQLite file, or PostgreSQL.",
        shown="sqlite:///{data_dir}/kanvas.db",
        # it may hold a password
        repr=False,
    )
    database_pool: int = setting(
        8,
        "integer",
        "a whole number from 1 to 1000",
        "Most connections to PostgreSQL of one process, besides those that save edits.",
        shown="8",
        ge=1,
        le=1000,
    )
    database_committers: int = setting(
        2,
        "integer",
        "a whole number from 1 to 16",
        "Connections to PostgreSQL of one process that save edits; rooms are dealt out to them.",
        shown="2",
        ge=1,
        le=16,
    )
    database_timeout_s: int = setting(
        5,
        "integer",
        "a whole number of seconds from 1 to 300",
        "Seconds a transaction in PostgreSQL may take before it is given up.",
        shown="5",
        ge=1,
        le=300,
    )
    blobs_url: Annotated[str | None, AfterValidator(kinds.blobs_url)] = setting(
        None,
        "url",
        TAKES,
        "Where images and files are kept: a folder, or a bucket of S3 or R2.",
        shown="file://{data_dir}/blobs",
    )
    redis_url: Annotated[SecretStr | None, AfterValidator(kinds.redis_url)] = setting(
        None,
        "url",
        "redis://[user:password@]host[:port][/number], or rediss:// with TLS",
        "Redis, for several processes that serve the same rooms; empty is one process alone.",
        shown="",
    )
    redis_prefix: str = setting(
        "kanvas:",
        "text",
        "up to 64 letters, digits and . _ : -",
        "What all our keys and channels in Redis begin with; two installations need two.",
        shown="kanvas:",
        pattern=r"^[A-Za-z0-9._:-]{1,64}$",
    )
    guests: Annotated[bool, BeforeValidator(kinds.switch)] = setting(
        True, "on or off", "on or off", "Whether anybody may come in by giving a name.", shown="on"
    )
    origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(kinds.origins)] = setting(
        (),
        "list",
        "origins separated by commas, such as https://app.example.org, or *",
        "Other web origins whose pages may call this server; empty allows only its own pages.",
        shown="",
    )
    public_url: Annotated[str | None, AfterValidator(kinds.public_url)] = setting(
        None,
        "url",
        "an origin without a path, such as https://kanvas.example.org",
        "Where people reach this server behind a proxy; https makes the session cookie secure.",
        shown="",
    )
    secret: Annotated[SecretStr | None, AfterValidator(kinds.secret)] = setting(
        None,
        "text",
        "at least 32 bytes, for example the output of: openssl rand -hex 32",
        "Key that signs sign-in tokens; whoever has it can be anybody.",
        shown="generated into {data_dir}/secret",
    )
    token_ttl_s: int = setting(
        86_400,
        "integer",
        "a whole number of seconds from 60 to 7776000",
        "Seconds a sign-in token is valid; our client renews it by itself.",
        shown="86400",
        ge=60,
        le=7_776_000,
    )
    jwt_jwks_url: Annotated[str | None, AfterValidator(kinds.provider_url)] = setting(
        None,
        "url",
        "an https address",
        "Where the public keys of your identity provider are; its tokens are then taken as bearer tokens.",
        shown="",
    )
    jwt_issuer: Annotated[str | None, AfterValidator(kinds.jwt_issuer)] = setting(
        None,
        "text",
        "what the claim iss of its tokens says",
        "Issuer of those tokens, letter by letter.",
        shown="",
    )
    jwt_audience: str | None = setting(
        None,
        "text",
        "what the claim aud of its tokens says or has",
        "Audience of those tokens: that they are made for this server.",
        shown="",
    )
    name_claims: Annotated[tuple[str, ...], NoDecode, BeforeValidator(kinds.words)] = setting(
        ("name", "preferred_username", "nickname"),
        "list",
        "claims separated by commas",
        "Claims of the identity provider that say what somebody is called; the first that is there counts.",
        shown="name,preferred_username,nickname",
    )
    admin_claim: Annotated[str | None, AfterValidator(kinds.admin_claim)] = setting(
        None,
        "text",
        "a claim and its value, such as realm_access.roles=kanvas-admin",
        "Claim of the identity provider that makes somebody an operator; empty is nobody.",
        shown="",
    )
    oidc_issuer: Annotated[str | None, AfterValidator(kinds.provider_url)] = setting(
        None,
        "url",
        "the issuer's https address, without /.well-known/openid-configuration",
        "Identity provider to sign in at, by OpenID Connect; the sign-in page then has a button for it.",
        shown="",
    )
    oidc_client_id: str | None = setting(
        None, "text", "the client id", "What the provider calls this server.", shown=""
    )
    oidc_client_secret: SecretStr | None = setting(
        None, "text", "the client secret", "Empty for a public client, which PKCE alone protects.", shown=""
    )
    oidc_scopes: Annotated[str, AfterValidator(kinds.scopes)] = setting(
        "openid profile",
        "text",
        "scopes separated by spaces, openid among them",
        "What is asked of the provider.",
        shown="openid profile",
    )
    oidc_button: str = setting(
        "Sign in",
        "text",
        "up to 40 characters",
        "Text of the button, such as: Sign in with Example.",
        shown="Sign in",
        min_length=1,
        max_length=40,
    )
    oidc_session_s: int = setting(
        604_800,
        "integer",
        "a whole number of seconds from 300 to 7776000",
        "Seconds after which somebody who came by the provider signs in there again.",
        shown="604800",
        ge=300,
        le=7_776_000,
    )
    max_asset_bytes: int = setting(
        512 * 1024 * 1024,
        "integer",
        "a whole number of bytes from 1024 to 1099511627776",
        "Largest file, in bytes; an image has at most 104857600 whatever this says.",
        shown="536870912",
        ge=1024,
        le=1024**4,
    )
    room_quota_bytes: int = setting(
        10 * 1024**3,
        "integer",
        "a whole number of bytes from 1024 to 1125899906842624",
        "Most bytes of images and files one room may have stored.",
        shown="10737418240",
        ge=1024,
        le=1024**5,
    )
    user_quota_bytes: int = setting(
        20 * 1024**3,
        "integer",
        "a whole number of bytes from 1024 to 1125899906842624",
        "Most bytes of images and files one user may have stored, in all rooms together.",
        shown="21474836480",
        ge=1024,
        le=1024**5,
    )
    asset_delivery: Annotated[Literal["auto", "redirect", "stream"], BeforeValidator(kinds.lower)] = setting(
        "auto",
        "word",
        "auto, redirect or stream",
        "How files are read: sent to storage with a signed address, or streamed by this server; "
        "auto redirects to S3 and streams files.",
        shown="auto",
    )
    signed_url_ttl_s: int = setting(
        3600,
        "integer",
        "a whole number of seconds from 60 to 604800",
        "Seconds a signed address to read a file is good for.",
        shown="3600",
        ge=60,
        le=604_800,
    )
    import_networks: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
        NoDecode,
        BeforeValidator(kinds.networks),
    ] = setting(
        (),
        "list",
        "networks separated by commas, such as 10.0.0.0/8, fd12:3456::/32",
        "Networks of yours that images may be imported from, too; empty allows only the public internet.",
        shown="",
    )
    max_user_connections: int = setting(
        64,
        "integer",
        "a whole number from 1 to 1000000",
        "Most connections to rooms one user may have at once; each open tab is one.",
        shown="64",
        ge=1,
        le=1_000_000,
    )
    max_room_connections: int = setting(
        1000,
        "integer",
        "a whole number from 1 to 1000000",
        "Most connections one room may have at once.",
        shown="1000",
        ge=1,
        le=1_000_000,
    )
    rate_limits: Annotated[str, AfterValidator(kinds.rate_limits)] = setting(
        "",
        "list",
        "off, or action=limit/seconds and action=off, separated by commas, such as default=20/60,read=off",
        "Changes to how often a user may do something (section Rate limits); off counts nothing.",
        shown="",
    )
    rate_plans: Annotated[str, AfterValidator(kinds.rate_plans)] = setting(
        "",
        "list",
        "plan=xFACTOR and plan:action=limit/seconds, separated by commas, such as pro=x5,bot:party.write=off",
        "Rates of users whose token has this `plan`: all of them multiplied, or single ones.",
        shown="",
    )
    trusted_proxies: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...],
        NoDecode,
        BeforeValidator(kinds.proxies),
    ] = setting(
        "127.0.0.0/8,::1",
        "list",
        "networks separated by commas, such as 127.0.0.1,10.0.0.0/8, or none",
        "Proxies whose X-Forwarded-For, X-Forwarded-Proto or Forwarded is believed.",
        shown="127.0.0.0/8,::1",
    )
    jobs: Annotated[bool, BeforeValidator(kinds.switch)] = setting(
        True,
        "on or off",
        "on or off",
        "Whether the serving process also does jobs; with off, run `kanvas worker` beside it.",
        shown="on",
    )
    jobs_at_once: int = setting(
        2,
        "integer",
        "a whole number from 1 to 64",
        "Most jobs that one process does at once.",
        shown="2",
        ge=1,
        le=64,
    )
    supervisor: Annotated[bool, BeforeValidator(kinds.switch)] = setting(
        True,
        "on or off",
        "on or off",
        "Whether a small process replaces the serving one when it hangs or crashes; not on Windows.",
        shown="on",
    )
    workers: int = setting(
        1,
        "integer",
        "a whole number from 1 to 64",
        "Serving processes behind the one port, each for its share of the rooms; more than one needs "
        "PostgreSQL and Redis.",
        shown="1",
        ge=1,
        le=64,
    )
    hung_after_s: int = setting(
        10,
        "integer",
        "a whole number of seconds from 2 to 600",
        "Seconds without a sign of life after which the serving process is replaced.",
        shown="10",
        ge=2,
        le=600,
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(kinds.lower)] = (
        setting(
            "info",
            "word",
            "debug, info, warning or error",
            "Least important log lines to write.",
            shown="info",
        )
    )
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(kinds.lower)] = setting(
        "auto",
        "word",
        "auto, json or console",
        "Shape of the log lines; auto is console on a terminal and json elsewhere.",
        shown="auto",
    )

    metrics_token: Annotated[SecretStr | None, AfterValidator(kinds.token)] = setting(
        None,
        "text",
        "at least 16 visible characters without spaces",
        "Bearer token that /metrics asks for; empty lets only this machine read them.",
        shown="",
    )
    otlp_url: Annotated[str | None, AfterValidator(kinds.http_url)] = setting(
        None,
        "url",
        "http:// or https:// with a path, such as http://127.0.0.1:4318/v1/traces",
        "OpenTelemetry collector that traces are sent to, over OTLP/HTTP; empty makes none.",
        shown="",
        # it may hold a password
        repr=False,
    )
    sentry_dsn: Annotated[SecretStr | None, AfterValidator(kinds.dsn)] = setting(
        None,
        "url",
        "the DSN of a Sentry project, such as https://key@sentry.example.org/1",
        "Sentry project that errors are sent to; empty sends none.",
        shown="",
    )

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
