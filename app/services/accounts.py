"""What happens to accounts: opening, changing, leaving. Their passwords and addresses have modules of their own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config import Settings
from app.core.database import Database
from app.core.passwords import PasswordHasher
from app.core.ratelimit import RateLimiter
from app.crud.one_time_token import one_time_tokens
from app.crud.session import sessions
from app.crud.user import users
from app.models.audit import Action
from app.models.user import Role, User, identity_key
from app.services.addresses import Addresses
from app.services.attempts import ProofAttempts, SignInAttempts
from app.services.audit import Device, record
from app.services.identity import Identity
from app.services.mail_links import MailLinks
from app.services.notices import Notices
from app.services.outbox import Outbox
from app.services.password_policy import check_password
from app.services.password_proof import PasswordProof
from app.services.passwords import Passwords


@dataclass(frozen=True, slots=True)
class Accounts:
    """The use cases of accounts; one for each application. Those that hash open transactions of their own."""

    settings: Settings
    database: Database
    hasher: PasswordHasher
    proof: PasswordProof
    addresses: Addresses
    passwords: Passwords

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        database: Database,
        hasher: PasswordHasher,
        attempts: SignInAttempts,
        limiter: RateLimiter | None,
        outbox: Outbox,
        notices: Notices,
    ) -> Self:
        proof = PasswordProof(database, hasher, ProofAttempts(limiter, attempts.rate))
        links = MailLinks(limiter, settings.rate_limit_mail, notices)
        addresses = Addresses(database, proof, links, notices)
        passwords = Passwords(settings, database, hasher, attempts, proof, links, outbox, notices)
        return cls(settings, database, hasher, proof, addresses, passwords)

    async def register(self, session: AsyncSession, password: str, device: Device, **fields: Any) -> User:
        """Open an account and mail a link that proves the address.

        Raises:
            WeakPasswordError, ConflictError: nothing has been stored then.
        """
        user = await self.add(session, password, **fields)
        await record(session, Action.REGISTERED, device, actor_id=user.id)
        await self.addresses.request_verification(session, user)
        return user

    async def add(self, session: AsyncSession, password: str, **fields: Any) -> User:
        await check_password(password, self.settings, username=fields["username"], email=fields["email"])
        return await users.add(session, User(**fields, hashed_password=await self.hasher.hash(password)))

    async def delete(
        self, me: Identity, password: str, device: Device, check: Callable[[User], None] | None = None
    ) -> None:
        """Delete one's own account and what it owns, unless `check`, if given, objects.

        Raises:
            WrongPasswordError, LastAdminError, RateLimitedError
        """
        await self.proof.require(me, password)
        async with self.database.transaction() as session:
            await self.remove(session, me.user.id, check)
            await record(session, Action.ACCOUNT_DELETED, device, actor_id=me.user.id)

    async def remove(self, session: AsyncSession, user_id: int, check: Callable[[User], None] | None = None) -> None:
        """Delete an account that `check`, if given, does not object to. Raises NotFoundError, LastAdminError."""
        # First its tokens, then its row: in the order in which they are redeemed, or the two could block each other.
        await one_time_tokens.end_all(session, user_id)
        await users.keep_an_admin(session, leaving_id=user_id)
        user = await users.get_for_update(session, user_id)
        if check is not None:
            check(user)
        await users.delete(session, user)

    async def change_by_admin(
        self, session: AsyncSession, user: User, changes: dict[str, Any], device: Device, *, actor_id: int
    ) -> User:
        """Change any account. The caller holds the administrators' lock where `changes` may take one away."""
        before = user.role
        if "email" in changes and identity_key(changes["email"]) != user.email_key:
            changes = {"is_verified": False, **changes}
        if "role" in changes:
            changes = {**changes, "role": Role(changes["role"])}
        await users.update(session, user, **changes)
        if not user.is_active:
            # Or the old sessions would come back to life together with the account.
            await sessions.end_all(session, user.id)
        details: dict[str, Any] = {"fields": sorted(changes)}
        if user.role is not before:
            details["role"] = [before.value, user.role.value]
        await record(session, Action.USER_CHANGED, device, actor_id=actor_id, subject_id=user.id, **details)
        return user


def takes_an_admin_away(changes: dict[str, Any]) -> bool:
    return changes.get("role", Role.ADMIN) != Role.ADMIN or not changes.get("is_active", True)
