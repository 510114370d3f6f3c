"""What happens to accounts: opening, proving an address, changing a password, leaving."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.config import Settings
from app.core.database import Database
from app.core.errors import AppError, ForbiddenError, RateLimitedError
from app.core.passwords import PasswordHasher
from app.core.ratelimit import RateLimiter
from app.crud.one_time_token import one_time_tokens, sha256
from app.crud.session import sessions
from app.crud.user import users
from app.models.audit import Action
from app.models.base import utc_now
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import Role, User, identity_key
from app.services.attempts import SignInAttempts
from app.services.audit import Device, record
from app.services.notices import Notices
from app.services.outbox import Outbox
from app.services.password_policy import check_password

VERIFY_TTL = timedelta(hours=24)
RESET_TTL = timedelta(minutes=30)
CHANGE_TTL = timedelta(hours=1)


class WrongPasswordError(ForbiddenError):
    code = "wrong_password"
    detail = "The password is wrong."


class InvalidMailTokenError(AppError):
    status = 400
    code = "invalid_token"
    detail = "This link has been used, has expired, or was replaced by a newer one; ask for another."


def minutes(ttl: timedelta) -> int:
    return int(ttl.total_seconds() // 60)


def email_state(user: User) -> str:
    """What a verification is bound to."""
    return user.email_key


def credentials_state(user: User) -> str:
    """What a change of address is bound to."""
    return f"{user.email_key}\n{user.hashed_password}"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The use cases of accounts; one for each application. Those that hash open transactions of their own."""

    settings: Settings
    database: Database
    hasher: PasswordHasher
    attempts: SignInAttempts
    limiter: RateLimiter | None
    outbox: Outbox
    notices: Notices

    async def register(self, session: AsyncSession, password: str, device: Device, **fields: Any) -> User:
        """Open an account and mail a link that proves the address.

        Raises:
            WeakPasswordError, ConflictError: nothing has been stored then.
        """
        user = await self.add(session, password, **fields)
        await record(session, Action.REGISTERED, device, actor_id=user.id)
        await self.request_verification(session, user)
        return user

    async def add(self, session: AsyncSession, password: str, **fields: Any) -> User:
        await check_password(password, self.settings, username=fields["username"], email=fields["email"])
        return await users.add(session, User(**fields, hashed_password=await self.hasher.hash(password)))

    async def request_verification(self, session: AsyncSession, user: User) -> None:
        """Mail a link that proves the address, unless it is proven. Raises RateLimitedError."""
        if user.is_verified:
            return
        await self.limit_mail("verify", user.email)
        token = await one_time_tokens.issue(
            session,
            user.id,
            Purpose.VERIFY_EMAIL,
            bound_to=email_state(user),
            expires_at=utc_now() + VERIFY_TTL,
        )
        await self.notices.send(session, "verify_email", user, token=token, minutes=minutes(VERIFY_TTL))

    async def confirm_email(self, session: AsyncSession, token: str, device: Device) -> None:
        """Redeem a link that proves an address: the account's own, or the one it is to have.

        Raises:
            InvalidMailTokenError, ConflictError (`email_taken`)
        """
        row = await one_time_tokens.redeem(session, token, {Purpose.VERIFY_EMAIL, Purpose.CHANGE_EMAIL}, utc_now())
        user = await users.find_for_update(session, row.user_id) if row else None
        if row is None or user is None:
            raise InvalidMailTokenError
        if row.purpose is Purpose.CHANGE_EMAIL:
            await self.move_to(session, user, row, device)
        elif row.binding == sha256(email_state(user)):
            await users.update(session, user, is_verified=True)
            await record(session, Action.EMAIL_VERIFIED, device, actor_id=user.id)
        else:
            raise InvalidMailTokenError

    async def move_to(self, session: AsyncSession, user: User, row: OneTimeToken, device: Device) -> None:
        if row.binding != sha256(credentials_state(user)) or row.email is None:
            raise InvalidMailTokenError
        await self.notices.send(session, "email_changed", user, new_email=row.email, at=utc_now(), ip=device.ip)
        await users.update(session, user, email=row.email, is_verified=True)
        await record(session, Action.EMAIL_CHANGED, device, actor_id=user.id)

    async def request_email_change(self, user: User, email: str, password: str) -> None:
        """Mail a link to the new address; the account moves there when it is followed.

        Raises:
            WrongPasswordError, RateLimitedError, ConflictError (`email_taken`)
        """
        await self.prove(user, password)
        await self.limit_mail("change", email)
        async with self.database.transaction() as session:
            await users.refuse_taken_email(session, email, but=user.id)
            token = await one_time_tokens.issue(
                session,
                user.id,
                Purpose.CHANGE_EMAIL,
                bound_to=credentials_state(user),
                expires_at=utc_now() + CHANGE_TTL,
                email=email,
            )
            await self.notices.send(
                session, "change_email", user, to=email, new_email=email, token=token, minutes=minutes(CHANGE_TTL)
            )

    async def forgot_password(self, email: str, device: Device) -> None:
        """Mail a link that sets a new password, if there is such an account.

        All of it happens later: the answer takes the same time whether there is one.
        """
        await self.outbox.post(partial(self.mail_reset_link, email, device))

    async def mail_reset_link(self, email: str, device: Device) -> None:
        try:
            await self.limit_mail("reset", email)
        except RateLimitedError:
            return  # whoever asked has had the same answer as ever
        async with self.database.transaction() as session:
            user = await users.find_by_login(session, email)
            if user is None or not user.is_active:
                return
            token = await one_time_tokens.issue(
                session,
                user.id,
                Purpose.RESET_PASSWORD,
                bound_to=user.hashed_password,
                expires_at=utc_now() + RESET_TTL,
            )
            await record(session, Action.PASSWORD_RESET_REQUESTED, device, subject_id=user.id)
            await self.notices.send(
                session, "reset_password", user, token=token, minutes=minutes(RESET_TTL), ip=device.ip
            )

    async def reset_password(self, token: str, password: str, device: Device) -> None:
        """Set a new password with a mailed link, and end every session: whoever knew the old one is out.

        Raises:
            InvalidMailTokenError, WeakPasswordError: the link still works after the latter.
        """
        async with self.database.primary() as session:
            user = await one_time_tokens.find_user(session, token, Purpose.RESET_PASSWORD, utc_now())
        if user is None:
            raise InvalidMailTokenError
        await check_password(password, self.settings, username=user.username, email=user.email)
        hashed = await self.hasher.hash(password)
        async with self.database.transaction() as session:
            row = await one_time_tokens.redeem(session, token, {Purpose.RESET_PASSWORD}, utc_now())
            user = await users.find_for_update(session, row.user_id) if row else None
            if row is None or user is None or row.binding != sha256(user.hashed_password) or not user.is_active:
                raise InvalidMailTokenError
            await self.set_password(session, user, hashed, Action.PASSWORD_RESET, device)
        # Whoever guessed the old password must not keep its owner out of the new one.
        for login in (user.username, user.email):
            await self.attempts.succeed(login)

    async def change_password(self, user: User, session_id: int, current: str, password: str, device: Device) -> None:
        """Set a new password and end the other sessions.

        Raises:
            WrongPasswordError, WeakPasswordError, RateLimitedError
        """
        await self.prove(user, current)
        await check_password(password, self.settings, username=user.username, email=user.email)
        hashed = await self.hasher.hash(password)
        async with self.database.transaction() as session:
            row = await users.get_for_update(session, user.id)
            if row.hashed_password != user.hashed_password:
                raise WrongPasswordError  # it was changed meanwhile
            await self.set_password(session, row, hashed, Action.PASSWORD_CHANGED, device, keep_session=session_id)

    async def set_password(
        self,
        session: AsyncSession,
        user: User,
        hashed: str,
        action: Action,
        device: Device,
        keep_session: int | None = None,
    ) -> None:
        await users.update(session, user, hashed_password=hashed)
        await sessions.end_all(session, user.id, but=keep_session)
        await record(session, action, device, actor_id=user.id)
        await self.notices.send(
            session, "password_changed", user, at=utc_now(), ip=device.ip, user_agent=device.user_agent
        )

    async def delete(
        self, user: User, password: str, device: Device, check: Callable[[User], None] | None = None
    ) -> None:
        """Delete one's own account and what it owns, unless `check`, if given, objects.

        Raises:
            WrongPasswordError, LastAdminError, RateLimitedError
        """
        await self.prove(user, password)
        async with self.database.transaction() as session:
            await self.remove(session, user.id, check)
            await record(session, Action.ACCOUNT_DELETED, device, actor_id=user.id)

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

    async def limit_mail(self, kind: str, email: str) -> None:
        """For each address, so that many machines together cannot flood a mailbox. Raises RateLimitedError."""
        if self.limiter is not None:
            (await self.limiter.hit(self.settings.rate_limit_mail, kind, identity_key(email))).require()

    async def prove(self, user: User, password: str) -> None:
        """That it is the user who asks, and not somebody who found a signed-in device."""
        await self.attempts.spend(user.username)
        fits, _ = await self.hasher.verify(password, user.hashed_password)
        if not fits:
            raise WrongPasswordError
        await self.attempts.succeed(user.username)


def takes_an_admin_away(changes: dict[str, Any]) -> bool:
    return changes.get("role", Role.ADMIN) != Role.ADMIN or not changes.get("is_active", True)
