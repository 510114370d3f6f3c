"""Writing down security events, in the transaction of what they tell of."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.audit import audit
from app.models.audit import Action, AuditEvent
from app.models.user import User


@dataclass(frozen=True, slots=True)
class Device:
    """Where a request comes from, as far as it can be told."""

    ip: str | None
    user_agent: str | None
    request_id: str | None = None


async def record_sign_out(
    session: AsyncSession, device: Device, user_id: int, *, session_id: int | None = None
) -> None:
    """A user ended one session from another, or all."""
    action = Action.SIGNED_OUT_EVERYWHERE if session_id is None else Action.SESSION_REVOKED
    await record(session, action, device, actor_id=user_id, session_id=session_id)


def differences(user: User, **changes: Any) -> dict[str, list[Any]]:
    """Old and new value of each field that is about to become another one; of the password nothing is told."""
    told = changes.keys() - {"hashed_password"}
    return {name: [getattr(user, name), changes[name]] for name in sorted(told) if getattr(user, name) != changes[name]}


async def record(
    session: AsyncSession,
    action: Action,
    device: Device,
    *,
    actor_id: int | None = None,
    subject_id: int | None = None,
    **details: Any,
) -> None:
    """Add an event. `details` must hold nothing secret: administrators read it, and it is kept for good."""
    event = AuditEvent(
        action=action,
        actor_id=actor_id,
        subject_id=subject_id if subject_id is not None else actor_id,
        ip=device.ip,
        user_agent=device.user_agent,
        request_id=device.request_id,
        details=details,
    )
    session.add(event)
    await audit.flush(session)
