"""The query for a page of a list, its shape, and its result."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Self

from sqlalchemy.orm import InstrumentedAttribute

from app.crud.filters import Filter, FilterShape

# What most clients ask for, and one more.
MOST_ROWS = (21, 51, 101)
NO_FILTER = Filter()


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

    filter_: FilterShape
    sort: str
    has_after: bool
    include_total: bool
    # The row after the page's last, and perhaps some more.
    most_rows: int
    # Of which order of magnitude `skip` is, as the next power of ten; 0 for none.
    skip_below: int

    @classmethod
    def of(cls, query: PageQuery, filter_: Filter | None) -> tuple[Self, dict[str, Any]]:
        """Its shape, and the values of the filter's parameters.

        Deep pages have a shape of their own, lest PostgreSQL settle on a generic plan that is wrong for first pages.
        """
        narrowed, values = (filter_ or NO_FILTER).narrowed()
        most_rows = next((most for most in MOST_ROWS if most > query.limit), query.limit + 1)
        skip_below = 10 ** len(str(query.skip)) if query.skip else 0
        return cls(narrowed, query.sort, query.after is not None, query.include_total, most_rows, skip_below), values


def revive(column: InstrumentedAttribute[Any], value: Any) -> Any:
    """A sort value as the column has it, from what JSON made of it."""
    kind = column.type.python_type
    return kind.fromisoformat(value) if issubclass(kind, date) else kind(value)
