"""The wall in every statement: what somebody asks of the database is cut down to what is theirs.

Owns: what a statement becomes for one pair of eyes, and which statements no scope covers. Does not own: the
policies (policies.py), whose eyes a transaction has (scopes.py).

Rules kept (V1, V3): a SELECT sees visible rows only, wherever in the statement it stands; an UPDATE or DELETE
finds those only that may be changed or removed; what an INSERT brings is looked at before, and refused as a
whole; what says whose a row is is never changed. What can't be held to the policies is refused: text, full
joins, joins of an UPDATE, and whatever stands where a table does and is none that is known here. Queries are
the same for people and for the server, so nothing can be forgotten in one. Measured on a busy core: building
the form of a statement takes 1 to 5 ms, once for each; from then on it costs 5 us beside its cache key, which
SQLAlchemy makes anyway (50 us).
Source: docs.sqlalchemy.org/en/21/core/visitors.html, core/events.html (before_execute).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from sqlalchemy import (
    CTE,
    Alias,
    BindParameter,
    ClauseElement,
    ColumnClause,
    ColumnElement,
    CompoundSelect,
    Connection,
    Delete,
    Engine,
    FromClause,
    Insert,
    Join,
    Lateral,
    Select,
    Subquery,
    Table,
    Update,
    Values,
    and_,
    bindparam,
    event,
    null,
    select,
)
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import FromGrouping, TableClause

from db.errors import PolicyMissing, RowRefused
from db.eyes import PARAMETER, ActorEyes, Clause, Eyes
from db.policies import Policy, Question, find_policy, is_declared, table_of

SCOPE: Final = "kanvas.scope"
"""In Connection.info: SYSTEM, a Walls, or nothing."""
SYSTEM: Final = "system"
PLAIN_WORDS: Final = re.compile(r"'[^'\\]*'|[0-9]+|\*")
"""What of SQL's own text a statement may hold: a constant, and the star of a count."""
MOST_KEPT: Final = 1_000
"""Statements whose form is kept; after so many it is begun again."""

Params = Mapping[str, Any]


def guard(engine: Engine) -> None:
    """From now on statements on this engine are held to the scope of their transaction."""
    event.listen(engine, "before_execute", _before_execute, retval=True)
    event.listen(engine, "before_cursor_execute", _before_cursor_execute)


@dataclass(frozen=True, slots=True)
class Walls:
    """The scope of somebody's transaction."""

    user_id: str
    is_admin: bool


def _before_execute(
    connection: Connection, statement: Any, many: Sequence[Params], params: Params, _options: object
) -> tuple[Any, Sequence[Params], Params]:
    scope = connection.info.get(SCOPE)
    if scope is SYSTEM:
        return statement, many, params
    if scope is None:
        check_free(statement)
        return statement, many, params
    rows = many or ([params] if params else [])
    if isinstance(statement, Insert) and statement.select is None:
        _check_new(connection, statement, rows, scope)
    elif isinstance(statement, Update):
        _check_fixed(statement, rows)
    form, more = _form_of(statement, scope)
    who = {PARAMETER: scope.user_id}
    if many:
        return form, [{**more, **row, **who} for row in many], {}
    return form, [], {**more, **params, **who}


def _before_cursor_execute(
    connection: Connection, _cursor: object, statement: str, _params: object, context: Any, _many: bool
) -> None:
    # the driver's own text passes the other one by
    if context.compiled is None and isinstance(connection.info.get(SCOPE), Walls):
        raise PolicyMissing(f"Nobody can say what this text shows to whom: {statement[:200]}")


@dataclass(frozen=True, slots=True)
class _Form:
    """A walled statement, and what its parameters are called, in the order of those of the plain one; None
    when that can't be told."""

    statement: Any
    names: Sequence[str] | None


_FORMS: Final[dict[tuple[object, bool], _Form]] = {}


