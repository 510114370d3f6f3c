"""Mailed one-time links."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.errors import AppError
from app.core.limits.ratelimit import RateLimiter
from app.crud.one_time_token import binding_of, one_time_tokens
from app.crud.user import users
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User, attempts_key
from app.services.jobs import Jobs
from app.services.mail.jobs import SEND_LINK, Facts, Link
from app.services.mail.mails import MailName

TTLS = {
    Purpose.VERIFY_EMAIL: timedelta(hours=24),
    Purpose.RESET_PASSWORD: timedelta(minutes=30),
    Purpose.CHANGE_EMAIL: timedelta(hours=1),
}
MAILS: dict[Purpose, MailName] = {
    Purpose.VERIFY_EMAIL: "verify_email",
    Purpose.RESET_PASSWORD: "reset_password",
    Purpose.CHANGE_EMAIL: "change_email",
}


class InvalidMailTokenError(AppError):
    status = 400
    code = "invalid_token"
    detail = "This link has been used, has expired, or was replaced by a newer one; ask for another."


@dataclass(frozen=True, slots=True)
class MailLinks:
    """Mails and redeems one-time tokens, which `MailDelivery` issues; callers decide what a token does."""

    limiter: RateLimiter | None
    rate: str
    jobs: Jobs

    async def limit(self, purpose: Purpose, email: str) -> None:
        """Per address, so that many clients together cannot flood a mailbox. Raises RateLimitedError."""
        if self.limiter is not None:
            (await self.limiter.hit(self.rate, MAILS[purpose], attempts_key(email))).require()

    async def send(
        self,
        session: WriteSession,
        purpose: Purpose,
        user: User,
        *,
        to: str | None = None,
        **facts: Any,
    ) -> None:
        """Mail to the user's address, or to the new address `to`, after the commit."""
        link = Link(
            purpose=purpose,
            user_id=user.id,
            to=to or user.email,
            binding=binding_of(user, purpose),
            facts=Facts.model_validate(facts),
        )
        await self.jobs.enqueue(session, SEND_LINK, link, user_id=user.id)

    async def find_user(self, session: AsyncSession, token: str, purpose: Purpose) -> User:
        """The user of a link, whose validity only `redeem` checks. Raises InvalidMailTokenError."""
        user_id = await one_time_tokens.find_user_id(session, token, {purpose}, utc_now())
        user = await users.find(session, user_id) if user_id else None
        if user is None:
            raise InvalidMailTokenError
        return user

    async def redeem(self, session: WriteSession, token: str, *purposes: Purpose) -> tuple[User, OneTimeToken]:
        """Lock the user first, as every change of an account does, then delete the token.

        Raises:
            InvalidMailTokenError: also if the account has changed since the link was mailed.
        """
        user_id = await one_time_tokens.find_user_id(session, token, set(purposes), utc_now())
        user = await users.find_for_update(session, user_id) if user_id else None
        row = await one_time_tokens.redeem(session, token, set(purposes), utc_now())
        if user is None or row is None or row.binding != binding_of(user, row.purpose):
            raise InvalidMailTokenError
        return user, row
