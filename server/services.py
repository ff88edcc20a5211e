"""The services of one process: what routes and the transport are handed, in one frozen object.

Owns: opening them in order and closing them in reverse, the hourly clean-up, readiness.
Does not own: routes (app.py), the process (serve.py). This is the composition root: nothing else names an
adapter. Rules: whatever has a lifetime is entered here; every task lives in this TaskGroup.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

import structlog
from sqlalchemy import Connection
from starlette.requests import HTTPConnection

from db.accounts import purge_links as purge_sign_in_links
from db.chains import Seal
from db.comments import purge_threads
from db.database import Database, open_database
from db.idempotency import purge_answers
from db.invitations import purge_invitations
from db.journal import NO_CIPHER, SqlJournal, open_journal
from db.links import purge_links
from db.postgres_url import is_postgres
from db.queue import enqueue, purge_finished
from db.restraints import purge_exclusions
from db.rooms import purge_trash
from db.scopes import Transactions, as_system
from party.errors import KanvasError
from party.hub import Hub, open_hub
from party.limits import Limits
from party.ports import Bus, Recorder
from party.tally import Tally
from server.access import RoleKeeper
from server.assets.intake import Intake, open_intake
from server.assets.keeping import SWEEP, let_rooms_go
from server.audit.keeping import keep_recent, note_purged
from server.audit.refusals import Refusals, open_refusals
from server.auth import Tokens
from server.backplane import Backplane, open_backplane
from server.blobs.base import Blobs
from server.blobs.open import open_blobs, storage_origin
from server.blobs.sealed import SealedBlobs
from server.bounds import Bounds
from server.comments.live import Comments, open_comments
from server.compactor import open_compactor
from server.directory import Directory
from server.identity.opening import open_identity
from server.identity.revocations import Revocations
from server.identity.sessions import Sessions
from server.identity.verifier import Passports
from server.jobs.base import JobHandler
from server.jobs.runner import Runner, open_jobs
from server.keeper import LOOK_S, Keeper, open_keeper
from server.link import Post
from server.mail.base import Mailer
from server.mail.open import make_mailer
from server.media.studio import open_studio
from server.metered import REDIS, MeteredBlobs, MeteredDatabase
from server.oversight import Notes, Oversight, open_oversight
from server.overview import Overview, Phase
from server.packs import Packs, open_packs
from server.people import People
from server.places import Places
from server.purging import purge_elements
from server.rates.guard import Rates, open_rates
from server.readers import Readers, open_readers
from server.reporter import open_reporter
from server.secret import ensure_data_dir, load_secret
from server.settings import Settings
from server.tracing import Tracer, open_tracer
from server.traffic import Traffic, open_traffic
from server.trouble import open_trouble
from server.vault.opening import open_vault
from server.visits import Visits, open_visits

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from server.identity.provider import Provider

log = structlog.get_logger("kanvas.services")

TRASH_KEPT: Final = timedelta(days=30)
ANSWERS_KEPT: Final = timedelta(days=1)
REMOVED_THREADS_KEPT: Final = timedelta(days=30)
"""That a thread is gone, for pages that were open all the while."""
DONE_JOBS_KEPT: Final = timedelta(days=7)
DEAD_JOBS_KEPT: Final = timedelta(days=90)
WAYS_IN_KEPT: Final = timedelta(days=30)
"""Invitations and links, after their end."""

JOBS_PURGED: Final = 1000
"""In one transaction, for edits wait for the same writer; of invitations and links as many."""

POLL_S: Final = 1.0
"""How often a journal that other processes may write too is asked what is new (B5); the bus is faster."""

CLEAN_EVERY_S: Final = 3600.0
SWEEP_EVERY: Final = timedelta(days=1)


@dataclass(slots=True)
class Readiness:
    """Whether this process wants traffic."""

    phase: Phase = "starting"

    look: "asyncio.Task[str | None] | None" = None
    """At the database, for all who ask meanwhile (health.py)."""

    def drain(self) -> None:
        """From now on /readyz says no; what is under way goes on."""
        self.phase = "draining"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a request may need."""

    settings: Settings
    database: Database
    journal: SqlJournal
    hub: Hub
    tokens: Passports
    revocations: Revocations
    sessions: Sessions
    provider: "Provider | None"
    signing_key: bytes
    blobs: Blobs
    intake: Intake
    packs: Packs
    readers: Readers
    limits: Limits
    traffic: Traffic
    places: Places
    rates: Rates
    visits: Visits
    refusals: Refusals
    keeper: Keeper
    comments: Comments
    jobs: Runner
    backplane: Backplane
    tally: Tally
    notes: Notes
    oversight: Oversight
    access: RoleKeeper
    people: People
    overview: Overview
    tracer: Tracer
    post: Post
    mailer: Mailer | None
    readiness: Readiness = field(default_factory=Readiness)

    @property
    def bus(self) -> Bus:
        """To the other processes of this installation."""
        return self.backplane.bus

    @property
    def directory(self) -> Directory:
        """Who is where, on all of them."""
        return self.backplane.directory

    @property
    def redis(self) -> "Redis | None":
        """The client of KANVAS_REDIS_URL, None without."""
        return self.backplane.redis

    @property
    def redirects_reads(self) -> bool:
        """Whether who reads a file is sent to storage, or gets it from here."""
        chosen = self.settings.asset_delivery
        return chosen == "redirect" or (chosen == "auto" and storage_origin(self.settings) is not None)

    @staticmethod
    def now() -> datetime:
        """The time, aware, in UTC."""
        return datetime.now(UTC)


