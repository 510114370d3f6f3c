"""`/admin/jobs`: all background work, for those who run the service."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, status

from app.api.deps import AdminUser, AppServicesDep, DeviceDep, PagingDep, ReadSessionDep, SessionDep
from app.api.deps.paging import SORT
from app.api.errors import responses
from app.api.router import Router
from app.crud.job import JobFilter, JobRow, jobs
from app.models.audit import Action
from app.models.job import JobStatus
from app.schemas.base import Message, Page
from app.schemas.job import JobRead, JobStatusName
from app.schemas.parameters import IdParameter, KindQuery
from app.services.audit import record

router = Router(prefix="/admin/jobs", tag="jobs", about="All background work.", responses=responses(401, 403))

JobId = Annotated[IdParameter, Path(examples=[815])]
JobSort = Annotated[Literal["id", "-id"], SORT]


async def get_filter(
    status: Annotated[JobStatusName | None, Query()] = None,
    kind: Annotated[KindQuery | None, Query(description="What they do.", examples=["mail.text"])] = None,
) -> JobFilter:
    return JobFilter(JobStatus(status) if status else None, kind)


@router.get("", response_model=Page[JobRead], summary="List jobs")
async def list_jobs(
    _: AdminUser,
    filter_: Annotated[JobFilter, Depends(get_filter)],
    paging: PagingDep,
    session: ReadSessionDep,
    sort: JobSort = "-id",
) -> dict[str, Any]:
    """The newest first. Those that are done, failed or cancelled are deleted after a while."""
    return await paging.run(jobs, session, filter_, sort)


@router.get("/{job_id}", response_model=JobRead, summary="See a job", responses=responses(404))
async def read_job(job_id: JobId, _: AdminUser, session: ReadSessionDep) -> JobRow:
    return await jobs.read_row(session, job_id)


@router.post(
    "/{job_id}/retry",
    response_model=Message,
    status_code=status.HTTP_202_ACCEPTED,
    summary="Run a job again",
    responses=responses(404, 409),
)
async def retry_job(
    job_id: JobId, me: AdminUser, session: SessionDep, services: AppServicesDep, device: DeviceDep
) -> dict[str, str]:
    """Of one that failed or was cancelled, with as many attempts as a new one has."""
    kind = await services.jobs.retry(session, job_id)
    await record(session, Action.JOB_RETRIED, device, actor_id=me.user.id, job_id=job_id, kind=kind)
    return {"message": "The job will run again."}


@router.post(
    "/{job_id}/cancel",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Cancel a job",
    responses=responses(404, 409),
)
async def cancel_job(job_id: JobId, me: AdminUser, session: SessionDep, device: DeviceDep) -> None:
    """Of one that waits; one that runs cannot be stopped."""
    kind = await jobs.cancel(session, job_id)
    await record(session, Action.JOB_CANCELLED, device, actor_id=me.user.id, job_id=job_id, kind=kind)
