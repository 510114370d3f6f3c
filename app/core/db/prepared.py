"""Statements that are compiled once, and bypass SQLAlchemy's execution layers where the driver allows it."""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, ColumnElement, Dialect, UpdateBase, bindparam, select
from sqlalchemy.sql.selectable import ExecutableReturnsRows

from app.core.db.python_defaults import PythonDefaults
from app.core.db.read_only import is_read
from app.core.db.results import Processor, result_processor
from app.core.db.statement_checks import NotPreparableError, check_statement

# In a table's `info`, where it is declared: SQLAlchemy's session has events that must tell of all writes to it.
NEEDS_ORM_EVENTS = "needs_orm_events"


class Row:
    """A row as the database gives it, with its columns as attributes; each statement has a subclass of its own."""

    __slots__ = ()
    _fields: tuple[str, ...]

    if TYPE_CHECKING:
        # Which columns there are is known when the statement is.
        def __getitem__(self, place: int | slice) -> Any: ...
        def __getattr__(self, name: str) -> Any: ...


def row_fields(row: Any) -> dict[str, Any]:
    """The columns of a row by their names."""
    return {name: getattr(row, name) for name in row._fields}


@dataclass(frozen=True, slots=True)
class DriverStatement:
    """What the driver is given: SQL with numbered parameters, which ones in which order, and how values change."""

    sql: str
    pick: Callable[[Mapping[str, Any]], Sequence[Any]]
    # By their places; most types need none.
    processors: tuple[tuple[int, Callable[[Any], Any]], ...]
    # Values that stand in the statement itself.
    constants: Mapping[str, Any]
    defaults: PythonDefaults | None
    results: tuple[Processor, ...] | None
    # Whether a read session may run it.
    is_read: bool
    # What the driver is to make rows of: its own kind of row.
    row: Any

    def arguments(self, values: Mapping[str, Any]) -> Sequence[Any]:
        if self.constants:
            values = {**self.constants, **values}
        if self.defaults is not None:
            values = self.defaults.fill(values)
        arguments = self.pick(values)
        if self.processors:
            arguments = [*arguments]
            for place, process in self.processors:
                arguments[place] = process(arguments[place])
        return arguments


class Prepared:
    """A Core statement whose values are all `bindparam`s.

    To build and to compile a statement costs several times what PostgreSQL takes to answer it.
    """

    def __init__(self, statement: ExecutableReturnsRows, *, inserts: Sequence[str] = ()) -> None:
        """`inserts` are the columns that an INSERT has values for, by parameters of their names.

        Raises:
            NotPreparableError: if the driver could not do with it what SQLAlchemy would.
        """
        self.statement: Any = statement
        self.inserts = tuple(inserts)
        self.writes = isinstance(statement, UpdateBase)
        self.parameters = check_statement(statement, inserts)
        self.columns = list(statement.exported_columns)
        fields = [column.key for column in self.columns]
        if not fields:
            raise NotPreparableError("a statement without rows: let it return something")
        self.row: Any = type("Row", (namedtuple("Row", fields), Row), {"__slots__": ()})  # noqa: PYI024 - its fields come with the statement
        self.compiled: dict[str, DriverStatement] = {}
        self.conditional: dict[ColumnElement[bool], Prepared] = {}

    def provided(self, condition: ColumnElement[bool]) -> "Prepared":
        """The same INSERT, UPDATE or DELETE, which does nothing unless the condition holds."""
        made = self.conditional.get(condition)
        if made is None:
            made = self.conditional[condition] = Prepared(self.only_if(condition), inserts=self.inserts)
        return made

    def only_if(self, condition: ColumnElement[bool]) -> Any:
        if not self.inserts:
            return self.statement.where(condition)
        table = self.statement.table
        values = (bindparam(name, type_=table.c[name].type).label(name) for name in self.inserts)
        source = select(*values).where(condition)
        return table.insert().from_select(self.inserts, source).returning(*self.columns)

    @property
    def needs_orm_events(self) -> bool:
        """Whether it writes to a table whose writers the events of SQLAlchemy's session must tell of."""
        table: Any = getattr(self.statement, "table", None)
        return table is not None and NEEDS_ORM_EVENTS in table.info

    def check(self, values: Mapping[str, Any]) -> None:
        """SQLAlchemy would take a value with a column's name for one more to write."""
        if self.writes and not values.keys() <= self.parameters:
            raise TypeError(f"no parameter takes {', '.join(sorted(values.keys() - self.parameters))}")

    def rows(self, found: Sequence[Any]) -> list[Row]:
        return [self.row._make(row) for row in found]

    def for_driver(self, dialect: Dialect, record: type) -> DriverStatement:
        """`record` is the driver's class of rows, which has items by their places."""
        made = self.compiled.get(dialect.name)
        if made is None:
            made = self.compiled[dialect.name] = self.compile(dialect, record)
        return made

    def compile(self, dialect: Dialect, record: type) -> DriverStatement:
        compiled: Any = self.statement.compile(dialect=dialect, column_keys=sorted(self.parameters))
        by_bind = [(name, processor_of(bind, dialect)) for bind, name in compiled.bind_names.items()]
        # Of a parameter's places some may not change the value; SQLAlchemy changes it all the same.
        changes = {name: process for name, process in by_bind if process is not None}
        constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
        defaults = PythonDefaults(compiled, dialect)
        for column, _ in defaults.by_column:
            constants.pop(column.key, None)
        results = tuple(result_processor(column.type, dialect) for column in self.columns)
        names = tuple(compiled.positiontup)
        sql = str(compiled)
        return DriverStatement(
            sql=sql,
            is_read=is_read(sql),
            pick=itemgetter(*names) if len(names) > 1 else lambda values: [values[name] for name in names],
            processors=tuple((place, changes[name]) for place, name in enumerate(names) if name in changes),
            constants=constants,
            defaults=defaults if defaults.by_column else None,
            results=results if any(results) else None,
            row=self.row_of(record),
        )

    def row_of(self, record: type) -> type:
        """Rows of the driver's that have their columns as attributes."""
        fields = tuple(column.key for column in self.columns)
        columns = {name: property(itemgetter(place)) for place, name in enumerate(fields)}
        return type("Row", (record, Row), {"__slots__": (), "_fields": fields, **columns})

    def driver_rows(self, found: list[Any], results: tuple[Processor, ...] | None) -> list[Row]:
        if results is None:
            # What asyncpg plans again by itself, when the schema has changed, are records of its own class.
            return found if not found or isinstance(found[0], Row) else self.rows(found)
        return self.rows(
            [
                [value if change is None else change(value) for value, change in zip(row, results, strict=True)]
                for row in found
            ]
        )


def processor_of(bind: BindParameter[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    process: Callable[[Any], Any] | None = bind.type.dialect_impl(dialect).bind_processor(dialect)
    return process
