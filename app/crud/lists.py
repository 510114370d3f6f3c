"""Lists: pages of rows or entities, and their totals."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, Table, bindparam, func, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.base import ExecutableOption

from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.crud.estimate import MAX_COUNTED, estimate
from app.crud.filters import Filter
from app.crud.page import PageQuery, PageRows, PageShape, revive
from app.crud.typed import TOTAL, StoredRow, columns_by_attribute, shown_columns
from app.models.base import Base

MAX_STATEMENTS = 500


class ListCRUD[M: Base, R: StoredRow]:
    """page."""

    def __init__(
        self,
        model: type[M],
        row: type[R],
        noun: str,
        *,
        options: Sequence[ExecutableOption] = (),
        computed: Mapping[str, Any] | None = None,
        sorts: Mapping[str, InstrumentedAttribute[Any]] | None = None,
        conflicts: Mapping[str, str] | None = None,
    ) -> None:
        """`row` says what rows show, `computed` what of it is no column; `conflicts` maps constraints to error codes.

        Raises:
            TypeError: naming what `row` shows that the model does not have.
        """
        self.model = model
        self.noun = noun
        self.selection = select(model).options(*options)
        self.has_entities = bool(options)
        self.table: Table = model.metadata.tables[model.__tablename__]
        self.columns = columns_by_attribute(model)
        self.shown = shown_columns(model, row, computed or {})
        self.sorts = dict(sorts or {})
        self.conflicts = dict(conflicts or {})
        self.statements: dict[Hashable, Any] = {}
        if hidden := {column.key for column in self.sorts.values()} - {column.key for column in self.shown}:
            raise TypeError(f"{row.__name__} does not show {', '.join(sorted(hidden))}, by which lists are sorted")

    def cached_statement[T](self, make: Callable[..., T], *shape: Hashable) -> T:
        """What `make` makes of a shape, made the first time; values are no part of a shape."""
        key = (make.__name__, *shape)
        made: T | None = self.statements.get(key)
        if made is None:
            if len(self.statements) >= MAX_STATEMENTS:
                self.statements.clear()
            made = self.statements[key] = make(*shape)
        return made

    async def page(self, session: AsyncSession, query: PageQuery, filter_: Filter | None = None) -> PageRows[Any]:
        shape, values = PageShape.of(query, filter_)
        values["skip"] = query.skip
        column = self.sorts[query.sort.removeprefix("-")]
        if query.after is not None:
            values |= {"after_value": revive(column, query.after[0]), "after_id": query.after[1]}
        found = await self.rows(session, shape, values)
        rows = found[: query.limit]
        next_after = [getattr(rows[-1], column.key), rows[-1].id] if len(found) > query.limit else None
        total = await self.total(session, shape, values, found) if query.include_total else None
        return PageRows(rows, total, next_after)

    async def rows(self, session: AsyncSession, shape: PageShape, values: Mapping[str, Any]) -> list[Any]:
        if not self.has_entities:
            return await fetch(session, self.cached_statement(self.selected_rows, shape), **values)
        # A joined collection brings its row several times.
        return list((await session.scalars(self.cached_statement(self.slice, self.selection, shape), values)).unique())

    async def total(self, session: AsyncSession, shape: PageShape, values: Mapping[str, Any], found: list[Any]) -> int:
        if not found and not values["skip"] and not shape.has_after:
            return 0
        if found and not self.has_entities:
            total: int = getattr(found[0], TOTAL)
        else:
            # Past the end no row tells it.
            total = (await fetch(session, self.cached_statement(self.counted, shape), **values))[0][0]
        return total if total <= MAX_COUNTED else await estimate(session, self.matching(shape), values)

    def selected_rows(self, shape: PageShape) -> Prepared:
        columns = [*self.shown]
        if shape.include_total:
            columns.append(self.count(shape).scalar_subquery().label(TOTAL))
        return Prepared(self.slice(select(*columns), shape))

    def counted(self, shape: PageShape) -> Prepared:
        return Prepared(self.count(shape))

    def count(self, shape: PageShape) -> Select[Any]:
        """Of so many that the cost has a bound, and one more, which tells that there are more."""
        some = self.matching(shape).limit(inline(MAX_COUNTED + 1))
        return select(func.count().label(TOTAL)).select_from(some.subquery())

    def matching(self, shape: PageShape) -> Select[Any]:
        return select(literal_column("1")).select_from(self.table).where(*shape.filter_.conditions())

    def slice[S: Select[Any]](self, statement: S, shape: PageShape) -> S:
        """At least one row more than the page has, to know whether another page follows."""
        column, key = self.sorts[shape.sort.removeprefix("-")], self.model.id
        descends = shape.sort.startswith("-")
        statement = statement.where(*shape.filter_.conditions())
        if shape.has_after:
            last = tuple_(bindparam("after_value", type_=column.type), bindparam("after_id", type_=key.type))
            # A row comparison, not `a < x OR (a = x AND id < y)`: an index serves it at any depth.
            place = tuple_(column, key)
            statement = statement.where(place < last if descends else place > last)
        order = [column.desc(), key.desc()] if descends else [column.asc(), key.asc()]
        statement = statement.order_by(*order).limit(inline(shape.most_rows))
        if shape.skip_below:
            # The comment makes it another statement for PostgreSQL, too.
            statement = statement.prefix_with(f"/* skip < {shape.skip_below} */")
            statement = statement.offset(bindparam("skip", type_=BigInteger()))
        return statement


def inline(number: int) -> ColumnElement[int]:
    """A number as it is, and no parameter."""
    return literal_column(str(number))
