"""Purges expired rows: sessions, mailed tokens, stored responses."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from app.core.clock import utc_now
from app.core.db.engine import Database
from app.core.db.retry import retried
from app.core.db.session import WriteSession
from app.crud.device_session import sessions
from app.crud.idempotency import idempotency_keys
from app.crud.one_time_token import one_time_tokens

log = structlog.get_logger()

BATCH = 500
PERIOD = timedelta(hours=1)

type Sweep = Callable[[WriteSession, datetime, int], Awaitable[int]]

SWEEPS: tuple[Sweep, ...] = (sessions.end_expired, one_time_tokens.end_expired, idempotency_keys.end_expired)


async def purge_expired(database: Database) -> int:
    """Delete expired rows in one transaction per batch, so that locks are short. Returns the count."""
    total = 0
    for sweep in SWEEPS:
        deleted = BATCH
        while deleted == BATCH:
            deleted = await retried(partial(purge_batch, database, sweep))
            total += deleted
    return total


async def purge_batch(database: Database, sweep: Sweep) -> int:
    async with database.transaction() as session:
        return await sweep(session, utc_now(), BATCH)


async def purge_periodically(database: Database) -> None:
    """Purge about once an hour, forever, at random times, so that instances need no coordination."""
    while True:
        await asyncio.sleep(PERIOD.total_seconds() * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets
        try:
            deleted = await purge_expired(database)
        except Exception:
            log.exception("purge of expired rows failed; it will be retried")
        else:
            log.debug("expired rows purged", deleted=deleted)
