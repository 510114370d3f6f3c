"""Mailed links that do something once, for whoever reads the mailbox."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.errors import AppError
from app.core.ratelimit import RateLimiter
from app.crud.one_time_token import one_time_tokens
from app.models.base import utc_now
from app.models.one_time_token import Purpose
from app.models.user import User, identity_key
from app.services.mails import MailName
from app.services.notices import Notices

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
    """Makes tokens and mails them; what they are good for is the business of those who redeem them."""

    limiter: RateLimiter | None
    rate: str
    notices: Notices

    async def limit(self, purpose: Purpose, email: str) -> None:
        """For each address, so that many machines together cannot flood a mailbox. Raises RateLimitedError."""
        if self.limiter is not None:
            (await self.limiter.hit(self.rate, MAILS[purpose], identity_key(email))).require()

    async def send(
        self,
        session: AsyncSession,
        purpose: Purpose,
        user: User,
        *,
        bound_to: str,
        to: str | None = None,
        **values: Any,
    ) -> None:
        """To the user's address, or to `to`, which the token then stands for.

        It is void once `bound_to` is no longer so; the mail wants `values` besides.
        """
        ttl = TTLS[purpose]
        token = await one_time_tokens.issue(
            session, user.id, purpose, bound_to=bound_to, expires_at=utc_now() + ttl, email=to
        )
        minutes = int(ttl.total_seconds() // 60)
        await self.notices.send(session, MAILS[purpose], user, to=to, token=token, minutes=minutes, **values)
