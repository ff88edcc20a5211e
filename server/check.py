"""`kanvas check`: the settings in effect, and every part tried for real.

Owns: the trials and their table. Does not own: the settings.
Rule: a trial writes what the server would write, durably, and leaves nothing behind.
"""

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from db.cipher import list_keys
from db.database import open_database
from db.idempotency import purge_answers, store_answer
from db.migrate import current_revision, head_revision
from db.postgres_url import is_postgres
from db.row_security import is_held
from db.scopes import as_system
from party.errors import KanvasError, Unavailable
from server.backplane import check_redis_library
from server.blobs.open import open_blobs
from server.blobs.trial import describe
from server.pages import find_client
from server.redis.address import RedisAway
from server.secret import ensure_data_dir, load_secret
from server.setting_types import read_keys
from server.settings import Settings, SettingsError, effective_rows
from server.supervisor import is_possible
from server.vault.cipher import VaultCipher
from server.workers import find_problems

UNHELD = (
    "The role in KANVAS_DATABASE_URL is a superuser or has BYPASSRLS, so row-level security does not hold "
    "it: Kanvas itself alone keeps apart what is whose. Give it a role without (see README, PostgreSQL)."
)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Failed(Exception):
    """A trial failed; the message says what to do."""


class Warned(Exception):
    """A trial passed, and yet something may be wrong; the message says what."""


@dataclass(frozen=True, slots=True)
class Result:
    """One trial: what was tried, what came of it."""

    part: str
    passed: bool
    told: str
    is_warning: bool = False


def run_checks(settings: Settings) -> bool:
    """Print both tables; True when every trial passed."""
    console = Console()
    table = Table("Setting", "Value", title="Settings in effect", title_justify="left")
    for name, value in effective_rows(settings):
        table.add_row(name, escape(value) or "-")
    console.print(table)
    results = asyncio.run(try_all(settings))
    table = Table("Part", "", "What was found", title="Trials", title_justify="left")
    for one in results:
        mark = "[green]ok[/green]" if one.passed else "[red]failed[/red]"
        mark = "[yellow]warning[/yellow]" if one.is_warning else mark
        table.add_row(one.part, mark, escape(one.told))
    console.print(table)
    return all(one.passed for one in results)


async def try_all(settings: Settings) -> list[Result]:
    """Every trial, in the order of a start."""
    trials: list[tuple[str, Callable[[Settings], Awaitable[str]]]] = [
        ("data folder", _try_data_dir),
        ("secret", _try_secret),
        ("database", _try_database),
        ("images", _try_blobs),
        ("Redis", _try_redis),
        ("browser client", _try_client),
        ("workers", _try_workers),
    ]
    if settings.smtp_url is not None:
        trials.append(("mail server", _try_mail))
    if settings.encryption_keys is not None:
        trials.append(("encryption", _try_encryption))
    if settings.jwt_jwks_url is not None:
        trials.append(("keys of tokens", _try_keys))
    if settings.oidc_issuer is not None:
        trials.append(("identity provider", _try_provider))
    return [await _try(part, trial, settings) for part, trial in trials]


async def _try(part: str, trial: Callable[[Settings], Awaitable[str]], settings: Settings) -> Result:
    try:
        return Result(part, True, await trial(settings))
    except Warned as warning:
        return Result(part, True, str(warning), is_warning=True)
    except (Failed, SettingsError, KanvasError) as error:
        return Result(part, False, str(error))


async def _try_data_dir(settings: Settings) -> str:
    folder = ensure_data_dir(settings)
    try:
        await asyncio.to_thread(_write_and_sync, folder)
    except OSError as error:
        raise Failed(f"{folder} can't be written to: {error.strerror}.") from error
    return f"{folder} takes files"


def _write_and_sync(folder: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"kanvas")
        file.flush()
        os.fsync(file.fileno())


async def _try_secret(settings: Settings) -> str:
    load_secret(settings)
    if settings.secret:
        return "from KANVAS_SECRET"
    place = settings.data_dir / "secret"
    shared = "KANVAS_REDIS_URL" if settings.redis_url is not None else "PostgreSQL"
    if settings.redis_url is not None or is_postgres(settings.effective_database_url):
        raise Warned(
            f"in {place}, alone on this machine. With {shared} several may serve together; each would make "
            "a secret of its own, refuse the others' tokens and not hear what they say: set the same "
            "KANVAS_SECRET on each."
        )
    return f"in {place}"