def _form_of(statement: Any, scope: Walls) -> tuple[Any, dict[str, Any]]:
    """The statement with its walls, and parameters to run it with. Building takes 1 ms, so it is kept."""
    key = statement._generate_cache_key()
    if key is None:
        return walled(statement, ActorEyes(is_admin=scope.is_admin)), {}
    kept = (key.key, scope.is_admin)
    form = _FORMS.get(kept)
    if form is None:
        form = _make_form(statement, key.bindparams, ActorEyes(is_admin=scope.is_admin))
        if form.names is None:
            return form.statement, {}
        if len(_FORMS) >= MOST_KEPT:
            _FORMS.clear()
        _FORMS[kept] = form
    # those that were given no value get theirs when it is run
    named = zip(form.names or (), key.bindparams, strict=True)
    return form.statement, {name: one.effective_value for name, one in named if not one.required}


def _make_form(statement: Any, parameters: Sequence[BindParameter[Any]], eyes: Eyes) -> _Form:
    made = walled(statement, eyes)
    names: dict[int, str] = {}
    for element in visitors.iterate(made):
        if isinstance(element, BindParameter):
            names |= {id(one): element.key for one in element._cloned_set}
    if not all(id(one) in names for one in parameters):
        # kept, it would go on with the values of this one
        return _Form(made, None)
    return _Form(made, [names[id(one)] for one in parameters])


def check_free(statement: Any) -> None:
    """Raises PolicyMissing for what touches a declared table though nobody said whose eyes see it."""
    for element in visitors.iterate(statement):
        if isinstance(element, Table) and is_declared(element.name):
            raise PolicyMissing(
                f"Say who asks for {element.name}: as_user(database, actor) or as_system(database)."
            )
        if isinstance(element, TableClause) and is_declared(element.name):
            raise PolicyMissing(f"Say who asks for {element.name}, and take it from db.tables: as_system.")
        if element.__visit_name__ in _TEXT:
            raise PolicyMissing("Say who asks: as_user(database, actor) or as_system(database).")
    for table in _targets(statement):
        if is_declared(table.name):
            raise PolicyMissing(f"Say who writes {table.name}: as_user or as_system.")


_TEXT: Final = frozenset({"textclause", "textual_select", "tstring"})


def _targets(statement: Any) -> Iterator[Table]:
    if isinstance(statement, (Insert, Update, Delete)):
        yield _target(statement)


def _target(statement: Insert | Update | Delete) -> Table:
    table = statement.table
    if not isinstance(table, Table):
        raise PolicyMissing(f"There is no telling whose the rows of {table} are.")
    return table


def walled(statement: Any, eyes: Eyes) -> Any:
    """The statement as it is for these eyes; the one given is left as it was. Raises PolicyMissing."""
    _check_known(statement)
    return visitors.cloned_traverse(
        statement,
        {},
        {
            "select": lambda one: _wall_select(one, eyes),
            "join": lambda one: _wall_join(one, eyes),
            "update": lambda one: _wall_change(one, eyes),
            "delete": lambda one: _wall_change(one, eyes),
            "insert": lambda one: _wall_insert(one, eyes),
            **dict.fromkeys(_TEXT, _refuse_text),
        },
    )


def _refuse_text(text: Any) -> None:
    raise PolicyMissing(f"Nobody can say what this text shows to whom: {str(text)[:200]}")


def _check_known(statement: Any) -> None:
    """Raises PolicyMissing for what no wall can be put before, wherever it stands."""
    for element in visitors.iterate(statement):
        kind = element.__visit_name__
        if kind == "table" and not isinstance(element, Table):
            raise PolicyMissing(f"There is no telling whose the rows of {element} are.")
        if kind == "column" and getattr(element, "is_literal", False):
            text = cast("ColumnClause[Any]", element).name
            if not PLAIN_WORDS.fullmatch(text):
                _refuse_text(text)
        if isinstance(element, CTE):
            _check_words(element)
            if not isinstance(element.element, (Select, CompoundSelect)):
                raise PolicyMissing("A change within a query is a statement of its own.")


def _check_words(statement: Any) -> None:
    """What the visitors do not come to: text before, behind and within a statement."""
    for where in ("_prefixes", "_suffixes", "_hints", "_statement_hints"):
        if getattr(statement, where, ()):
            _refuse_text(statement)


# -- reading ------------------------------------------------------------------------------------


