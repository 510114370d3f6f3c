"""Mailed tokens in the database."""

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.crud.base import ExpiringCRUD
from app.models.one_time_token import OneTimeToken, Purpose
from app.models.user import User


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class OneTimeTokenCRUD(ExpiringCRUD[OneTimeToken]):
    async def issue(
        self,
        session: AsyncSession,
        user_id: int,
        purpose: Purpose,
        *,
        bound_to: str,
        expires_at: datetime,
        email: str | None = None,
    ) -> str:
        """Make a token that replaces the user's earlier ones for the same purpose; only its hash is stored."""
        await session.execute(
            delete(OneTimeToken).where(OneTimeToken.user_id == user_id, OneTimeToken.purpose == purpose)
        )
        token = secrets.token_urlsafe(32)
        row = OneTimeToken(
            user_id=user_id,
            purpose=purpose,
            digest=sha256(token),
            binding=sha256(bound_to),
            expires_at=expires_at,
            email=email,
        )
        await self.add(session, row)
        return token

    async def find_user(self, session: AsyncSession, token: str, purpose: Purpose, now: datetime) -> User | None:
        """Whom a token that is still good belongs to."""
        return await session.scalar(
            select(User)
            .join(OneTimeToken, OneTimeToken.user_id == User.id)
            .where(OneTimeToken.digest == sha256(token), OneTimeToken.purpose == purpose, OneTimeToken.expires_at > now)
        )

    async def end_all(self, session: AsyncSession, user_id: int) -> None:
        await session.execute(delete(OneTimeToken).where(OneTimeToken.user_id == user_id))

    async def redeem(
        self, session: AsyncSession, token: str, purposes: set[Purpose], now: datetime
    ) -> OneTimeToken | None:
        """Take a token out: of any number of callers at once, one gets it."""
        return await session.scalar(
            delete(OneTimeToken)
            .where(
                OneTimeToken.digest == sha256(token),
                OneTimeToken.purpose.in_(purposes),
                OneTimeToken.expires_at > now,
            )
            .returning(OneTimeToken)
        )


one_time_tokens = OneTimeTokenCRUD(OneTimeToken, "token")
