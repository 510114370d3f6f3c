"""Purges expired rows: sessions, mailed tokens, stored responses, ended jobs."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from app.core.clock import utc_now
from app.core.db.engine import Database
from app.core.db.retry import retried
from app.core.db.session import WriteSession
from app.crud.device_session import sessions
from app.crud.idempotency import idempotency_keys
from app.crud.job import jobs
from app.crud.one_time_token import one_time_tokens

BATCH = 500

type Sweep = Callable[[WriteSession, datetime, int], Awaitable[int]]

SWEEPS: tuple[Sweep, ...] = (
    sessions.end_expired,
    one_time_tokens.end_expired,
    idempotency_keys.end_expired,
    jobs.end_expired,
    jobs.end_silent_workers,
)


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
