"""The worker of a process, and what wakes it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from app.core.fallback import Fallback
from app.core.jobs.worker import Worker
from app.crud.job_queue import JobQueue
from app.services.app_services import AppServices
from app.tasks import tasks

# For jobs that run when the process is to end; then they are given back.
GRACE_SECONDS = 10
CHANNEL, TABLE, TRIGGER = "strata_jobs", "jobs", "strata_job_added"


class Wake:
    """Hears of new jobs; a notification that was lost costs the time until the worker looks by itself."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def gain(self) -> None:
        self.worker.wake()

    def hear(self, _: str) -> None:
        self.worker.wake()

    def confirm(self, asked_at: float) -> None: ...
    def lose(self) -> None: ...


@asynccontextmanager
async def running_worker(services: AppServices) -> AsyncIterator[Worker]:
    """A worker that runs jobs until the block ends; those that run then have a little time to end as well."""
    handlers = tasks.handlers(services)
    queue = JobQueue(services.database, {name: handler.kind for name, handler in handlers.items()})
    worker = Worker(queue, handlers, services.settings.jobs_concurrency)
    services.jobs.wakers.append(worker.wake)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listening(services, worker))
        running = asyncio.create_task(worker.run(), name="job worker")
        try:
            yield worker
        finally:
            services.jobs.wakers.remove(worker.wake)
            worker.stop()
            try:
                await asyncio.wait([running], timeout=GRACE_SECONDS)
            finally:  # also if nobody wants to wait for them
                running.cancel()
                with suppress(asyncio.CancelledError):
                    await running


@asynccontextmanager
async def listening(services: AppServices, worker: Worker) -> AsyncIterator[None]:
    """On PostgreSQL other processes' jobs are told of at once; elsewhere, and behind a pooler, the worker looks."""
    settings, engine = services.settings, services.database.engine
    if engine.dialect.name != "postgresql" or settings.db_pgbouncer:
        yield
        return
    from app.core.db.listener import Listener, Source, listener_arguments  # noqa: PLC0415 - its driver costs SQLite 10 MB

    fallback = Fallback((), "notifications of jobs lost: workers poll", "notifications of jobs are back")
    source = Source(CHANNEL, (TABLE,), (TRIGGER,))
    listener = Listener(engine, listener_arguments(settings), source, Wake(worker), fallback)
    listener.start()
    try:
        yield
    finally:
        await listener.close()
