"""Reads any number of rows in batches by keyset, so that each batch costs only its own rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.crud.filters import Filter
from app.crud.lists import ListCRUD, inline
from app.crud.page import PageQuery, PageShape
from app.crud.planning import force_custom_plan
from app.crud.typed import StoredRow
from app.models.base import Base


class Place(NamedTuple):
    """Between the last row of a batch and the first of the next; `value` is that of the column by which they come."""

    value: Any
    id: int


class Batch(NamedTuple):
    """`next_` is None at the end."""

    rows: list[Any]
    next_: Place | None


def batch_of(found: Sequence[Any], limit: int, key: str = "id") -> Batch:
    """`found` has one row more if more are to come."""
    rows = list(found[:limit])
    return Batch(rows, Place(getattr(rows[-1], key), rows[-1].id) if len(found) > limit else None)


class BatchCRUD[M: Base, R: StoredRow](ListCRUD[M, R]):
    """batch, scan. Rows with an id beyond `last_id` are not for those who began before they were there."""

    async def batch(
        self,
        session: AsyncSession,
        filter_: Filter | None,
        after: Place | None,
        last_id: int,
        limit: int,
        sort: str = "created_at",
    ) -> Batch:
        """By one of the list's sorts, whose index begins with what the filter asks for."""
        shape, values = shape_of(filter_, after, limit, sort)
        found = await fetch(session, self.cached_statement(self.selected_batch, shape), **values, last_id=last_id)
        return batch_of(found, limit, self.sorts[sort].key)

    def selected_batch(self, shape: PageShape) -> Prepared:
        found = select(*self.shown).where(self.table.c.id <= bindparam("last_id"))
        return Prepared(self.slice(found, shape))

    async def scan(
        self, session: AsyncSession, filter_: Filter | None, after: Place | None, last_id: int, limit: int
    ) -> Batch:
        """By id: all batches together go over the table once, whatever the filter finds."""
        shape, values = shape_of(filter_, after or Place(0, 0), limit, "id")
        found = await fetch(session, self.cached_statement(self.selected_scan, shape), **values, last_id=last_id)
        return batch_of(found, limit)

    def selected_scan(self, shape: PageShape) -> Prepared:
        filtered = [Unindexed(condition) for condition in shape.filter_.conditions()]
        found = select(*self.shown).where(*filtered, *between_ids(self.table.c.id))
        return Prepared(found.order_by(self.table.c.id).limit(inline(shape.most_rows)))


def shape_of(filter_: Filter | None, after: Place | None, limit: int, sort: str) -> tuple[PageShape, dict[str, Any]]:
    shape, values = PageShape.of(PageQuery(sort, limit, after=after, include_total=False), filter_)
    return shape, values if after is None else {**values, "after_value": after.value, "after_id": after.id}


def between_ids(column: ColumnElement[int]) -> list[ColumnElement[bool]]:
    return force_custom_plan([column > bindparam("after_id"), column <= bindparam("last_id")])


async def newest_ids(session: AsyncSession, *lists: ListCRUD[Any, Any]) -> list[int]:
    """Of each table the greatest id that there is; 0 where there are no rows."""
    newest = (select(func.max(each.table.c.id)).scalar_subquery() for each in lists)
    row = (await session.execute(select(*newest))).one()
    return [id_ or 0 for id_ in row]


class Unindexed(FunctionElement[bool]):
    """A condition that SQLite looks at in each row: it would rather sort what an index finds, anew for each batch."""

    inherit_cache = True

    def __init__(self, condition: ColumnElement[bool]) -> None:
        super().__init__(condition)
        self.type = condition.type


@compiles(Unindexed)
def leave_condition(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"({compiler.process(element.clauses, **options)})"


@compiles(Unindexed, "sqlite")
def hide_condition(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+({compiler.process(element.clauses, **options)})"
