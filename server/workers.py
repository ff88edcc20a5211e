"""Several workers behind one port: whether that is possible here.

Owns: what it needs, in words. Does not own: starting them (supervisor.py), handing connections over
(acceptor.py, adoption.py). Keeps rule N5.
"""

from server.settings import Settings


def find_problems(settings: Settings, *, is_supervised: bool) -> list[str]:
    """Why `kanvas serve` can't have as many workers as it was told; empty when it can."""
    if settings.workers == 1:
        return []
    asked = f"KANVAS_WORKERS={settings.workers}"
    problems = []
    if settings.effective_database_url.startswith("sqlite:"):
        problems.append(
            f"{asked} needs PostgreSQL, because only one process writes to SQLite well: "
            "set KANVAS_DATABASE_URL=postgresql://…"
        )
    if settings.redis_url is None:
        problems.append(
            f"{asked} needs Redis, by which the workers tell each other what is drawn: "
            "set KANVAS_REDIS_URL=redis://…"
        )
    if not is_supervised:
        why = "KANVAS_SUPERVISOR=off leaves it out" if not settings.supervisor else "this platform has none"
        problems.append(
            f"{asked} needs the supervisor, which holds the port, and {why}: start so many Kanvas on a port "
            "each instead, with a balancer before them (.deploy/nginx.conf)."
        )
    return problems
