"""`/admin`: the audit log and the dashboard."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from app.api.deps import AdminUser, PagingDep, ReadSessionDep
from app.api.deps.paging import SORT
from app.api.errors import responses
from app.api.router import Router
from app.core.clock import utc_now
from app.crud.audit import AuditFilter, audit
from app.crud.dashboard import DashboardRows, read_dashboard
from app.models.audit import Action
from app.schemas.account import AuditEventRead, Dashboard
from app.schemas.base import Page
from app.schemas.fields import Instant
from app.schemas.parameters import IdParameter

router = Router(
    prefix="/admin", tag="admin", about="What those who run the service look at.", responses=responses(401, 403)
)


@router.get("/dashboard", response_model=Dashboard, summary="See how the service is used")
async def dashboard(_: AdminUser, session: ReadSessionDep) -> DashboardRows:
    return await read_dashboard(session, utc_now())


async def get_filter(
    action: Annotated[Action | None, Query(description="What was done.")] = None,
    actor_id: Annotated[IdParameter | None, Query(description="Who did it.")] = None,
    subject_id: Annotated[IdParameter | None, Query(description="Whom it was done to.")] = None,
    since: Annotated[Instant | None, Query(description="From this instant on.")] = None,
    until: Annotated[Instant | None, Query(description="Before this instant.")] = None,
) -> AuditFilter:
    return AuditFilter(action, actor_id, subject_id, since, until)


FilterDep = Annotated[AuditFilter, Depends(get_filter)]
AuditSort = Annotated[Literal["id", "-id"], SORT]


@router.get("/audit", response_model=Page[AuditEventRead], summary="See who did what")
async def list_audit(
    _: AdminUser,
    filter_: FilterDep,
    paging: PagingDep,
    session: ReadSessionDep,
    sort: AuditSort = "-id",
) -> dict[str, Any]:
    """Sign-ins and failures, passwords, roles, deletions, what administrators did; the newest first."""
    return await paging.run(audit, session, filter_, sort)
