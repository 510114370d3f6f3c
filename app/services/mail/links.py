"""Mailed one-time links."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from app.core.clock import utc_now
from app.core.db.session import WriteSession
from app.core.limits.ratelimit import RateLimiter
from app.crud.one_time_token import binding_of, one_time_tokens, sha256
from app.crud.user import users
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User, attempts_key
from app.schemas.account import MailProof
from app.services.audit import Device
from app.services.jobs import Jobs
from app.services.mail.codes import CodeGuesses, InvalidMailTokenError
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


@dataclass(frozen=True, slots=True)
class MailLinks:
    """Mails and redeems one-time tokens, which `MailDelivery` issues; callers decide what a token does."""

    limiter: RateLimiter | None
    rate: str
    jobs: Jobs
    guesses: CodeGuesses

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

    async def find(self, session: WriteSession, proof: MailProof, device: Device, *purposes: Purpose) -> str:
        """The digest of a link, by its token or its code. Raises WrongMailCodeError or RateLimitedError for a code."""
        if isinstance(proof.token, str):
            return sha256(proof.token)
        return await self.guesses.find_link(session, *proof.email_and_code, set(purposes), device.ip)

    async def find_user(self, session: AsyncSession, digest: str, purpose: Purpose) -> User:
        """The user of a link, whose validity only `redeem` checks. Raises InvalidMailTokenError."""
        user_id = await one_time_tokens.find_user_id(session, digest, {purpose}, utc_now())
        user = await users.find(session, user_id) if user_id else None
        if user is None:
            raise InvalidMailTokenError
        return user

    async def redeem(self, session: WriteSession, digest: str, *purposes: Purpose) -> tuple[User, OneTimeToken]:
        """Lock the user first, as every change of an account does, then delete the token.

        Raises:
            InvalidMailTokenError: also if the account has changed since the link was mailed.
        """
        user_id = await one_time_tokens.find_user_id(session, digest, set(purposes), utc_now())
        user = await users.find_for_update(session, user_id) if user_id else None
        row = await one_time_tokens.redeem(session, digest, set(purposes), utc_now())
        if user is None or row is None or row.binding != binding_of(user, row.purpose):
            raise InvalidMailTokenError
        return user, row
