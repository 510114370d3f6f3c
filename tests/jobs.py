"""Jobs in a test's own process and transaction, where no worker runs."""

from app.core.jobs.worker import Worker
from app.crud.job_queue import JobQueue
from app.services.app_services import AppServices
from app.tasks import tasks


async def run_jobs(services: AppServices) -> None:
    """Run what is ready, one after the other, until nothing is."""
    handlers = tasks.handlers(services)
    queue = JobQueue(services.database, {name: handler.kind for name, handler in handlers.items()})
    await Worker(queue, handlers, concurrency=1).run_all()
