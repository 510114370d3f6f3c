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
    """Issues, mails and redeems one-time tokens; callers decide what a token does."""

    limiter: RateLimiter | None
    rate: str
    notices: Notices

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
        **values: Any,
    ) -> None:
        """Mail to the user's address, or to the new address `to`; `values` are template variables.

        The user's row must be locked or new: else a link could survive a change that voids links.
        """
        ttl = TTLS[purpose]
        token = await one_time_tokens.issue(session, user, purpose, expires_at=utc_now() + ttl, email=to)
        minutes = int(ttl.total_seconds() // 60)
        await self.notices.send_link(session, MAILS[purpose], user, to=to, token=token, minutes=minutes, **values)

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
