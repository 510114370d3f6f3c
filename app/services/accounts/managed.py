"""Creating, changing and deleting accounts as an administrator."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.core.config.settings import Settings
from app.core.db.session import WriteSession
from app.core.security.passwords import PasswordHasher
from app.crud.device_session import sessions
from app.crud.user import users
from app.models.audit import Action
from app.models.user import Role, User, identity_key
from app.services.accounts.edits import AccountEdits, remove_account, takes_an_admin_away
from app.services.accounts.password_policy import check_password
from app.services.audit import Device, record
from app.services.auth.identity import Identity


@dataclass(frozen=True, slots=True)
class ManagedAccounts:
    """The use cases of administrators; those that affect administrators also need the scope `admin`."""

    settings: Settings
    hasher: PasswordHasher
    edits: AccountEdits

    async def create(
        self,
        session: WriteSession,
        before_writing: Callable[[], Awaitable[None]],
        password: str,
        device: Device,
        *,
        actor: Identity,
        **fields: Any,
    ) -> User:
        """Create an account. `before_writing` is awaited after the password was hashed.

        Raises:
            InsufficientScopeError, WeakPasswordError, ConflictError, OverloadedError
        """
        require_admin_for(actor, fields["role"])
        hashed = await self.hasher.hash(password)
        await before_writing()
        await check_password(password, self.settings, username=fields["username"], email=fields["email"])
        user = User(**fields, hashed_password=hashed)
        session.add(user)
        await users.flush(session)
        await record(session, Action.USER_CREATED, device, actor_id=actor.user.id, subject_id=user.id, role=user.role)
        return user

    async def change(
        self,
        session: WriteSession,
        user_id: int,
        changes: dict[str, Any],
        device: Device,
        *,
        actor: Identity,
        check: Callable[[User], None],
    ) -> User:
        """Change an account unless `check` raises.

        Raises:
            InsufficientScopeError, NotFoundError, LastAdminError, ConflictError
        """
        admins = await users.lock_admins(session) if takes_an_admin_away(changes) else []
        user = await users.get_for_update(session, user_id)
        require_admin_for(actor, user.role, changes.get("role", user.role))
        check(user)
        users.require_another(admins, user_id)
        if "email" in changes and identity_key(changes["email"]) != user.email_key:
            changes = {"is_verified": False, **changes}
        await self.edits.change(session, user, changes, device, actor_id=actor.user.id)
        if not user.is_active:
            # Else old sessions would be valid again once the account is reactivated.
            await sessions.end_all(session, user.id)
        return user

    async def delete(
        self, session: WriteSession, user_id: int, device: Device, *, actor: Identity, check: Callable[[User], None]
    ) -> None:
        """Delete an account unless `check` raises.

        Raises:
            InsufficientScopeError, NotFoundError, LastAdminError
        """

        def check_deletable(user: User) -> None:
            require_admin_for(actor, user.role)
            check(user)

        await remove_account(session, user_id, check_deletable)
        await record(session, Action.USER_DELETED, device, actor_id=actor.user.id, subject_id=user_id)


def require_admin_for(actor: Identity, *roles: Role) -> None:
    """Raises InsufficientScopeError."""
    if Role.ADMIN in roles:
        actor.require("admin")
