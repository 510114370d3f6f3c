"""Records audit events in the transaction of the action."""

from dataclasses import dataclass
from typing import Any

from app.core.db.session import WriteSession
from app.crud.audit import audit
from app.models.audit import Action, AuditEvent
from app.models.user import User


@dataclass(frozen=True, slots=True)
class Device:
    """The client's address and user agent, as far as known."""

    ip: str | None
    user_agent: str | None
    request_id: str | None = None


async def record_sign_out(
    session: WriteSession, device: Device, user_id: int, *, session_id: int | None = None
) -> None:
    """Record that a user ended one or all sessions."""
    action = Action.SIGNED_OUT_EVERYWHERE if session_id is None else Action.SESSION_REVOKED
    await record(session, action, device, actor_id=user_id, session_id=session_id)


def differences(user: User, **changes: Any) -> dict[str, list[Any]]:
    """Old and new value of each field about to change, except the password."""
    told = changes.keys() - {"hashed_password"}
    return {name: [getattr(user, name), changes[name]] for name in sorted(told) if getattr(user, name) != changes[name]}


async def record(
    session: WriteSession,
    action: Action,
    device: Device,
    *,
    actor_id: int | None = None,
    subject_id: int | None = None,
    **details: Any,
) -> None:
    """Add an event. `details` must hold no secrets: administrators read it, and it is kept forever."""
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
