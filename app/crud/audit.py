"""Security events in the database."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.prepared import Prepared, Row
from app.core.db.session import fetch
from app.crud.base import CRUD
from app.crud.batch import Batch, Place, batch_of, between_ids
from app.crud.lists import inline
from app.crud.page import PageQuery, PageRows
from app.models.audit import Action, AuditEvent

# Events of a user among which a device is looked for: a sign-in does not get slower with each one before it.
RECENT = 1000


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

    async def batch_about(
        self, session: AsyncSession, user_id: int, after: Place | None, last_id: int, limit: int
    ) -> Batch:
        """What was written down about an account: what the user did, and what was done to them."""
        after_id = after.id if after is not None else 0
        statement = self.once(self.selected_about, limit + 1)
        found = await fetch(session, statement, user_id=user_id, after_id=after_id, last_id=last_id)
        return batch_of(found, limit)

    def selected_about(self, limit: int) -> Prepared:
        # Each from an index of its own: of "one or the other" a database would sort all that there are, each time.
        parts = [
            select(self.table.c.id)
            .where(column == bindparam("user_id"), *between_ids(self.table.c.id))
            .order_by(self.table.c.id)
            .limit(inline(limit))
            .subquery()
            for column in (self.table.c.actor_id, self.table.c.subject_id)
        ]
        ids = union(*(select(part.c.id) for part in parts)).subquery()
        found = select(*self.shown).where(self.table.c.id.in_(select(ids.c.id)))
        return Prepared(found.order_by(self.table.c.id).limit(inline(limit)))

    async def knows_device(self, session: AsyncSession, user_id: int, user_agent: str | None) -> bool:
        """Whether the user has signed in with such a device lately, or never at all."""
        mine = select(AuditEvent.action, AuditEvent.user_agent).where(AuditEvent.actor_id == user_id)
        first = mine.where(AuditEvent.action == Action.SIGNED_IN).order_by(AuditEvent.id).limit(1)
        if (await session.execute(first)).first() is None:
            return True
        recent = mine.order_by(AuditEvent.id.desc()).limit(RECENT).subquery()
        same = select(recent.c.action).where(recent.c.action == Action.SIGNED_IN, recent.c.user_agent == user_agent)
        return await session.scalar(same.limit(1)) is not None


audit = AuditCRUD(
    AuditEvent,
    "audit_event",
    shown=[*AuditEvent.__table__.columns, AuditEvent.created_at.label("at")],
    sorts={"id": AuditEvent.id},
)