def _wall_select(statement: Select[Any], eyes: Eyes) -> None:
    _check_words(statement)
    if statement._memoized_select_entities:
        raise PolicyMissing("Say which columns before what they are joined with: here a join is hidden.")
    froms = statement.get_final_froms()
    if statement._setup_joins:
        # joins that were asked for by method are none yet; what is added would hide what they join
        joined = [one for one in froms if isinstance(one, Join)]
        for join in joined:
            _wall_setup(join, eyes)
        statement._from_obj = tuple(joined)
        statement._setup_joins = ()
    inner = [table for one in froms for table in _always(one)]
    statement._where_criteria += tuple(_seen(inner, eyes))


def _wall_setup(join: FromClause, eyes: Eyes) -> None:
    if isinstance(join, Join):
        _wall_setup(join.left, eyes)
        _wall_join(join, eyes)


def _wall_join(join: Join, eyes: Eyes) -> None:
    if join.full:
        raise PolicyMissing(f"A full join with {join.right} shows what is nobody's.")
    if join.isouter and (seen := list(_seen(_always(join.right), eyes))):
        join.onclause = and_(cast(Clause, join.onclause), *seen)


def _always(one: Any) -> Iterator[FromClause]:
    """The tables whose rows are always there: not those on the far side of an outer join.

    Raises PolicyMissing for what is neither a table nor a query, which has its walls already.
    """
    if isinstance(one, FromGrouping):
        yield from _always(one.element)
    elif isinstance(one, Join):
        yield from _always(one.left)
        if not one.isouter:
            yield from _always(one.right)
    elif (isinstance(one, Alias) and isinstance(one.element, (Table, Alias))) or isinstance(one, Table):
        yield one
    elif not isinstance(one, (Alias, Subquery, CTE, Lateral, Values)):
        raise PolicyMissing(f"There is no telling whose the rows of {one} are.")


def _seen(tables: Iterable[FromClause], eyes: Eyes) -> Iterator[Clause]:
    for one in tables:
        yield _policy(table_of(one)).sees(one, eyes)


def _policy(table: Table) -> Policy:
    policy = find_policy(table.name)
    if policy is None:
        raise PolicyMissing(f"The rows of {table.name} are the server's own: use as_system(database).")
    return policy


# -- writing ------------------------------------------------------------------------------------


def _wall_change(statement: Update | Delete, eyes: Eyes) -> None:
    _check_words(statement)
    table = _target(statement)
    policy = _policy(table)
    told = (*statement._where_criteria, *statement._returning, *_new_values(statement))
    if any(one is not table for part in told for one in part._from_objects):
        raise PolicyMissing(f"Put what else {table.name} is changed by into a subquery.")
    change: Question = policy.updates if isinstance(statement, Update) else policy.deletes
    # what can't be seen can't be changed, as PostgreSQL has it
    statement._where_criteria += (policy.sees(table, eyes), change(table, eyes))


def _new_values(statement: Update | Delete) -> Iterator[Any]:
    given = getattr(statement, "_values", None) or {}
    ordered = getattr(statement, "_ordered_values", None) or ()
    for value in (*given.values(), *(value for _, value in ordered)):
        if isinstance(value, ClauseElement):
            yield value


def _check_fixed(statement: Update, rows: Sequence[Mapping[str, object]]) -> None:
    table = _target(statement)
    named = {_name(column) for column in statement._values or {}}
    named |= {name for row in rows for name in row if name in table.c}
    if fixed := sorted(named & set(_policy(table).fixed)):
        raise PolicyMissing(f"Nobody changes {', '.join(fixed)} of {table.name} but the server itself.")


def _wall_insert(statement: Insert, eyes: Eyes) -> None:
    _check_words(statement)
    table = _target(statement)
    policy = _policy(table)
    if statement.select is not None:
        _wall_source(statement, policy, eyes)
    conflict: Any = getattr(statement, "_post_values_clause", None)
    set_ = getattr(conflict, "update_values_to_set", None)
    if set_ is None:
        return
    if fixed := sorted({_name(column) for column, _ in _pairs(set_)} & set(policy.fixed)):
        raise PolicyMissing(f"Nobody changes {', '.join(fixed)} of {table.name} but the server itself.")
    told = conflict.update_whereclause
    mine = and_(policy.sees(table, eyes), policy.updates(table, eyes))
    conflict.update_whereclause = mine if told is None else and_(told, mine)


