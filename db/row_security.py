"""PostgreSQL's own wall: the same policies as ROW LEVEL SECURITY of the tables.

Owns: the statements that put it up. Does not own: the policies (policies.py), when it is put up (the
migrations, which have these statements written out; a test compares the two), the settings that say who a
transaction is for (scopes.py, postgres.py).

Rules kept (V4): FORCE, since Kanvas owns its tables; a session that says nothing sees nothing, unless it is a
Kanvas of a version before 0010, of which machines may still have some during an upgrade; the system's
is the first thing looked at, so its own work pays for one look at a setting. What a policy asks of other
tables it asks by a function that sees everything, for policies that read each other would never end.
Superusers and roles with BYPASSRLS are held by none of this: Kanvas needs a role of its own.
Source: postgresql.org/docs/current/ddl-rowsecurity.html, sql-createpolicy.html.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, Text, column, func, literal_column, select
from sqlalchemy.dialects import postgresql

from db.eyes import QUESTIONS, SYSTEM, BodyEyes, SettingEyes
from db.policies import Policy, Question, find_policy
from db.tables import metadata

_EYES = SettingEyes()
_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]


def is_held(connection: Connection) -> bool:
    """Whether the policies hold the role of this connection. SQLite has none, and it is true there."""
    if connection.dialect.name != "postgresql":
        return True
    return bool(connection.execute(select(func.row_security_active("rooms"))).scalar_one())


def functions() -> Iterator[str]:
    """One for each question."""
    for name, question in QUESTIONS.items():
        asked: ColumnElement[str] = column("of_room", Text)
        body = _text(question(asked, BodyEyes()))
        # only a superuser may give a function such a setting of its own
        yield (
            f"CREATE FUNCTION kanvas_{name}(of_room text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ "
            f"DECLARE said text := current_setting('{SYSTEM}', true); answer boolean; BEGIN "
            f"PERFORM set_config('{SYSTEM}', 'on', true); answer := {body}; "
            f"PERFORM set_config('{SYSTEM}', coalesce(said, ''), true); RETURN answer; END $$"
        )


def policies() -> Iterator[str]:
    """What each table has: for the server's own tables, the system's alone."""
    for name in sorted(metadata.tables):
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"
        policy = find_policy(name)
        if policy is None:
            yield f"CREATE POLICY kanvas_system ON {name} USING ({_text(_EYES.is_system)})"
            continue
        yield from _policies_of(name, policy)


def _policies_of(name: str, policy: Policy) -> Iterator[str]:
    sees = _clause(name, policy.sees)
    yield f"CREATE POLICY kanvas_sees ON {name} FOR SELECT USING ({sees})"
    yield f"CREATE POLICY kanvas_inserts ON {name} FOR INSERT WITH CHECK ({_clause(name, policy.inserts)})"
    updates = _clause(name, policy.updates)
    # Locked, rows are to be updated for all PostgreSQL knows. What a change makes of one is not looked at
    # again: nobody changes whose it is (walls.py), and who leaves a room changes his own last.
    yield f"CREATE POLICY kanvas_updates ON {name} FOR UPDATE USING ({updates}) WITH CHECK (true)"
    yield f"CREATE POLICY kanvas_deletes ON {name} FOR DELETE USING ({_clause(name, policy.deletes)})"


def _clause(name: str, question: Question) -> str:
    asked = _text(question(_Row(metadata.tables[name]), _EYES))
    return f"{_text(_EYES.is_system)} OR ({_text(_EYES.user)} <> '' AND ({asked}))"


class _Row:
    """The row in question: by its name only, for there is no statement around that it is of."""

    def __init__(self, table: Table) -> None:
        named = {one.key: literal_column(f"{table.name}.{one.name}", one.type) for one in table.c}
        self.c = _Columns(named)


class _Columns(dict[str, ColumnElement[Any]]):
    """By item or by attribute, as a table has them."""

    def __getattr__(self, name: str) -> ColumnElement[Any]:
        return self[name]


def _text(clause: ColumnElement[Any]) -> str:
    compiled = clause.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})
    return " ".join(str(compiled).split())


def statements() -> list[str]:
    """All of it, in order."""
    return [*functions(), *policies()]
