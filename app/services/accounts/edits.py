"""Changing and deleting accounts, by their owner or an administrator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.crud.user import users
from app.models.audit import Action
from app.models.user import Role, User
from app.services.audit import Device, differences, record
from app.services.mail.notices import Notices


@dataclass(frozen=True, slots=True)
class AccountEdits:
    """Records changes with old and new values, and mails the owner if a sign-in name changed."""

    notices: Notices

    async def change(
        self, session: WriteSession, user: User, changes: dict[str, Any], device: Device, *, actor_id: int
    ) -> User:
        """Change a locked row."""
        differing = differences(user, **changes)
        # Before the change: the mail goes to the old address.
        await self.notify(session, user, differing, device if actor_id == user.id else None)
        await users.change_locked(session, user, **changes)
        await record(session, Action.USER_CHANGED, device, actor_id=actor_id, subject_id=user.id, changes=differing)
        return user

    async def notify(
        self, session: WriteSession, user: User, differing: dict[str, list[Any]], device: Device | None
    ) -> None:
        """`device` is None for changes by administrators, whose location is not disclosed."""
        facts: dict[str, Any] = {"at": utc_now(), "by_admin": device is None, "ip": device.ip if device else None}
        if "username" in differing:
            old, new = differing["username"]
            await self.notices.send(session, "username_changed", user, old_username=old, new_username=new, **facts)
        if "email" in differing:
            await self.notices.send(session, "email_changed", user, new_email=differing["email"][1], **facts)


async def remove_account(session: WriteSession, user_id: int, check: Callable[[User], None]) -> None:
    """Delete an account unless `check` raises. Raises NotFoundError, LastAdminError."""
    admins = await users.lock_admins(session)
    user = await users.get_for_update(session, user_id)
    check(user)
    users.require_another(admins, user_id)
    await session.delete(user)
    await users.flush(session)


def takes_an_admin_away(changes: dict[str, Any]) -> bool:
    return changes.get("role", Role.ADMIN) != Role.ADMIN or not changes.get("is_active", True)
