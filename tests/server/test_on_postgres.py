"""A slice of the server's tests once more, on PostgreSQL: what decides something in a transaction.

They are imported and so collected here, where their database is another one.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from db.postgres_journal import PostgresJournal
from tests.backends.postgres import Postgres
from tests.server.assets.test_quotas import (  # noqa: F401
    test_a_room_is_full,
    test_many_at_once_do_not_take_more,
)
from tests.server.assets.test_sweep import test_nothing_goes_while_the_room_changes  # noqa: F401
from tests.server.assets.test_uploads import (  # noqa: F401
    test_an_upload_goes_on_where_it_was,
    test_canceled_it_takes_no_more_bytes,
)
from tests.server.audit.test_reading import (  # noqa: F401
    test_each_reads_what_is_theirs,
    test_pages_and_filters,
)
from tests.server.audit.test_recording import test_a_room_from_its_beginning_to_its_end  # noqa: F401
from tests.server.audit.test_refusals import test_rooms_that_are_not_there_make_no_chains  # noqa: F401
from tests.server.edge import open_edge
from tests.server.jobs.test_routes import test_the_operator_lists_and_revives  # noqa: F401
from tests.server.test_comments import (  # noqa: F401
    test_a_guests_comments_are_the_accounts,
    test_a_room_and_a_thread_are_full_at_last,
    test_comments_outlive_the_past_of_the_canvas,
    test_many_at_once_take_each_a_revision,
    test_mentions_are_of_people_who_may_see,
    test_mentions_come_in_pages,
    test_the_same_key_writes_once,
    test_what_changed_since_comes_page_by_page,
)
from tests.server.test_documents import test_a_drawing_comes_as_an_excalidraw_file  # noqa: F401
from tests.server.test_invitations import (  # noqa: F401
    test_a_room_takes_so_many_members,
    test_of_many_who_accept_at_once_one_is_in,
    test_who_is_invited_finds_it,
)
from tests.server.test_links import (  # noqa: F401
    test_a_link_lets_in_as_many_as_it_says,
    test_entering_again_costs_nothing,
    test_nobody_slips_in_while_it_is_revoked,
    test_with_a_link_goes_what_it_gave,
)
from tests.server.test_members import (  # noqa: F401
    test_many_hand_over_at_once_and_one_owns_it,
)
from tests.server.test_rooms import (  # noqa: F401
    test_deleting_sends_everybody_out,
    test_of_two_who_change_the_same_one_is_told,
    test_pages_follow_each_other_without_gap_or_repetition,
    test_participants_are_remembered,
    test_search_is_for_letters_in_any_case,
    test_the_same_key_many_times_at_once,
    test_the_trash_is_emptied_after_thirty_days,
)


@pytest.fixture
def empty_database(server_url: str) -> str:
    """In the place of the SQLite file."""
    return server_url


async def test_it_is_postgresql(tmp_path: Path, empty_database: str) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        assert isinstance(edge.services.journal, PostgresJournal)
        assert not (tmp_path / "kanvas.db").exists()


async def test_a_database_that_only_reads_gets_no_traffic(
    tmp_path: Path, empty_database: str, postgres: Postgres
) -> None:
    """As after a failover, when the address leads to what has become the standby."""
    name = empty_database.rpartition("/")[2]

    async def answers(status: int) -> str:
        async with asyncio.timeout(60):
            while (answer := await edge.http.get("/readyz")).status_code != status:
                await asyncio.sleep(0.02)
        return answer.text

    def order(statement: str) -> None:
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        postgres.sql(f"ALTER DATABASE {name} {statement}; {end}")

    async with open_edge(tmp_path, empty_database) as edge:
        await answers(200)
        try:
            order("SET default_transaction_read_only = on")
            async with asyncio.timeout(60):
                while "the database only reads" not in await answers(503):
                    await asyncio.sleep(0.02)
        finally:
            order("RESET default_transaction_read_only")
        await answers(200)


@pytest.mark.parametrize("text", ["%00", "a%00b"])
async def test_what_the_database_can_not_hold_is_the_askers_mistake(
    tmp_path: Path, empty_database: str, text: str
) -> None:
    """J11: no 5xx for a NUL in an address or a search."""
    async with open_edge(tmp_path, empty_database) as edge:
        ada = await edge.guest()
        for path in (f"/api/v1/rooms/{text}", f"/api/v1/rooms?q={text}", f"/api/v1/assets/{text}"):
            answer = await ada.ask("GET", path)
            assert answer.status_code < 500, (path, answer.text)
        made = await ada.ask("POST", "/api/v1/rooms", json={"title": "a\0b"})
        assert made.status_code < 500, made.text


@pytest.mark.parametrize(
    ("command", "code", "words"), [("check", 0, "a commit reached the"), ("backup", 1, "pg_dump")]
)
def test_the_commands_work_and_show_no_password(
    tmp_path: Path, empty_database: str, command: str, code: int, words: str
) -> None:
    more = [str(tmp_path / "copy.db")] if command == "backup" else []
    done = kanvas(tmp_path, empty_database.replace("kanvas@", "kanvas:s3cret@"), command, *more)
    told = done.stdout + done.stderr
    assert done.returncode == code, told
    assert words in told
    assert "s3cret" not in told
    assert "BYPASSRLS" not in told


def test_a_role_that_no_policy_holds_is_told(tmp_path: Path, empty_database: str) -> None:
    """V4: everything works with a superuser, but for the second wall."""
    done = kanvas(tmp_path, empty_database.replace("kanvas@", "postgres@"), "check")
    assert done.returncode == 0, done.stdout
    assert "BYPASSRLS" in done.stdout


def kanvas(data_dir: Path, url: str, *command: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("KANVAS_")}
    env |= {"KANVAS_DATABASE_URL": url, "KANVAS_DATA_DIR": str(data_dir)}
    env |= {"KANVAS_DATABASE_TIMEOUT_S": "30"}
    words = [sys.executable, "-m", "server", *command]
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False)
