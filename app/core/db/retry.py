"""Retries transactions after conflicts, lost connections and schema changes."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.exc import DBAPIError

from app.core.db.errors import code_name, is_repeatable, is_undone, is_worth_repeating, meaning

log = structlog.get_logger()

ATTEMPTS = 5
FIRST_WAIT = 0.01


async def retried[T](work: Callable[[], Awaitable[T]]) -> T:
    """What `work` returns: one transaction or read, which begins anew each time; requests have this in their route.

    Raises:
        DBAPIError: what the database said the fifth time, or what no repetition mends.
    """
    for attempt in range(1, ATTEMPTS):
        try:
            return await work()
        except DBAPIError as error:
            await pause_after(error, attempt)
    return await work()


async def pause_after(error: DBAPIError, attempt: int, *, is_read: bool = False) -> None:
    """Raises `error` again if the same work would not do any better, or may have been done.

    What lost its connection may be done once more, where it reads or has not come to its COMMIT.
    """
    is_lost = attempt == 1 and (is_worth_repeating(error) if is_read else is_undone(error))
    if not is_lost and not is_repeatable(error):
        raise error
    log.info("transaction rolled back, trying again", attempt=attempt, why=meaning(error).name, code=code_name(error))
    await asyncio.sleep(FIRST_WAIT * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets
