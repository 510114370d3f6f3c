"""Parts of lists: what is asked for, and what is found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Self

from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute

from app.crud.filters import Filter, FilterShape

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

    filter_: FilterShape | None
    sort: str
    has_after: bool
    include_total: bool
    # The row after the page's last, and perhaps some more.
    most_rows: int
    # Of which order of magnitude `skip` is, as the next power of ten; 0 for none.
    skip_below: int

    @classmethod
    def of(cls, query: PageQuery, filter_: Filter | None) -> tuple[Self, dict[str, Any]]:
        """Its shape, and the values of the filter's parameters. Pages that need different plans differ in shape.

        After five times PostgreSQL decides for good whether one plan is as good for whatever the parameters may be: a
        few pages from far back would make it read the table for each first page.
        """
        narrowed, values = (None, {}) if filter_ is None else filter_.narrowed()
        most_rows = next((most for most in MOST_ROWS if most > query.limit), query.limit + 1)
        skip_below = 10 ** len(str(query.skip)) if query.skip else 0
        has_after = query.after is not None
        return cls(narrowed, query.sort, has_after, query.include_total, most_rows, skip_below), values

    def conditions(self) -> list[ColumnElement[bool]]:
        return [] if self.filter_ is None else self.filter_.conditions()


def revive(column: InstrumentedAttribute[Any], value: Any) -> Any:
    """A sort value as the column has it, from what JSON made of it."""
    kind = column.type.python_type
    return kind.fromisoformat(value) if issubclass(kind, date) else kind(value)
