"""Mailed links that do something once, for whoever reads the mailbox."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.errors import AppError
from app.core.limits.ratelimit import RateLimiter
from app.crud.one_time_token import binding_of, one_time_tokens
from app.crud.user import users
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User, attempts_key
from app.services.mail.mails import MailName
from app.services.mail.notices import Notices

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
    """Makes tokens, mails them, and takes them back; what they are good for is the business of those who call it."""

    limiter: RateLimiter | None
    rate: str
    notices: Notices

    async def limit(self, purpose: Purpose, email: str) -> None:
        """For each address, so that many machines together cannot flood a mailbox. Raises RateLimitedError."""
        if self.limiter is not None:
            (await self.limiter.hit(self.rate, MAILS[purpose], attempts_key(email))).require()

    async def send(
        self,
        session: AsyncSession,
        purpose: Purpose,
        user: User,
        *,
        to: str | None = None,
        **values: Any,
    ) -> None:
        """To the user's address, or to `to`, which the token then stands for; the mail wants `values` besides.

        The user's row is locked, or new: else a link could outlive what ends the others.
        """
        ttl = TTLS[purpose]
        token = await one_time_tokens.issue(session, user, purpose, expires_at=utc_now() + ttl, email=to)
        minutes = int(ttl.total_seconds() // 60)
        await self.notices.send_link(session, MAILS[purpose], user, to=to, token=token, minutes=minutes, **values)

    async def find_user(self, session: AsyncSession, token: str, purpose: Purpose) -> User:
        """Whose link it is; whether it is still good `redeem` finds out. Raises InvalidMailTokenError."""
        user_id = await one_time_tokens.find_user_id(session, token, {purpose}, utc_now())
        user = await users.find(session, user_id) if user_id else None
        if user is None:
            raise InvalidMailTokenError
        return user

    async def redeem(self, session: AsyncSession, token: str, *purposes: Purpose) -> tuple[User, OneTimeToken]:
        """Lock the user, as everybody does who changes an account, and only then take the token out.

        Raises:
            InvalidMailTokenError: also if the account is not what it was when the link was mailed.
        """
        user_id = await one_time_tokens.find_user_id(session, token, set(purposes), utc_now())
        user = await users.find_for_update(session, user_id) if user_id else None
        row = await one_time_tokens.redeem(session, token, set(purposes), utc_now())
        if user is None or row is None or row.binding != binding_of(user, row.purpose):
            raise InvalidMailTokenError
        return user, row
