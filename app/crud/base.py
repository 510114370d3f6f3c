"""The operations that every resource has."""

from datetime import datetime

from sqlalchemy import Select, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from app.core.db.session import WriteSession
from app.core.errors import VersionConflictError
from app.crud.invalidation import bump_dependents
from app.crud.rows import RowCRUD
from app.crud.typed import StoredRow
from app.models.base import Base, ExpiringBase


class CRUD[M: Base, R: StoredRow](RowCRUD[M, R]):
    """find get …: entities, for what needs the ORM; the verbs of `RowCRUD` cost a third.

    Entities are written by SQLAlchemy's own `session.add`, `session.delete` and attributes, and then `flush`.
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

    async def find_for_update(self, session: WriteSession, id_: int) -> M | None:
        """Like `find`, and nobody else changes the row until the transaction ends."""
        return await self.first(session, self.selection.where(self.model.id == id_).with_for_update(of=self.model))

    async def first(self, session: AsyncSession, statement: Select[M]) -> M | None:
        # A joined collection brings its row several times.
        return (await session.scalars(statement)).unique().first()

    async def get_for_update(self, session: WriteSession, id_: int) -> M:
        """Like `get`, and nobody else changes the row until the transaction ends."""
        return self.found(await self.find_for_update(session, id_), id_)

    async def flush(self, session: WriteSession) -> None:
        """Write what was done to entities: `session.add`, `session.delete`, and their attributes.

        Raises:
            ConflictError: by the constraint that is broken.
            VersionConflictError: if somebody else has changed an entity since it was read.
        """
        deletes = any(isinstance(row, self.model) for row in session.deleted)
        try:
            await session.flush()
        except IntegrityError as error:
            raise self.conflict(error) from error
        except StaleDataError as error:
            raise VersionConflictError from error
        if deletes:
            await bump_dependents(session, self.table)


class ExpiringCRUD[M: ExpiringBase, R: StoredRow](CRUD[M, R]):
    """For rows that are thrown away when their time is over."""

    async def end_expired(self, session: WriteSession, now: datetime, limit: int) -> int:
        """Delete some rows that are past their time; return how many."""
        # It waits for nobody who holds some of them, so that no two can wait for each other.
        expired = select(self.model.id).where(self.model.expires_at <= now).limit(limit)
        expired = expired.with_for_update(skip_locked=True)
        ended = delete(self.model).where(self.model.id.in_(expired)).returning(self.model.id)
        return len(list(await session.scalars(ended)))