async def _try_database(settings: Settings) -> str:
    url = settings.effective_database_url
    current, head = current_revision(url), head_revision()
    if current is None:
        raise Failed(
            "There are no tables in it yet; `kanvas migrate`, or the first `kanvas serve`, makes them."
        )
    if current != head:
        raise Failed(f"The database is at revision {current}, not at {head}; type: kanvas migrate")
    async with open_database(url, timeout_s=settings.database_timeout_s) as database:
        await as_system(database).write(_leave_no_trace)
        is_safe = await as_system(database).read(is_held)
    told = f"revision {current}, a commit reached the disk"
    if not is_safe:
        raise Warned(f"{told}. {UNHELD}")
    return told


def _leave_no_trace(conn: Connection) -> None:
    """Dirty a page and clean it again, so that the commit has something to sync."""
    store_answer(conn, "", "kanvas check", "", 204, "{}", b"", LONG_AGO)
    purge_answers(conn, LONG_AGO + timedelta(seconds=1))


async def _try_blobs(settings: Settings) -> str:
    async with open_blobs(settings, load_secret(settings)) as blobs:
        try:
            await blobs.check()
        except Unavailable as error:
            raise Failed(describe(error)) from error
    return f"{settings.effective_blobs_url} takes files"


async def _try_encryption(settings: Settings) -> str:
    url = settings.effective_database_url
    if settings.encryption_keys is None or current_revision(url) != head_revision():
        raise Failed("This needs the tables of this version; type: kanvas migrate")
    async with open_database(url, timeout_s=settings.database_timeout_s) as database:
        keys = await as_system(database).read(list_keys)
    cipher = VaultCipher(read_keys(settings.encryption_keys.get_secret_value()), keys)
    if cipher.failures:
        raise Failed(" ".join(dict.fromkeys(cipher.failures.values())))
    if not keys:
        return "the server makes a first data key when it starts"
    if cipher.key_id is None:
        raise Warned(
            "Nothing new is encrypted (kanvas keys rotate --to plain); kanvas keys rotate changes that."
        )
    return f"data key {cipher.key_id} is in use, {len(keys) - 1} older ones open"


async def _try_redis(settings: Settings) -> str:
    if settings.redis_url is None:
        return "none: this process is alone"
    check_redis_library()
    from server.redis.trial import try_redis  # noqa: PLC0415

    try:
        return await try_redis(settings.redis_url.get_secret_value(), settings.redis_prefix)
    except RedisAway as error:
        raise Failed(error.message) from error


async def _try_client(settings: Settings) -> str:  # noqa: ARG001 - it has no setting
    found = find_client()
    if found is None:
        raise Failed("The browser client is not built; type: make setup")
    return f"built, in {found}"


async def _try_workers(settings: Settings) -> str:
    if problems := find_problems(settings, is_supervised=settings.supervisor and is_possible()):
        raise SettingsError(problems)
    return "one serving process" if settings.workers == 1 else f"{settings.workers} behind one port"


async def _try_mail(settings: Settings) -> str:
    from server.mail.open import make_mailer  # noqa: PLC0415 - only with a mail server

    mailer = make_mailer(settings, lambda: datetime.now(UTC))
    if mailer is None:
        return "none"
    return await mailer.check()


async def _try_keys(settings: Settings) -> str:
    from server.identity.fetching import FetchError, fetch  # noqa: PLC0415 - only with a provider
    from server.identity.keys import BadKeysError, parse_keys  # noqa: PLC0415

    try:
        keys = parse_keys(await fetch(settings.jwt_jwks_url or ""))
    except (FetchError, BadKeysError) as error:
        raise Failed(f"The keys at {settings.jwt_jwks_url} can't be used: {error}.") from error
    return f"{len(keys)} at {settings.jwt_jwks_url}"


async def _try_provider(settings: Settings) -> str:
    from server.identity.opening import make_provider  # noqa: PLC0415 - only with a provider

    provider = make_provider(settings)
    if provider is None:
        raise Failed("KANVAS_OIDC_CLIENT_ID must be set too.")
    try:
        await provider.try_out()
    except KanvasError as error:
        raise Failed(f"{settings.oidc_issuer} can't be used: {error.message}") from error
    finally:
        await provider.aclose()
    return f"{settings.oidc_issuer} answers, with keys"
