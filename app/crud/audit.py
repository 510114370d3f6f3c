"""Security events in the database."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.prepared import Row
from app.crud.base import CRUD
from app.crud.page import PageQuery, PageRows
from app.models.audit import Action, AuditEvent


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """None filters nothing."""

    action: Action | None = None
    actor_id: int | None = None
    subject_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.action is not None:
            conditions.append(AuditEvent.action == self.action)
        if self.actor_id is not None:
            conditions.append(AuditEvent.actor_id == self.actor_id)
        if self.subject_id is not None:
            conditions.append(AuditEvent.subject_id == self.subject_id)
        if self.since is not None:
            conditions.append(AuditEvent.created_at >= self.since)
        if self.until is not None:
            conditions.append(AuditEvent.created_at < self.until)
        return conditions


class AuditCRUD(CRUD[AuditEvent]):
    async def search(self, session: AsyncSession, query: PageQuery, filter_: AuditFilter) -> PageRows[Row]:
        return await self.page(session, query, filter_)

    async def of_user(self, session: AsyncSession, user_id: int) -> list[AuditEvent]:
        """Everything written down about an account, the oldest first."""
        mine = or_(AuditEvent.actor_id == user_id, AuditEvent.subject_id == user_id)
        return list(await session.scalars(select(AuditEvent).where(mine).order_by(AuditEvent.id)))

    async def knows_device(self, session: AsyncSession, user_id: int, user_agent: str | None) -> bool:
        """Whether the user has signed in with such a device before, or never at all."""
        sign_ins = select(AuditEvent.id).where(AuditEvent.actor_id == user_id, AuditEvent.action == Action.SIGNED_IN)
        if await session.scalar(sign_ins.limit(1)) is None:
            return True
        return await session.scalar(sign_ins.where(AuditEvent.user_agent == user_agent).limit(1)) is not None


audit = AuditCRUD(
    AuditEvent,
    "audit_event",
    shown=[*AuditEvent.__table__.columns, AuditEvent.created_at.label("at")],
    sorts={"id": AuditEvent.id},
)
