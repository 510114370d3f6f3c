"""Parts of lists: what is asked for, what is found, and filters as statements that are made once."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from functools import cache
from typing import Any, NamedTuple, Self, cast

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Dialect,
    String,
    TypeDecorator,
    bindparam,
    false,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.crud.planning import planned_each_time

# What most clients ask for, and one more.
MOST_ROWS = (21, 51, 101)


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which part of a list: `skip` rows on, or after the row whose sort value and id are `after`."""

    sort: str
    limit: int
    skip: int = 0
    after: Sequence[Any] | None = None
    include_total: bool = True


@dataclass(frozen=True, slots=True)
class PageRows[M]:
    """A page as the database has it. `next_after` is `PageQuery.after` of the next page, None on the last."""

    rows: list[M]
    total: int | None
    next_after: list[Any] | None


class PageShape(NamedTuple):
    """What two pages must have in common to be read by the same statement."""

    # A dataclass whose `conditions()` are about those of its fields that are not None, and which these are.
    filter_: type[Any]
    given: tuple[str, ...]
    # What is yes or no stands in the statement: PostgreSQL would take a parameter for either.
    settled: tuple[tuple[str, bool], ...]
    sort: str
    has_after: bool
    include_total: bool
    # The row after the page's last, and perhaps some more.
    most_rows: int
    # Of which order of magnitude `skip` is, as the next power of ten; 0 for none.
    skip_below: int

    @classmethod
    def of(cls, query: PageQuery, filter_: Any, given: Mapping[str, Any]) -> Self:
        """Pages that PostgreSQL should not plan in the same way differ.

        After five times it decides for good whether one plan is as good for whatever the parameters may be: a few
        pages from far back would make it read the table for each first page.
        """
        return cls(
            type(filter_),
            tuple(name for name, value in given.items() if type(value) is not bool),
            tuple((name, value) for name, value in given.items() if type(value) is bool),
            query.sort,
            query.after is not None,
            query.include_total,
            next((most for most in MOST_ROWS if most > query.limit), query.limit + 1),
            10 ** len(str(query.skip)) if query.skip else 0,
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filter's own, of parameters in place of values."""
        if self.filter_ is type(None):
            return []
        parameters: dict[str, Any] = {name: bindparam(name) for name in self.given}
        constants = {name: true() if value else false() for name, value in self.settled}
        return planned_each_time(self.filter_(**parameters, **constants).conditions())


def given(filter_: Any) -> dict[str, Any]:
    """The fields of a filter that narrow the list."""
    names = () if filter_ is None else fields_of(cast(Hashable, type(filter_)))
    return {name: value for name in names if (value := getattr(filter_, name)) is not None}


@cache
def fields_of(filter_: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast(Any, filter_)))


class Containing(TypeDecorator[str]):
    """A text to look for, as the pattern that finds it: `%` and `_` are characters like any other."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else f"%{re.sub(r'([/%_])', r'/\1', value)}%"


def contains(column: InstrumentedAttribute[Any], text: Any) -> ColumnElement[bool]:
    """Whether a column has the text somewhere, in any letter case."""
    pattern = (
        bindparam(text.key, type_=Containing())
        if isinstance(text, BindParameter)
        else bindparam(None, text, Containing())
    )
    return column.ilike(pattern, escape="/")


def equal(*wanted: tuple[InstrumentedAttribute[Any], Any]) -> list[ColumnElement[bool]]:
    """That each column has its value; None stands for any."""
    return [column == value for column, value in wanted if value is not None]


def revive(column: InstrumentedAttribute[Any], value: Any) -> Any:
    """A sort value as the column has it, from what JSON made of it."""
    kind = column.type.python_type
    return kind.fromisoformat(value) if issubclass(kind, date) else kind(value)
