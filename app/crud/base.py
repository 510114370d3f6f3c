"""The verbs every resource has, and the page of a list."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, func, literal, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.sql.base import ExecutableOption

from app.core.database import violated_constraint
from app.core.errors import AppError, ConflictError, NotFoundError, VersionConflictError
from app.crud.invalidation import cached_followers, count_on
from app.models.base import Base, ExpiringBase


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


class CRUD[M: Base]:
    """find get page add update delete. What needs more arguments is a named method of a subclass."""

    def __init__(
        self,
        model: type[M],
        noun: str,
        *,
        options: Sequence[ExecutableOption] = (),
        sorts: Mapping[str, InstrumentedAttribute[Any]] | None = None,
        conflicts: Mapping[str, str] | None = None,
    ) -> None:
        """`conflicts` maps a unique constraint's name to the error code that clients switch on."""
        self.model = model
        self.noun = noun
        self.selection = select(model).options(*options)
        self.sorts = dict(sorts or {})
        self.conflicts = dict(conflicts or {})

    @property
    def table(self) -> Table:
        return self.model.metadata.tables[self.model.__tablename__]

    async def find(self, session: AsyncSession, id_: int) -> M | None:
        return await self.first(session, self.selection.where(self.model.id == id_))

    async def get(self, session: AsyncSession, id_: int) -> M:
        """Raise NotFoundError (`<noun>_not_found`) if there is none."""
        return self.found(await self.find(session, id_), id_)

    async def find_for_update(self, session: AsyncSession, id_: int) -> M | None:
        """Like `find`, and nobody else changes the row until the transaction ends."""
        return await self.first(session, self.selection.where(self.model.id == id_).with_for_update(of=self.model))

    async def first(self, session: AsyncSession, statement: Select[M]) -> M | None:
        # A joined collection brings its row several times.
        return (await session.scalars(statement)).unique().first()

    async def get_for_update(self, session: AsyncSession, id_: int) -> M:
        """Like `get`, and nobody else changes the row until the transaction ends."""
        return self.found(await self.find_for_update(session, id_), id_)

    def found(self, row: M | None, id_: int) -> M:
        if row is None:
            raise NotFoundError(f"There is no {self.noun} with id {id_}.", code=f"{self.noun}_not_found")
        return row

    async def page(
        self, session: AsyncSession, query: PageQuery, where: Sequence[ColumnElement[bool]] = ()
    ) -> PageRows[M]:
        total = None
        if query.include_total:
            total = await session.scalar(select(func.count()).select_from(self.model).where(*where))
        # A joined collection brings its row several times.
        rows = list((await session.scalars(self.slice(self.selection.where(*where), query))).unique())
        is_last = len(rows) <= query.limit
        rows = rows[: query.limit]
        column = self.sorts[query.sort.removeprefix("-")]
        return PageRows(rows, total, None if is_last else [getattr(rows[-1], column.key), rows[-1].id])

    def slice(self, statement: Select[M], query: PageQuery) -> Select[M]:
        """One row more than the page has, to know whether another page follows."""
        column, key = self.sorts[query.sort.removeprefix("-")], self.model.id
        descends = query.sort.startswith("-")
        if query.after is not None:
            value, id_ = query.after
            last = tuple_(literal(revive(column, value), column.type), literal(id_, key.type))
            # A row comparison, not `a < x OR (a = x AND id < y)`: an index serves it at any depth.
            place = tuple_(column, key)
            statement = statement.where(place < last if descends else place > last)
        order = [column.desc(), key.desc()] if descends else [column.asc(), key.asc()]
        return statement.order_by(*order).offset(query.skip or None).limit(query.limit + 1)

    async def add(self, session: AsyncSession, row: M) -> M:
        session.add(row)
        await self.flush(session)
        return row

    async def update(self, session: AsyncSession, row: M, *, version: int | None = None, **changes: Any) -> M:
        """Change columns. `version`, if given, must be the row's: else VersionConflictError."""
        if version is not None and version != getattr(row, "version", version):
            raise VersionConflictError
        for name, value in changes.items():
            setattr(row, name, value)
        await self.flush(session)
        return row

    async def delete(self, session: AsyncSession, row: M) -> None:
        await session.delete(row)
        await self.flush(session)
        # The database changes or deletes their rows too, past their CRUD objects.
        for resource in cached_followers(self.table):
            await count_on(session, resource)

    async def flush(self, session: AsyncSession) -> None:
        try:
            await session.flush()
        except IntegrityError as error:
            raise self.conflict(error) from error
        except StaleDataError as error:
            raise VersionConflictError from error

    def conflict(self, error: IntegrityError) -> AppError | IntegrityError:
        code = self.conflicts.get(violated_constraint(error) or "")
        if code is None:
            return error
        return ConflictError(f"This {code.removesuffix('_taken')} is already in use.", code=code)


class ExpiringCRUD[M: ExpiringBase](CRUD[M]):
    """For rows that are thrown away when their time is over."""

    async def end_expired(self, session: AsyncSession, now: datetime, limit: int) -> int:
        """Delete some rows that are past their time; return how many."""
        # It waits for nobody who holds some of them, so that no two can wait for each other.
        expired = select(self.model.id).where(self.model.expires_at <= now).limit(limit)
        expired = expired.with_for_update(skip_locked=True)
        ended = delete(self.model).where(self.model.id.in_(expired)).returning(self.model.id)
        return len(list(await session.scalars(ended)))


def contains(column: InstrumentedAttribute[Any], text: str) -> ColumnElement[bool]:
    """Whether a column has the text somewhere, in any letter case; `%` and `_` are characters like any other."""
    literally = re.sub(r"([/%_])", r"/\1", text)
    return column.ilike(f"%{literally}%", escape="/")


def equal(*wanted: tuple[InstrumentedAttribute[Any], Any]) -> list[ColumnElement[bool]]:
    """That each column has its value; None stands for any."""
    return [column == value for column, value in wanted if value is not None]


def revive(column: InstrumentedAttribute[Any], value: Any) -> Any:
    """A sort value as the column has it, from what JSON made of it."""
    kind = column.type.python_type
    return kind.fromisoformat(value) if issubclass(kind, date) else kind(value)
