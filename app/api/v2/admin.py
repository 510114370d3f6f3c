"""`/admin/audit` by cursor alone."""

from typing import Any

from app.api.deps import AdminUser, CursorPagingDep, ReadSessionDep
from app.api.errors import responses
from app.api.router import Router
from app.api.v1.admin import AuditSort, FilterDep
from app.crud.audit import audit
from app.schemas.account import AuditEventRead
from app.schemas.base import CursorPage

router = Router(prefix="/admin", tag="admin", responses=responses(401, 403))


@router.get("/audit", response_model=CursorPage[AuditEventRead], summary="See who did what, by cursor")
async def list_audit_v2(
    _: AdminUser, filter_: FilterDep, paging: CursorPagingDep, session: ReadSessionDep, sort: AuditSort = "-id"
) -> dict[str, Any]:
    """As in v1, without offset and total."""
    return await paging.run(audit, session, filter_, sort)
