"""Security events in the database."""

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, union
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db.prepared import Prepared
from app.core.db.session import fetch
from app.crud.base import CRUD
from app.crud.batch import Batch, Place, batch_of, between_ids
from app.crud.filters import Filter, at_least, before, equals
from app.crud.lists import inline
from app.crud.typed import StoredRow
from app.models.audit import Action, AuditEvent

# Events of a user among which a device is looked for: a sign-in does not get slower with each one before it.
RECENT = 1000


class AuditFilter(Filter):
    action: Action | None = equals(AuditEvent.action)
    actor_id: int | None = equals(AuditEvent.actor_id)
    subject_id: int | None = equals(AuditEvent.subject_id)
    since: datetime | None = at_least(AuditEvent.created_at)
    until: datetime | None = before(AuditEvent.created_at)


class AuditRow(StoredRow):
    at: datetime
    action: Action
    actor_id: int | None
    subject_id: int | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    details: dict[str, Any]


class AuditCRUD(CRUD[AuditEvent, AuditRow]):
    async def batch_about(
        self, session: AsyncSession, user_id: int, after: Place | None, last_id: int, limit: int
    ) -> Batch:
        """What was written down about an account: what the user did, and what was done to them."""
        after_id = after.id if after is not None else 0
        statement = self.cached_statement(self.selected_about, limit + 1)
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
    AuditRow,
    "audit_event",
    computed={"at": AuditEvent.created_at},
    sorts={"id": AuditEvent.id},
)
