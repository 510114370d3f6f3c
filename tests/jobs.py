"""Jobs in a test's own process and transaction, where no worker runs."""

import asyncio

from sqlalchemy import select

from app.core.jobs.worker import Worker
from app.crud.job_queue import JobQueue
from app.models.job import Job, JobStatus
from app.services.app_services import AppServices
from app.tasks import tasks

RUNNING = select(Job.id).where(Job.status == JobStatus.RUNNING).limit(1)


async def run_jobs(services: AppServices) -> None:
    """Run what is ready, one after the other, until nothing is; a server's own worker may have taken some of it."""
    handlers = tasks.handlers(services)
    queue = JobQueue(services.database, {name: handler.kind for name, handler in handlers.items()})
    await Worker(queue, handlers, concurrency=1).run_all()
    while await is_one_running(services):
        await asyncio.sleep(0.01)
        await Worker(queue, handlers, concurrency=1).run_all()


async def is_one_running(services: AppServices) -> bool:
    async with services.database.primary() as session:
        return await session.scalar(RUNNING) is not None