def services_of(connection: HTTPConnection) -> Services:
    """The services of the app this request or WebSocket came to."""
    services = connection.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - app.py puts it there before anything is served
    return services


@asynccontextmanager
async def open_services(
    settings: Settings,
    limits: Limits | None = None,
    bounds: Bounds | None = None,
    recorder: Recorder | None = None,
    role: Literal["serve", "worker"] = "serve",
    handlers: Mapping[str, JobHandler] | None = None,
    post: Post = Post(),  # noqa: B008 - immutable
) -> AsyncIterator[Services]:
    """Open everything; on leaving, put the jobs back, drain the rooms, and close the database last.

    A worker does jobs whatever the settings say, and leaves the clean-up and the notes of crashes to who
    serves: both are about rooms that are open there. `handlers` are for tests; the default is all kinds.
    `post` is what this one of several serving processes has to do.
    The database must be migrated. Raises SettingsError, Unavailable.
    """
    # modules with handlers import this one
    from server.jobs.kinds import HANDLERS  # noqa: PLC0415

    is_worker = role == "worker"
    limits = limits or Limits()
    ensure_data_dir(settings)
    secret = load_secret(settings)
    tokens = Tokens(secret, ttl_s=settings.token_ttl_s)
    places = Places(settings.max_user_connections, settings.max_room_connections)
    tally = Tally()
    async with open_database(
        settings.effective_database_url,
        pool=settings.database_pool,
        committers=settings.database_committers,
        timeout_s=settings.database_timeout_s,
        seal=Seal(secret),
    ) as adapter:
        database = MeteredDatabase(adapter, tally)
        vault = await open_vault(settings, database)
        journal = open_journal(database, NO_CIPHER if vault is None else vault.cipher)
        async with (
            _open_watching(settings) as tracer,
            open_blobs(settings, secret) as stored,
            open_visits(database, Services.now) as visits,
            open_refusals(as_system(database), Services.now) as refusals,
            open_traffic(bounds or Bounds.of(limits), tally) as traffic,
            open_keeper(
                database,
                None if is_worker else settings.data_dir,
                recorder,
                crashes=post.crashes,
                look_s=LOOK_S if is_postgres(database.url) else None,
            ) as keeper,
            open_compactor() as compactor,
            _open_files(settings) as (packs, readers, intake),
            open_backplane(settings, tally) as backplane,
            open_rates(
                settings,
                backplane.redis,
                limits.max_update_bytes,
                tally.meter(REDIS),
                lambda: tally.bus.joins,
            ) as rates,
            open_hub(
                journal,
                limits,
                compactor,
                keeper.guard,
                backplane.bus,
                bus_key=secret,
                # a file has one process, or two for a moment: each finds the other's rows when it writes
                poll_s=POLL_S if is_postgres(database.url) else None,
                tally=tally,
            ) as hub,
            open_identity(settings, tokens, database, Services.now) as identity,
            open_oversight(database, keeper.guard, hub, hub, Services.now) as oversight,
            open_comments(database, hub) as comments,
        ):
            identity.revocations.connect(hub)
            keeper.connect(hub)
            jobs = Runner(
                database,
                HANDLERS if handlers is None else handlers,
                at_once=settings.jobs_at_once,
                now=Services.now,
            )
            jobs.connect(hub)
            blobs = MeteredBlobs(stored if vault is None else SealedBlobs(stored, vault, secret), tally)
            access = RoleKeeper(as_system(database), hub, Services.now)
            people = People(hub)
            readiness = Readiness()
            if settings.otlp_url is not None:
                tally.on_commit = partial(_record_commit, tracer)
            services = Services(
                settings=settings,
                database=database,
                journal=journal,
                hub=hub,
                tokens=identity.passports,
                revocations=identity.revocations,
                sessions=identity.sessions,
                provider=identity.provider,
                signing_key=secret,
                blobs=blobs,
                intake=intake,
                packs=packs,
                readers=readers,
                limits=limits,
                traffic=traffic,
                places=places,
                rates=rates,
                visits=visits,
                refusals=refusals,
                keeper=keeper,
                comments=comments,
                backplane=backplane,
                jobs=jobs,
                tally=tally,
                notes=hub,
                oversight=oversight,
                access=access,
                people=people,
                overview=Overview(hub, hub, lambda: readiness.phase, serves=not is_worker),
                tracer=tracer,
                post=post,
                mailer=make_mailer(settings, Services.now),
                readiness=readiness,
            )
            async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
                looking = tasks.create_task(access.look_forever())
                stack.callback(access.close)
                stack.callback(people.close)
                stack.callback(looking.cancel)
                if not is_worker and post.does_chores:
                    cleaning = tasks.create_task(_every(CLEAN_EVERY_S, lambda: clean_up(services)))
                    stack.callback(cleaning.cancel)
                if vault is not None:
                    watching = tasks.create_task(vault.watch())
                    stack.callback(watching.cancel)
                if not is_worker:
                    await stack.enter_async_context(open_reporter(hub, database, backplane.directory))
                if is_worker or (settings.jobs and post.does_chores):
                    await stack.enter_async_context(open_jobs(services.jobs, services))
                stack.callback(services.readiness.drain)
                services.readiness.phase = "ready"
                yield services


