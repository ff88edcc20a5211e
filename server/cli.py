"""The command line: kanvas serve | worker | jobs | migrate | token | admin | check | backup | keys and more.


Owns: commands, their words and exit codes. Does not own: what they do.
Rules: a wrong setting ends with 2 and every problem in one go, anything else that a person can mend with 1
and a sentence; never a traceback for either. What takes long to import is imported by the command that
needs it.
"""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Never

import typer

from server.settings import Settings, SettingsError, read_settings

app = typer.Typer(
    name="kanvas",
    help="Kanvas, a self-hosted, real-time collaborative canvas server. Settings are KANVAS_* variables.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
jobs = typer.Typer(help="Look at jobs, and try dead ones again.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")


class JobState(StrEnum):
    """The states of a job, as an option takes them."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


assets_app = typer.Typer(name="assets", help="The images and files of rooms.", no_args_is_help=True)
app.add_typer(assets_app)
admin_app = typer.Typer(name="admin", help="Who is an operator.", no_args_is_help=True)
app.add_typer(admin_app)
blobs_app = typer.Typer(
    name="blobs",
    help="The storage of images and files: try it, allow browsers to use it.",
    no_args_is_help=True,
)
app.add_typer(blobs_app)
audit_app = typer.Typer(name="audit", help="The audit log: check it, write it out.", no_args_is_help=True)
app.add_typer(audit_app)


class Form(StrEnum):
    """The forms of an export, as an option takes them."""

    JSONL = "jsonl"
    CSV = "csv"


keys_app = typer.Typer(
    name="keys",
    help="The keys that documents and files are encrypted with.",
    no_args_is_help=True,
)
app.add_typer(keys_app)


class KeyTarget(StrEnum):
    """What `keys rotate` brings everything to."""

    NEW = "new"
    PLAIN = "plain"


def say(text: str) -> None:
    """One line for a person."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def announce(text: str) -> None:
    """What a service says of itself; nobody need read it."""
    from server.crew import say as write  # noqa: PLC0415

    write(text, sys.stdout.fileno())


def complain(text: str) -> None:
    """One line about what went wrong."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main() -> Never:
    """The entry point `kanvas`."""
    from party.errors import KanvasError  # noqa: PLC0415

    try:
        app(prog_name="kanvas")
    except SettingsError as error:
        complain("These settings are not valid:" if len(error.problems) > 1 else "This setting is not valid:")
        for problem in error.problems:
            complain(f"  {problem}")
        sys.exit(2)
    except KanvasError as error:
        complain(error.message)
        sys.exit(1)
    except BaseExceptionGroup as group:
        told, rest = group.split(KanvasError)
        if told is None or rest is not None:
            raise
        for one in told.exceptions:
            complain(str(one))
        sys.exit(1)
    sys.exit(0)


def load() -> Settings:
    """The settings of this environment."""
    return read_settings(os.environ)


@app.command()
def serve(
    workers: Annotated[
        int | None, typer.Option(help="Serving processes behind the one port; the same as KANVAS_WORKERS.")
    ] = None,
) -> None:
    """Migrate the database, then serve until Ctrl+C or SIGTERM.

    A small supervisor replaces a serving process when it hangs or crashes (KANVAS_SUPERVISOR=off: none).
    """
    if workers is not None:
        os.environ["KANVAS_WORKERS"] = str(workers)
    settings = load()
    from server.link import Told  # noqa: PLC0415
    from server.secret import ensure_data_dir  # noqa: PLC0415
    from server.supervisor import current_link, is_possible, supervise  # noqa: PLC0415
    from server.workers import find_problems  # noqa: PLC0415

    if problems := find_problems(settings, is_supervised=settings.supervisor and is_possible()):
        raise SettingsError(problems)
    ensure_data_dir(settings)
    link = current_link()
    if link is None and settings.supervisor and is_possible():
        # started by another way than the entry point: the supervisor is the larger for what is imported
        link = supervise()
    from db.errors import NewerDatabase  # noqa: PLC0415
    from db.migrate import upgrade  # noqa: PLC0415
    from server.logs import configure_logs  # noqa: PLC0415
    from server.serve import CannotListen, bind_patiently, run  # noqa: PLC0415

    is_json = configure_logs(settings)
    sockets = link.sockets if link else []
    port = settings.port
    if not sockets and (link is None or link.starts == 0 or settings.workers == 1):
        try:
            sockets = bind_patiently(settings.host, settings.port)
        except CannotListen as error:
            complain(str(error))
            raise typer.Exit(1) from None
        port = sockets[0].getsockname()[1]
        if link:
            told = Told(settings.hung_after_s, str(settings.data_dir), is_json, settings.workers)
            link.hand_up(sockets, told)
            sockets = link.sockets
    if link:
        link.set_phase("migrating")
    try:
        upgrade(settings.effective_database_url)
    except NewerDatabase:
        if link is None or link.starts == 0:
            raise
        # a newer version is taking over beside us, and what it added to the tables does no harm
    run(settings, sockets, lambda: _greet(settings, port), link)
    if settings.workers == 1:
        # of several the supervisor says it, once
        announce("Kanvas has stopped.")


def _greet(settings: Settings, port: int) -> None:
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - shown only
    host = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
    say(f"Kanvas is at   {settings.public_url or f'http://{host}:{port}'}")
    say(f"Its data is in {settings.data_dir}")
    say("To stop it     press Ctrl+C")
    if not settings.is_loopback:
        who = "come in as a guest" if settings.guests else "try to sign in"
        complain(
            f"Warning: KANVAS_HOST={settings.host} lets everybody who reaches this machine {who}, and "
            "nothing is encrypted here: put a proxy with https before it, and set KANVAS_PUBLIC_URL."
        )


@app.command()
def worker() -> None:
    """Migrate the database, then do jobs until Ctrl+C or SIGTERM; it listens nowhere.

    For `kanvas serve` with KANVAS_JOBS=off, or beside it. It takes the same settings.
    """
    settings = load()
    from db.migrate import upgrade  # noqa: PLC0415
    from server.logs import configure_logs  # noqa: PLC0415
    from server.secret import ensure_data_dir  # noqa: PLC0415
    from server.worker import run  # noqa: PLC0415

    ensure_data_dir(settings)
    configure_logs(settings)
    upgrade(settings.effective_database_url)
    run(settings, lambda: announce(f"Kanvas does jobs, {settings.jobs_at_once} at once."))
    announce("Kanvas has stopped.")


@jobs.command("list")
def list_jobs(
    state: Annotated[JobState | None, typer.Option(help="Only those in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only those of this kind.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most to show.")] = 50,
) -> None:
    """Show jobs, the newest first, and how many there are."""
    settings = load()
    from server.jobs import commands  # noqa: PLC0415

    for line in commands.show_jobs(settings, None if state is None else state.value, kind, limit):
        say(line)


@jobs.command("revive")
def revive_job(job_id: Annotated[str, typer.Argument(metavar="ID", help="Which job.")]) -> None:
    """Try a dead job again, with all its attempts."""
    settings = load()
    from server.jobs import commands  # noqa: PLC0415

    commands.revive_job(settings, job_id)
    say(f"Job {job_id} is queued again.")


@app.command()
def migrate(
    to: Annotated[
        str | None, typer.Option(help="Revision; default: the newest, or with --down one back.")
    ] = None,
    down: Annotated[
        bool, typer.Option("--down", help="Go back, losing what older tables can't hold.")
    ] = False,
) -> None:
    """Bring the database to the tables of this version."""
    settings = load()
    from db.migrate import current_revision, downgrade, upgrade  # noqa: PLC0415
    from server.secret import ensure_data_dir  # noqa: PLC0415

    ensure_data_dir(settings)
    url = settings.effective_database_url
    before = current_revision(url)
    if down:
        downgrade(url, to or "-1")
    else:
        upgrade(url, to or "head")
    after = current_revision(url)
    if before == after:
        say(f"The database is at {after or 'no revision'} already.")
    else:
        say(f"The database went from {before or 'nothing'} to {after or 'nothing'}.")


@app.command()
def token(
    name: Annotated[str, typer.Option(help="Name that others see.")] = "Script",
    sub: Annotated[str | None, typer.Option(help="User id; default: a new one.")] = None,
    ttl: Annotated[int | None, typer.Option(min=1, max=315_360_000, help="Seconds it is valid.")] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="It is an operator's: /admin, /api/v1/admin.")
    ] = False,
    plan: Annotated[str, typer.Option(help="Its plan, of those in KANVAS_RATE_PLANS.")] = "",
) -> None:
    """Print a bearer token for a script, and nothing else."""
    settings = load()
    from pydantic_core import PydanticCustomError  # noqa: PLC0415
    from ulid import ULID  # noqa: PLC0415

    from server.auth import Tokens  # noqa: PLC0415
    from server.secret import load_secret  # noqa: PLC0415
    from server.text import check_line  # noqa: PLC0415

    try:
        checked = check_line(name)
        user_id = check_line(sub) if sub is not None else str(ULID()).lower()
    except PydanticCustomError as error:
        raise typer.BadParameter(str(error)) from None
    if len(checked) > 64 or len(user_id) > 128:
        raise typer.BadParameter("A name has at most 64 characters, an id 128.")
    tokens = Tokens(load_secret(settings), ttl_s=settings.token_ttl_s)
    say(tokens.issue(user_id, checked, ttl_s=ttl, is_admin=admin, plan=plan).token)


@app.command()
def check() -> None:
    """Show the settings in effect and try everything the server needs."""
    settings = load()
    from server.check import run_checks  # noqa: PLC0415

    if not run_checks(settings):
        raise typer.Exit(1)


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="The new file; it must not exist.")]) -> None:
    """Copy the database consistently while the server runs. Images are files in the data folder."""
    settings = load()
    from db.backup import backup_sqlite  # noqa: PLC0415

    backup_sqlite(settings.effective_database_url, target)
    say(f"The database is copied to {target.absolute()}.")
    say(f"Images are not in it; copy {settings.effective_blobs_url} too.")


@admin_app.command("grant")
def admin_grant(
    who: Annotated[str, typer.Argument(metavar="EMAIL|USER_ID", help="Who; an e-mail may be new here.")],
) -> None:
    """Make somebody an operator, within a second and without a new sign-in."""
    settings = load()
    from server.accounts import commands  # noqa: PLC0415

    say(commands.grant(settings, who))


@admin_app.command("revoke")
def admin_revoke(who: Annotated[str, typer.Argument(metavar="EMAIL|USER_ID", help="Who.")]) -> None:
    """Take it back, and end all their sessions. What the identity provider or a token says stays."""
    settings = load()
    from server.accounts import commands  # noqa: PLC0415

    say(commands.revoke(settings, who))


@admin_app.command("list")
def admin_list() -> None:
    """Show the operators that were made so here."""
    settings = load()
    from server.accounts import commands  # noqa: PLC0415

    for line in commands.show(settings):
        say(line)


@assets_app.command("sweep")
def sweep_assets(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; show what would go.")] = False,
) -> None:
    """Remove files that no drawing has referred to for a week, and what uploads left behind.

    The server does it every day by itself.
    """
    settings = load()
    import asyncio  # noqa: PLC0415

    from server.assets.admin import sweep_alone  # noqa: PLC0415
    from server.logs import configure_logs  # noqa: PLC0415

    configure_logs(settings)
    for line in asyncio.run(sweep_alone(settings, is_dry=dry_run)):
        say(line)


@audit_app.command("verify")
def verify_audit(
    room: Annotated[str | None, typer.Option(help="Only this room's.")] = None,
    old_secret_file: Annotated[
        list[Path] | None, typer.Option(help="A secret that the server had before; may be given often.")
    ] = None,
    ends: Annotated[
        Path | None, typer.Option(help="Compare with the ends noted in this file, and note the new ones.")
    ] = None,
) -> None:
    """Say which entries were changed, removed, moved or made up; ends with 1 when there are any."""
    settings = load()
    from server.audit.commands import run_verify  # noqa: PLC0415

    if not run_verify(settings, say, room=room, old_secrets=old_secret_file or [], ends=ends):
        raise typer.Exit(1)


@audit_app.command("export")
def export_audit(
    form: Annotated[Form, typer.Option("--format", help="JSON Lines, or CSV.")] = Form.JSONL,
    room: Annotated[str | None, typer.Option(help="Only this room's.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what the user with this id did.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, or all of one noun.")] = None,
    since: Annotated[str | None, typer.Option(help="From then on, as 2026-01-31T12:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Before then.")] = None,
) -> None:
    """Write the log to the standard output, the oldest entries first."""
    settings = load()
    from server.audit.commands import read_options, run_export  # noqa: PLC0415

    wanted = read_options(room=room, actor=actor, action=action, since=since, until=until)

    def write(raw: bytes) -> None:
        sys.stdout.buffer.write(raw)

    run_export(settings, write, wanted, form.value)


@blobs_app.command("check")
def blobs_check() -> None:
    """Try put, get, range, signed addresses and their expiry, uploads in parts and delete; leaves nothing."""
    settings = load()
    import asyncio  # noqa: PLC0415

    from server.blobs.commands import check_storage  # noqa: PLC0415

    if not asyncio.run(check_storage(settings, say)):
        raise typer.Exit(1)


@blobs_app.command("cors")
def blobs_cors() -> None:
    """Let pages of KANVAS_PUBLIC_URL and KANVAS_ORIGINS use the bucket (replaces its CORS rules)."""
    settings = load()
    import asyncio  # noqa: PLC0415

    from server.blobs.commands import allow_pages  # noqa: PLC0415

    if not asyncio.run(allow_pages(settings, say)):
        raise typer.Exit(1)


@keys_app.command("list")
def keys_list() -> None:
    """Show the data keys, what is under each, and which master keys are needed. Looks at everything."""
    settings = load()
    import asyncio  # noqa: PLC0415

    from server.vault.commands import list_all  # noqa: PLC0415

    asyncio.run(list_all(settings, say))


@keys_app.command("rotate")
def keys_rotate(
    to: Annotated[
        KeyTarget | None,
        typer.Option(help="Always a new key, or plain: encrypt nothing any more."),
    ] = None,
) -> None:
    """Encrypt everything with a new data key, while the server serves.

    Killed, it goes on with that key when typed again.
    """
    settings = load()
    import asyncio  # noqa: PLC0415

    from server.vault.commands import rotate  # noqa: PLC0415

    if not asyncio.run(rotate(settings, say, None if to is None else to.value)):
        raise typer.Exit(1)


@keys_app.command("retire")
def keys_retire() -> None:
    """Remove the old data keys that nothing is encrypted with any more."""
    settings = load()
    import asyncio  # noqa: PLC0415

    from server.vault.commands import retire  # noqa: PLC0415

    if not asyncio.run(retire(settings, say)):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
