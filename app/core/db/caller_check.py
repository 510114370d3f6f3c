"""The condition that the caller's session and account are unchanged, on which a transaction's writes depend."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Dialect, literal_column, select

from app.core.db.prepared import Prepared

PARAMETER = re.compile(r"\$(\d+)")


class CallerChangedError(Exception):
    """The caller is no longer who they were; the transaction has done nothing."""


class CallerCondition:
    """One Core expression of parameters: for the WHERE of a write, and as a statement that finds one row."""

    def __init__(self, expression: ColumnElement[bool]) -> None:
        self.expression = expression
        self.statement = Prepared(select(literal_column("1").label("found")).where(expression))
        # What is between the parameters, and what makes literals of their values; once for each dialect.
        self.compiled: dict[str, tuple[list[str], list[tuple[str, Any]]]] = {}
        self.constants: dict[str, Any] = {}

    def sql(self, values: Mapping[str, Any], dialect: Dialect) -> str:
        """The statement for PostgreSQL without parameters, to be sent together with BEGIN."""
        made = self.compiled.get(dialect.name)
        if made is None:
            made = self.compiled[dialect.name] = self.compile(dialect)
        (first, *texts), literals = made
        values = {**self.constants, **values}
        rest = (process(values[name]) + text for text, (name, process) in zip(texts, literals, strict=True))
        return first + "".join(rest)

    def compile(self, dialect: Dialect) -> tuple[list[str], list[tuple[str, Any]]]:
        compiled: Any = self.statement.statement.compile(dialect=dialect)
        self.constants = {name: bind.value for bind, name in compiled.bind_names.items() if not bind.required}
        types = {name: bind.type.dialect_impl(dialect) for bind, name in compiled.bind_names.items()}
        pieces = PARAMETER.split(str(compiled))
        names = [compiled.positiontup[int(number) - 1] for number in pieces[1::2]]
        return pieces[::2], [(name, types[name].literal_processor(dialect)) for name in names]


@dataclass(frozen=True, slots=True)
class CallerCheck:
    condition: CallerCondition
    values: Mapping[str, Any]

    def sql(self, dialect: Dialect) -> str:
        return self.condition.sql(self.values, dialect)
