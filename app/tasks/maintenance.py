"""What has to be done from time to time."""

from datetime import timedelta

import structlog

from app.core.jobs.kinds import JobKind, NoPayload
from app.core.jobs.store import ClaimedJob
from app.services.app_services import AppServices
from app.services.purge import purge_expired
from app.tasks.registry import Tasks

log = structlog.get_logger()
tasks = Tasks.of()

PURGE = JobKind("maintenance.purge", NoPayload, every=timedelta(hours=1), timeout=timedelta(minutes=30))


@tasks.runs(PURGE)
async def purge(services: AppServices, _: NoPayload, __: ClaimedJob) -> None:
    log.debug("expired rows purged", deleted=await purge_expired(services.database))
