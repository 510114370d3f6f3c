"""Counts the writes to cached resources."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.prepared import Prepared
from app.core.db.session import WriteSession
from app.crud.base import CRUD
from app.crud.invalidation import IS_CACHED, bump_generation
from app.crud.typed import StoredRow
from app.models.base import Base
from app.models.generation import Generation


class GenerationCRUD(CRUD[Generation, StoredRow]):
    async def current(self, session: AsyncSession, resource: str) -> int:
        number = await session.scalar(select(Generation.number).where(Generation.resource == resource))
        return number or 0


generations = GenerationCRUD(Generation, StoredRow, "generation")


class CachedCRUD[M: Base, R: StoredRow](CRUD[M, R]):
    """Of a resource with cached responses (`app/api/deps/caching.py`): every write invalidates them when it commits."""

    def __init__(self, model: type[M], row: type[R], noun: str, **options: Any) -> None:
        super().__init__(model, row, noun, **options)
        if not self.table.info.get(IS_CACHED):
            raise TypeError(f"{model.__name__} is cached: declare it in its `table_args(is_cached=True)`")

    @property
    def resource(self) -> str:
        return str(self.model.__tablename__)

    async def flush(self, session: WriteSession) -> None:
        await super().flush(session)
        await bump_generation(session, self.resource)

    async def write(self, session: WriteSession, statement: Prepared, **values: Any) -> list[R]:
        session.require_transaction()
        rows = await super().write(session, statement, **values)
        await bump_generation(session, self.resource)
        return rows
