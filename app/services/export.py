"""Everything that is stored about an account."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.audit import audit
from app.crud.item import items
from app.crud.order import orders
from app.crud.session import sessions
from app.models.audit import AuditEvent
from app.models.base import utc_now
from app.models.user import User
from app.services.auth import session_facts


async def export_account(session: AsyncSession, user: User, session_key: str) -> dict[str, Any]:
    now = utc_now()
    return {
        "exported_at": now,
        "user": user,
        "sessions": [session_facts(row, session_key) for row in await sessions.of_user(session, user.id, now)],
        "items": await items.of_owner(session, user.id),
        "orders": await orders.of_buyer(session, user.id),
        "audit": [audit_facts(event, user.id) for event in await audit.of_user(session, user.id)],
    }


def audit_facts(event: AuditEvent, user_id: int) -> dict[str, Any]:
    """What a user sees of an event; where an administrator acted from is that person's, not theirs.

    And what an administrator has changed of somebody else's account is theirs.
    """
    is_theirs = event.actor_id in {None, user_id}
    return {
        "id": event.id,
        "at": event.at,
        "action": event.action,
        "actor_id": event.actor_id,
        "subject_id": event.subject_id,
        "ip": event.ip if is_theirs else None,
        "user_agent": event.user_agent if is_theirs else None,
        "request_id": event.request_id if is_theirs else None,
        "details": event.details if event.subject_id == user_id else {},
    }
