"""Counting the writes to what is cached."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.prepared import Prepared, Row
from app.core.db.transaction import require_transaction
from app.crud.base import CRUD
from app.crud.invalidation import IS_CACHED, count_on
from app.models.base import Base
from app.models.generation import Generation


class GenerationCRUD(CRUD[Generation]):
    async def current(self, session: AsyncSession, resource: str) -> int:
        number = await session.scalar(select(Generation.number).where(Generation.resource == resource))
        return number or 0


generations = GenerationCRUD(Generation, "generation")


class CachedCRUD[M: Base](CRUD[M]):
    """Of a resource with cached answers (`app/api/deps/caching.py`): every write makes them void when it commits."""

    def __init__(self, model: type[M], noun: str, **options: Any) -> None:
        super().__init__(model, noun, **options)
        self.table.info[IS_CACHED] = True

    @property
    def resource(self) -> str:
        return str(self.model.__tablename__)

    async def flush(self, session: AsyncSession) -> None:
        await super().flush(session)
        await count_on(session, self.resource)

    async def write(self, session: AsyncSession, statement: Prepared, **values: Any) -> list[Row]:
        require_transaction(session)
        rows = await super().write(session, statement, **values)
        await count_on(session, self.resource)
        return rows
