"""The e-mail address of an account: proving it, and moving to another."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.database import Database
from app.crud.one_time_token import one_time_tokens, sha256
from app.crud.user import users
from app.models.audit import Action
from app.models.base import utc_now
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User
from app.services.audit import Device, record
from app.services.identity import Identity
from app.services.mail_links import InvalidMailTokenError, MailLinks
from app.services.notices import Notices
from app.services.password_proof import PasswordProof


def email_state(user: User) -> str:
    """What a verification is bound to."""
    return user.email_key


def credentials_state(user: User) -> str:
    """What a change of address is bound to."""
    return f"{user.email_key}\n{user.hashed_password}"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The use cases of addresses."""

    database: Database
    proof: PasswordProof
    links: MailLinks
    notices: Notices

    async def request_verification(self, session: AsyncSession, user: User) -> None:
        """Mail a link that proves the address, unless it is proven. Raises RateLimitedError."""
        if user.is_verified:
            return
        await self.links.limit(Purpose.VERIFY_EMAIL, user.email)
        await self.links.send(session, Purpose.VERIFY_EMAIL, user, bound_to=email_state(user))

    async def confirm(self, session: AsyncSession, token: str, device: Device) -> None:
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

    async def request_change(self, me: Identity, email: str, password: str) -> None:
        """Mail a link to the new address; the account moves there when it is followed.

        Raises:
            WrongPasswordError, RateLimitedError, ConflictError (`email_taken`)
        """
        user = await self.proof.require(me, password)
        await self.links.limit(Purpose.CHANGE_EMAIL, email)
        async with self.database.transaction() as session:
            await users.refuse_taken_email(session, email, but=user.id)
            bound_to = credentials_state(user)
            await self.links.send(session, Purpose.CHANGE_EMAIL, user, bound_to=bound_to, to=email, new_email=email)