def _pairs(values: Any) -> Iterable[tuple[Any, Any]]:
    pairs: Iterable[tuple[Any, Any]] = values.items() if isinstance(values, Mapping) else values
    return pairs


def _wall_source(statement: Insert, policy: Policy, eyes: Eyes) -> None:
    names = [_name(name) for name in statement._select_names or ()]
    brought = cast("Select[Any]", statement.select).subquery("brought")
    row = _New(_target(statement), dict(zip(names, brought.c, strict=True)))
    statement.select = select(*brought.c).where(policy.inserts(row, eyes))


def _check_new(connection: Connection, statement: Insert, rows: Sequence[Params], scope: Walls) -> None:
    table = _target(statement)
    asked: set[object] = set()
    for row in _brought(statement, rows) or [{}]:
        check = _check_of(table, frozenset(row), is_admin=scope.is_admin)
        given = {f"new_{name}": row[name] for name in check.reads}
        # many rows are often of one room and by one person
        seen = (frozenset(row), tuple(map(str, given.values())))
        if seen not in asked:
            asked.add(seen)
            _ask(connection, check, given, scope)


def _ask(connection: Connection, check: "_Check", given: dict[str, Any], scope: Walls) -> None:
    expressions = {name: value for name, value in given.items() if isinstance(value, ColumnElement)}
    if expressions:
        raise PolicyMissing(f"Say by values, not by {', '.join(sorted(expressions))}, whose a new row is.")
    info = connection.info
    info[SCOPE] = SYSTEM
    try:
        is_let = connection.execute(check.statement, {**given, PARAMETER: scope.user_id}).scalar_one()
    finally:
        info[SCOPE] = scope
    if not is_let:
        raise RowRefused


@dataclass(frozen=True, slots=True)
class _Check:
    """Whether a new row may be made, and which of its columns that depends on."""

    statement: Select[Any]
    reads: frozenset[str]


@cache
def _check_of(table: Table, names: frozenset[str], *, is_admin: bool) -> _Check:
    row = _New(table, {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names})
    chosen = _policy(table).inserts(row, ActorEyes(is_admin=is_admin))
    return _Check(select(chosen.label("is_let")), frozenset(row.c.asked))


def _brought(statement: Insert, rows: Sequence[Params]) -> list[dict[str, Any]]:
    """The new rows by the names of their columns: values, or expressions."""
    table = _target(statement)
    if statement._multi_values:
        return [
            # by name, or in the order of the columns
            {_name(column): _value(value, {}) for column, value in _pairs_of(table, one)}
            for batch in statement._multi_values
            for one in batch
        ]
    fixed: Mapping[Any, Any] = statement._values or {}
    return [
        {name: value for name, value in row.items() if name in table.c}
        | {_name(column): _value(value, row) for column, value in fixed.items()}
        for row in rows or [{}]
    ]


def _pairs_of(table: Table, one: Any) -> Iterable[tuple[Any, Any]]:
    return one.items() if isinstance(one, Mapping) else zip(table.c, one, strict=False)


def _value(value: Any, params: Params) -> Any:
    if isinstance(value, BindParameter):
        return params.get(value.key, value.effective_value)
    return value


def _name(column: Any) -> str:
    return column if isinstance(column, str) else str(column.key)


class _New:
    """Values that are to become a row."""

    def __init__(self, table: Table, values: Mapping[str, ColumnElement[Any]]) -> None:
        self.c = _Columns(table, values)


class _Columns:
    """Them by the names of their columns; what is not given is what the table gives, or null."""

    def __init__(self, table: Table, values: Mapping[str, ColumnElement[Any]]) -> None:
        self._table = table
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> ColumnElement[Any]:
        found = self._values.get(name)
        if found is not None:
            self.asked.add(name)
            return found
        default: Any = self._table.c[name].server_default
        return null() if default is None else default.arg

    def __getattr__(self, name: str) -> ColumnElement[Any]:
        return self[name]
