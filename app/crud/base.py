"""The verbs every resource has."""

from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from app.core.errors import VersionConflictError
from app.crud.rows import RowCRUD
from app.models.base import Base, ExpiringBase


class CRUD[M: Base](RowCRUD[M]):
    """find get add update delete: for what needs the ORM's entities; the verbs of `RowCRUD` cost a third of theirs.

    What needs more arguments is a named method of a subclass.
    """

    # The column that says whose a row is, of those that others do not see.
    owner_column = "owner_id"

    async def find(self, session: AsyncSession, id_: int) -> M | None:
        return await self.first(session, self.selection.where(self.model.id == id_))

    async def get(self, session: AsyncSession, id_: int) -> M:
        """Raise NotFoundError (`<noun>_not_found`) if there is none."""
        return self.found(await self.find(session, id_), id_)

    async def get_visible(self, session: AsyncSession, id_: int, reader_id: int | None) -> M:
        """Like `get`, for rows that others than their owner do not see: to them it is not there. None sees all."""
        statement = self.selection.where(self.model.id == id_)
        if reader_id is not None:
            statement = statement.where(getattr(self.model, self.owner_column) == reader_id)
        return self.found(await self.first(session, statement), id_)

    async def find_for_update(self, session: AsyncSession, id_: int) -> M | None:
        """Like `find`, and nobody else changes the row until the transaction ends."""
        return await self.first(session, self.selection.where(self.model.id == id_).with_for_update(of=self.model))

    async def first(self, session: AsyncSession, statement: Select[M]) -> M | None:
        # A joined collection brings its row several times.
        return (await session.scalars(statement)).unique().first()

    async def get_for_update(self, session: AsyncSession, id_: int) -> M:
        """Like `get`, and nobody else changes the row until the transaction ends."""
        return self.found(await self.find_for_update(session, id_), id_)

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
        await self.count_followers(session)

    async def flush(self, session: AsyncSession) -> None:
        try:
            await session.flush()
        except IntegrityError as error:
            raise self.conflict(error) from error
        except StaleDataError as error:
            raise VersionConflictError from error


class ExpiringCRUD[M: ExpiringBase](CRUD[M]):
    """For rows that are thrown away when their time is over."""

    async def end_expired(self, session: AsyncSession, now: datetime, limit: int) -> int:
        """Delete some rows that are past their time; return how many."""
        # It waits for nobody who holds some of them, so that no two can wait for each other.
        expired = select(self.model.id).where(self.model.expires_at <= now).limit(limit)
        expired = expired.with_for_update(skip_locked=True)
        ended = delete(self.model).where(self.model.id.in_(expired)).returning(self.model.id)
        return len(list(await session.scalars(ended)))
