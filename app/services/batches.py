"""Rows of any number, a batch at a time: nobody holds a connection while a client reads what it has got."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.retry import retried
from app.crud.batch import Batch, Place

# As many rows as are read, and written for the client, without a pause that others would notice.
BATCH = 100


async def batches(
    sessions: Callable[[], AsyncSession], read: Callable[[AsyncSession, Place | None], Awaitable[Batch]]
) -> AsyncIterator[list[Any]]:
    """`read` finds the batch at a place; each has a session of its own, which is over when its rows are given."""
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