# Python nests no more than twenty in one function
@asynccontextmanager
async def _open_watching(settings: Settings) -> AsyncIterator[Tracer]:
    async with open_trouble(settings), open_tracer(settings) as tracer:
        yield tracer


@asynccontextmanager
async def _open_files(settings: Settings) -> AsyncIterator[tuple[Packs, Readers, Intake]]:
    async with (
        open_packs() as packs,
        open_readers() as readers,
        open_studio() as studio,
        open_intake(settings.data_dir, studio) as intake,
    ):
        yield packs, readers, intake


def _record_commit(tracer: Tracer, room_id: str, took_s: float, rows: int) -> None:
    tracer.record("commit", took_s, room_id=room_id, rows=rows)


async def clean_up(services: Services) -> None:
    """Remove for good the rooms and elements deleted 30 days ago, answers nobody will repeat, and what killed
    processes left."""
    now, database = services.now(), as_system(services.database)

    def release(conn: Connection, room_ids: list[str]) -> None:
        let_rooms_go(conn, room_ids, now=now)
        note_purged(conn, room_ids, now)

    gone: list[str] = []
    while some := await database.write(lambda conn: purge_trash(conn, now - TRASH_KEPT, release)):
        gone += some
    await database.write(lambda conn: purge_answers(conn, now - ANSWERS_KEPT))
    await database.write(lambda conn: purge_exclusions(conn, now))
    await _purge_ways_in(database, now - WAYS_IN_KEPT)
    while await database.write(lambda conn: purge_threads(conn, now - REMOVED_THREADS_KEPT, 500)):
        pass
    await services.keeper.clean_up()
    await services.revocations.clean_up()
    await database.write(lambda conn: purge_sign_in_links(conn, now))
    await services.intake.tidy()
    await services.blobs.tidy()
    await _purge_jobs(database, now)
    await keep_recent(database, timedelta(days=services.settings.audit_days), now)
    due = partial(
        enqueue, kind=SWEEP, payload={"is_dry": False}, now=now, run_at=now + SWEEP_EVERY, key="daily"
    )
    await database.write(due)
    services.jobs.wake()
    if gone:
        log.info("trash purged", rooms=gone)
    if purged := await purge_elements(services.database, services.hub, now):
        log.info("deleted elements purged", rooms=purged)


async def _purge_jobs(database: Transactions, now: datetime) -> None:
    while await database.write(
        lambda conn: purge_finished(
            conn, done_before=now - DONE_JOBS_KEPT, dead_before=now - DEAD_JOBS_KEPT, limit=JOBS_PURGED
        )
    ):
        pass


async def _purge_ways_in(database: Transactions, before: datetime) -> None:
    for purge in (purge_invitations, purge_links):
        while await database.write(partial(purge, before=before, limit=JOBS_PURGED)):
            pass


async def _every(pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        start = time.monotonic()
        try:
            await work()
        except KanvasError as error:
            log.warning("clean-up failed; it is tried again", reason=error.message, next_s=pause_s)
        except Exception:
            # the border of a background task: one failed round must not end the process
            log.exception("clean-up failed; it is tried again", next_s=pause_s)
        await asyncio.sleep(max(0.0, pause_s - (time.monotonic() - start)))
