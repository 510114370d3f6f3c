"""Reads rows in batches, without holding a connection while the client reads."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.retry import retried
from app.crud.batch import Batch, Place

# Small enough that reading and serializing a batch does not stall the event loop.
BATCH = 100


async def batches(
    sessions: Callable[[], AsyncSession], read: Callable[[AsyncSession, Place | None], Awaitable[Batch]]
) -> AsyncIterator[list[Any]]:
    """Yields batches; `read` fetches the one after a place. Each has its own session, closed before the yield."""
    place: Place | None = None

    async def read_next() -> Batch:
        async with sessions() as session:
            return await read(session, place)

    while True:
        rows, place = await retried(read_next)
        if rows:
            yield rows
        if place is None:
            return
