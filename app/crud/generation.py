"""Counting the writes to what is cached."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import insert
from app.crud.base import CRUD
from app.models.base import Base
from app.models.generation import Generation


class GenerationCRUD(CRUD[Generation]):
    async def current(self, session: AsyncSession, resource: str) -> int:
        number = await session.scalar(select(Generation.number).where(Generation.resource == resource))
        return number or 0

    async def count_on(self, session: AsyncSession, resource: str) -> None:
        """One statement, after which other writers to the resource wait for this transaction to end."""
        counted = insert(session, Generation).values(resource=resource, number=1)
        await session.execute(
            counted.on_conflict_do_update(index_elements=["resource"], set_={"number": Generation.number + 1})
        )


generations = GenerationCRUD(Generation, "generation")


class CachedCRUD[M: Base](CRUD[M]):
    """Of a resource whose answers are cached (`app/api/caching.py`): every write makes them void when it commits."""

    @property
    def resource(self) -> str:
        return str(self.model.__tablename__)

    async def flush(self, session: AsyncSession) -> None:
        await super().flush(session)
        await generations.count_on(session, self.resource)
